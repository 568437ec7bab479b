"""The vector cache: it gives back what was added, whatever happens to its files, or says that it has not."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qembed.errors import Mismatch, QembedError
from qembed.store import cache as module
from qembed.store.cache import VectorCache, cache_size, prune

REPOSITORY = Path(__file__).parents[2]
DIMENSION = 5
IDENTITY: dict[str, Any] = {"weights": "abc", "prompt": None, "max_tokens": 256}
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def digests_of(numbers: Any, size: int = 16) -> npt.NDArray[np.void]:
    """Digests that look random and are the same for the same number."""
    rows = [np.random.default_rng(int(number)).bytes(32)[:size] for number in numbers]
    return np.array(rows, dtype=f"V{size}")


def vectors_of(numbers: Any, dimension: int = DIMENSION) -> npt.NDArray[np.float32]:
    rows = [np.random.default_rng(int(n) + 10**6).standard_normal(dimension) for n in numbers]
    return np.array(rows, dtype=np.float32).reshape(len(rows), dimension)


def opened(folder: Path, identity: dict[str, Any] = IDENTITY, dimension: int = DIMENSION) -> VectorCache:
    return VectorCache(folder, identity, dimension)


def found(folder: Path, numbers: Any) -> set[int]:
    """Which numbers a new reader finds; their vectors are the right ones, bit for bit."""
    numbers, cache = list(numbers), opened(folder)
    positions, rows = cache.lookup(digests_of(numbers))
    assert positions.tolist() == sorted(set(positions.tolist()))
    there = [numbers[at] for at in positions]
    assert cache.read(rows).tobytes() == vectors_of(there).tobytes()
    return set(there)


def filled(folder: Path, count: int) -> Path:
    """A cache of the numbers below ``count``; returns the folder of its files."""
    cache = opened(folder)
    cache.add(digests_of(range(count)), vectors_of(range(count)))
    assert cache.note is None
    return cache.folder


@same_folder
@given(blocks=st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=5), size=st.sampled_from([16, 32]))
def test_what_was_added_is_found_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[list[int]], size: int
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    for block in blocks:
        opened(folder).add(digests_of(block, size), vectors_of(block))
    everything = {number for block in blocks for number in block}
    assert found(folder, range(40)) == everything
    assert len(opened(folder)) == len(everything)
    assert cache_size(folder).vectors == sum(map(len, blocks))


def test_a_vector_added_again_replaces_the_older(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.add(digests_of([1, 2, 1]), vectors_of([7, 2, 8]))
    cache.add(digests_of([1]), vectors_of([1]))
    assert found(tmp_path, [1, 2]) == {1, 2}


def test_digests_that_share_a_half_of_the_key_are_not_mixed_up(tmp_path: Path) -> None:
    """The index sorts by eight bytes; the other eight decide."""
    one, other = digests_of([1]), digests_of([1])
    other.view(np.uint8)[12] ^= 1
    opened(tmp_path).add(one, vectors_of([1]))
    cache = opened(tmp_path)
    assert [len(cache.lookup(digests)[0]) for digests in (one, other)] == [1, 0]


def test_a_cache_sees_what_was_there_when_it_was_opened(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.add(digests_of([1]), vectors_of([1]))
    assert len(cache.lookup(digests_of([1]))[0]) == 0
    assert found(tmp_path, [1]) == {1}


@pytest.mark.parametrize(
    ("identity", "dimension"),
    [({**IDENTITY, "prompt": ""}, 5), ({**IDENTITY, "weights": "abd"}, 5), (IDENTITY, 4), ({}, 5)],
)
def test_another_identity_is_another_cache(tmp_path: Path, identity: dict[str, Any], dimension: int) -> None:
    filled(tmp_path, 3)
    other = opened(tmp_path, identity, dimension)
    assert len(other) == len(other.lookup(digests_of(range(3)))[0]) == 0
    other.add(digests_of([0]), vectors_of([9], dimension))
    assert found(tmp_path, range(4)) == {0, 1, 2}


def test_the_order_of_an_identity_does_not_matter(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    assert len(opened(tmp_path, dict(reversed(IDENTITY.items())))) == 3


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[1]"])
def test_a_folder_that_belongs_to_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = filled(tmp_path, 1)
    (folder / "identity.json").write_bytes(content)
    with pytest.raises(Mismatch, match="not a vector cache") as caught:
        opened(tmp_path)
    assert str(folder) in str(caught.value.remedy)


def test_a_cache_that_cannot_be_made_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QembedError, match="cannot write"):
        opened(tmp_path / "file")


def test_what_does_not_fit_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    with pytest.raises(ValueError, match="2 digests"):
        cache.add(digests_of([1, 2]), vectors_of([1]))
    with pytest.raises(ValueError, match="dimension 5"):
        cache.add(digests_of([1]), vectors_of([1], 4))
    with pytest.raises(ValueError, match="8 bytes"):
        cache.lookup(digests_of([1], 8))


class TestDamage:
    @pytest.mark.parametrize("name", ["keys.bin", "vectors.f32"])
    def test_cut_at_every_byte(self, tmp_path: Path, name: str) -> None:
        """As many whole rows as are left are found, and what is added next is found too."""
        folder = filled(tmp_path, 4)
        contents = {path: path.read_bytes() for path in folder.glob("*.*")}
        whole = contents[folder / name]
        width = len(whole) // 4
        for length in range(len(whole)):
            for path, content in contents.items():
                path.write_bytes(content)
            (folder / name).write_bytes(whole[:length])
            left = set(range(length // width))
            assert found(tmp_path, range(4)) == left, length
            opened(tmp_path).add(digests_of([7, 8]), vectors_of([7, 8]))
            assert found(tmp_path, range(10)) == left | {7, 8}, length

    @pytest.mark.parametrize("name", ["keys.bin", "vectors.f32"])
    def test_every_flipped_bit_costs_its_own_row(self, tmp_path: Path, name: str) -> None:
        folder = filled(tmp_path, 3)
        path = folder / name
        whole = path.read_bytes()
        for bit in range(len(whole) * 8):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            row = bit // 8 // (len(whole) // 3)
            assert found(tmp_path, range(3)) == {0, 1, 2} - {row}, bit

    def test_a_lost_row_is_healed_by_adding_it_again(self, tmp_path: Path) -> None:
        path = filled(tmp_path, 3) / "vectors.f32"
        damaged = bytearray(path.read_bytes())
        damaged[DIMENSION * 4] ^= 1
        path.write_bytes(damaged)
        assert found(tmp_path, range(3)) == {0, 2}
        opened(tmp_path).add(digests_of([1]), vectors_of([1]))
        assert found(tmp_path, range(3)) == {0, 1, 2}

    def test_blocks_of_zeros_as_after_a_power_cut(self, tmp_path: Path) -> None:
        folder = filled(tmp_path, 4)
        for name, width in (("keys.bin", 20), ("vectors.f32", 4 * DIMENSION)):
            whole = (folder / name).read_bytes()
            (folder / name).write_bytes(whole[: 2 * width] + bytes(2 * width))
        assert found(tmp_path, range(4)) == {0, 1}
        zeros = np.zeros(1, dtype="V16")
        assert len(opened(tmp_path).lookup(zeros)[0]) == 0

    def test_rows_of_the_wrong_place_are_not_taken(self, tmp_path: Path) -> None:
        folder = filled(tmp_path, 3)
        vectors = (folder / "vectors.f32").read_bytes()
        (folder / "vectors.f32").write_bytes(vectors[4 * DIMENSION :] + vectors[: 4 * DIMENSION])
        assert found(tmp_path, range(3)) == set()

    def test_a_key_that_turned_into_another_does_not_lend_its_vector(self, tmp_path: Path) -> None:
        path = filled(tmp_path, 3) / "keys.bin"
        keys = path.read_bytes()
        path.write_bytes(keys[:20] + digests_of([9]).tobytes() + keys[36:])
        assert found(tmp_path, range(10)) == {0, 2}

    def test_a_vector_that_changes_after_lookup_is_an_error(self, tmp_path: Path) -> None:
        folder = filled(tmp_path, 3)
        cache = opened(tmp_path)
        _, rows = cache.lookup(digests_of([1]))
        with (folder / "vectors.f32").open("r+b") as file:
            file.seek(4 * DIMENSION)
            file.write(b"\xff")
        with pytest.raises(QembedError, match="changed while it was used"):
            cache.read(rows)


class TestDisk:
    @staticmethod
    @contextmanager
    def limit(size: int) -> Iterator[None]:
        """No file of this process may grow beyond ``size`` bytes: what a full disk is like."""
        resource = pytest.importorskip("resource")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    @pytest.mark.parametrize("room", [40, 41, 59, 60, 61, 99, 100, 180])
    def test_a_full_disk_is_a_note_and_costs_nothing_that_was_there(self, tmp_path: Path, room: int) -> None:
        """Both files have rows of 20 bytes; the limit strikes within the vectors."""
        filled(tmp_path, 2)
        cache = opened(tmp_path)
        with self.limit(room):
            cache.add(digests_of(range(2, 10)), vectors_of(range(2, 10)))
        assert "cannot be written" in str(cache.note)
        assert str(tmp_path) in str(cache.note)
        assert found(tmp_path, range(10)) >= {0, 1}
        cache.add(digests_of([20]), vectors_of([20]))  # after a failure this run writes no more
        assert found(tmp_path, [20]) == set()
        opened(tmp_path).add(digests_of([21]), vectors_of([21]))
        assert found(tmp_path, [0, 1, 21]) == {0, 1, 21}

    def test_full_between_vectors_and_keys(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        filled(tmp_path, 2)
        original = module._Appending.__enter__

        def full(self: Any) -> Any:
            original(self)
            keys = self._files[0]

            class Full:
                def write(self, block: memoryview) -> int:
                    if len(block) > 30:
                        return int(keys.write(block[:30]))  # one key and a half
                    raise OSError(errno.ENOSPC, "No space left on device")

                def __getattr__(self, name: str) -> Any:
                    return getattr(keys, name)

            self._files[0] = Full()
            return self

        cache = opened(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(module._Appending, "__enter__", full)
            cache.add(digests_of(range(2, 5)), vectors_of(range(2, 5)))
        assert "No space left" in str(cache.note)
        assert found(tmp_path, range(5)) >= {0, 1}
        assert [path.stat().st_size % 20 for path in cache.folder.glob("*.[bf]*")] == [0, 0]
        assert len({path.stat().st_size for path in cache.folder.glob("*.[bf]*")}) == 1
        opened(tmp_path).add(digests_of([9]), vectors_of([9]))
        assert 9 in found(tmp_path, range(10))

    def test_a_lock_that_stays_held_is_a_note(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = filled(tmp_path, 1)
        monkeypatch.setattr(module, "LOCK_SECONDS", 0.01)
        cache = opened(tmp_path)
        with FileLock(f"{folder}.lock"):
            cache.add(digests_of([5]), vectors_of([5]))
        assert "holds the lock" in str(cache.note)
        assert found(tmp_path, range(6)) == {0}

    def test_a_folder_that_has_gone_is_a_note(self, tmp_path: Path) -> None:
        filled(tmp_path, 3)
        cache = opened(tmp_path)
        _, rows = cache.lookup(digests_of([1]))
        assert prune(tmp_path, 0) > 0
        cache.add(digests_of([5]), vectors_of([5]))
        assert "No such file" in str(cache.note)
        assert cache.read(rows).tobytes() == vectors_of([1]).tobytes()  # what is mapped stays


ADDING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_cache import *
first, block = int(sys.argv[3]), int(sys.argv[4])
cache = opened(Path(sys.argv[2]), dimension=512)
for start in range(first, first + 100 * block, block):
    numbers = range(start, start + block)
    cache.add(digests_of(numbers), vectors_of(numbers, 512))
    print(start + block, flush=True)
assert cache.note is None, cache.note
"""


def adding(folder: Path, first: int, block: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ADDING, str(Path(__file__).parent), str(folder), str(first), str(block)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def test_two_processes_add_at_once(tmp_path: Path) -> None:
    workers = [adding(tmp_path, 0, 3), adding(tmp_path, 250, 3)]  # 0 to 299 and 250 to 549
    for worker in workers:
        worker.communicate(timeout=60)
        assert worker.returncode == 0
    cache, numbers = opened(tmp_path, dimension=512), range(600)
    positions, rows = cache.lookup(digests_of(numbers))
    assert positions.tolist() == list(range(550))
    assert cache.read(rows).tobytes() == vectors_of(range(550), 512).tobytes()
    assert cache_size(tmp_path).vectors == 600


def test_killed_while_adding(tmp_path: Path) -> None:
    """Every block that was reported is there, whole; nothing that is there is wrong; others go on adding."""
    random = np.random.default_rng(3)
    reported: set[int] = set()
    for turn in range(6):
        first = 1000 * turn
        worker = adding(tmp_path, first, 10)
        assert worker.stdout is not None
        done = int(worker.stdout.readline())
        time.sleep(random.uniform(0, 0.02))
        os.kill(worker.pid, signal.SIGKILL)
        rest = worker.communicate(timeout=60)[0].split()
        reported |= set(range(first, int(rest[-1]) if rest else done))
        numbers = list(range(6000))
        cache = opened(tmp_path, dimension=512)
        positions, rows = cache.lookup(digests_of(numbers))
        assert cache.read(rows).tobytes() == vectors_of(positions, 512).tobytes()
        assert set(positions.tolist()) >= reported


class TestSize:
    def test_nothing(self, tmp_path: Path) -> None:
        assert cache_size(tmp_path / "absent") == module.CacheSize(0, 0, 0)
        assert prune(tmp_path / "absent", 0) == 0

    def test_prune_removes_what_was_opened_longest_ago(self, tmp_path: Path) -> None:
        folders = []
        for name in "abc":
            cache = opened(tmp_path, {"weights": name})
            cache.add(digests_of(range(9)), vectors_of(range(9)))
            folders.append(cache.folder)
        size = cache_size(tmp_path)
        assert (size.identities, size.vectors) == (3, 27)
        assert size.bytes == sum(file.stat().st_size for folder in folders for file in folder.iterdir())
        for age, folder in enumerate(folders):
            os.utime(folder / "identity.json", (10**9 - age, 10**9 - age))
        opened(tmp_path, {"weights": "c"})  # used again: now the youngest
        assert prune(tmp_path, size.bytes) == 0
        assert prune(tmp_path, size.bytes - 1) == size.bytes // 3
        assert [folder.exists() for folder in folders] == [True, False, True]
        assert prune(tmp_path, 0) == 2 * (size.bytes // 3)
        assert cache_size(tmp_path).identities == 0

    def test_prune_leaves_what_is_being_written(self, tmp_path: Path) -> None:
        folder = filled(tmp_path, 3)
        with FileLock(f"{folder}.lock"):
            assert prune(tmp_path, 0) == 0
        assert found(tmp_path, range(3)) == {0, 1, 2}
