"""Rows on disk: one counts as done if and only if every byte of it is the one that was written."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.engine import Rows

REPOSITORY = Path(__file__).parents[2]
VECTORS = np.arange(20, dtype=np.float32).reshape(5, 4)


def test_new_rows_are_not_done(tmp_path: Path) -> None:
    rows = Rows.create(tmp_path, 3, 4)
    assert (rows.vectors.dtype, rows.vectors.shape) == (np.float32, (3, 4))
    assert not rows.vectors.any()
    assert rows.done().tolist() == [False] * 3


def test_the_room_is_taken_at_once(tmp_path: Path) -> None:
    Rows.create(tmp_path, 1000, 64)
    for name, size in (("vectors.f32", 256_000), ("done.u32", 4000)):
        status = (tmp_path / name).stat()
        assert status.st_size == size
        assert status.st_blocks * 512 >= size


def test_what_is_put_is_on_disk_with_its_checksum(tmp_path: Path) -> None:
    rows = Rows.create(tmp_path, 5, 4)
    rows.put(np.array([4, 1]), VECTORS[[4, 1]])
    assert rows.done().tolist() == [False, True, False, False, True]
    stored = np.fromfile(tmp_path / "vectors.f32", np.float32).reshape(5, 4)
    assert stored[4].tolist() == VECTORS[4].tolist()
    assert np.fromfile(tmp_path / "done.u32", np.uint32)[4] == zlib.crc32(VECTORS[4].tobytes())


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_dtypes_are_done_too(tmp_path: Path, dtype: type) -> None:
    rows = Rows.create(tmp_path, 5, 4)
    rows.put(np.arange(5), VECTORS.astype(dtype))
    assert rows.done().all()
    assert rows.vectors.tolist() == VECTORS.tolist()


def test_reopened_and_shared(tmp_path: Path) -> None:
    first = Rows.create(tmp_path, 5, 4)
    second = Rows(tmp_path, 5, 4)
    second.put(np.array([2]), VECTORS[[2]])
    assert first.done().tolist() == [False, False, True, False, False]
    assert Rows.create(tmp_path, 5, 4).done()[2]  # what is there stays
    first.forget(np.array([2]))
    assert not Rows(tmp_path, 5, 4).done().any()


def test_a_vector_of_zeros_is_done(tmp_path: Path) -> None:
    rows = Rows.create(tmp_path, 2, 4)
    rows.put(np.array([0]), np.zeros((1, 4), dtype=np.float32))
    assert rows.done().tolist() == [True, False]


def test_a_checksum_that_comes_out_as_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zlib, "crc32", lambda _: 0)
    rows = Rows.create(tmp_path, 1, 4)
    rows.put(np.array([0]), VECTORS[:1])
    assert rows.done().tolist() == [True]


@given(byte=st.integers(0, 5 * 20 - 1), flip=st.integers(1, 255))
def test_any_byte_that_differs_undoes_its_row_only(
    tmp_path_factory: pytest.TempPathFactory, byte: int, flip: int
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    Rows.create(folder, 5, 4).put(np.arange(5), VECTORS)
    name, offset, width = ("vectors.f32", byte, 16) if byte < 80 else ("done.u32", byte - 80, 4)
    content = bytearray((folder / name).read_bytes())
    content[offset] ^= flip
    (folder / name).write_bytes(content)
    assert np.flatnonzero(~Rows(folder, 5, 4).done()).tolist() == [offset // width]


@pytest.mark.parametrize("name", ["vectors.f32", "done.u32"])
def test_files_that_are_too_short_or_missing(tmp_path: Path, name: str) -> None:
    Rows.create(tmp_path, 5, 4).put(np.arange(5), VECTORS)
    os.truncate(tmp_path / name, 12)
    with pytest.raises(OSError, match=f"smaller than the rows.*{name}"):
        Rows(tmp_path, 5, 4)
    assert (tmp_path / name).stat().st_size == 12
    kept = 0 if name == "vectors.f32" else 3
    assert Rows.create(tmp_path, 5, 4).done().tolist() == [row < kept for row in range(5)]
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError):
        Rows(tmp_path, 5, 4)


def test_no_rows(tmp_path: Path) -> None:
    rows = Rows.create(tmp_path, 0, 4)
    rows.put(np.empty(0, dtype=np.int64), np.empty((0, 4), dtype=np.float32))
    assert rows.done().shape == (0,)
    assert rows.vectors.shape == (0, 4)


def test_a_full_disk_is_known_before_anything_is_computed(tmp_path: Path) -> None:
    """RLIMIT_FSIZE is a disk of 200 kB for every file."""
    script = (
        "import resource, signal\nfrom pathlib import Path\nfrom qembed.engine import Rows\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        f"try:\n    Rows.create(Path({str(tmp_path)!r}), 1000, 100)\n"
        "except OSError as error:\n    print(error.strerror)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "File too large\n"
