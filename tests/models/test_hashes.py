"""Hashes of large files: read once, looked up afterwards, never taken from a file that has changed."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from qembed.models import hashes
from qembed.models.hashes import file_sha256


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hashes, "LARGE_BYTES", 4)
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read through."""
    found: list[Path] = []
    real = hashes._hash

    def watched(path: Path) -> str:
        found.append(path)
        return real(path)

    monkeypatch.setattr(hashes, "_hash", watched)
    return found


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_large_file_is_read_once(tmp_path: Path, read: list[Path]) -> None:
    file = write(tmp_path / "model.safetensors", b"weights")
    assert [file_sha256(file) for _ in range(3)] == [sha256(b"weights").hexdigest()] * 3
    assert len(read) == 1


def test_a_small_file_leaves_no_trace(tmp_path: Path, cache: Path) -> None:
    assert file_sha256(write(tmp_path / "a", b"abc")) == sha256(b"abc").hexdigest()
    assert not cache.exists()


@pytest.mark.parametrize("content", [b"WEIGHTS", b"more weights"])
def test_a_changed_file_is_read_again(tmp_path: Path, content: bytes) -> None:
    file = write(tmp_path / "model.safetensors", b"weights")
    file_sha256(file)
    before = file.stat().st_mtime_ns
    write(file, content)
    os.utime(file, ns=(before + 1, before + 1))
    assert file_sha256(file) == sha256(content).hexdigest()


def test_the_hub_names_a_blob_by_its_hash(tmp_path: Path, read: list[Path]) -> None:
    digest = sha256(b"weights").hexdigest()
    blob = write(tmp_path / "models--owner--name" / "blobs" / digest, b"weights")
    link = tmp_path / "models--owner--name" / "snapshots" / "main" / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    assert file_sha256(link) == digest
    assert read == []


def test_a_name_of_64_digits_elsewhere_proves_nothing(tmp_path: Path) -> None:
    assert file_sha256(write(tmp_path / ("0" * 64), b"weights")) == sha256(b"weights").hexdigest()


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "file", b"no folder")
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "file" / "cache"))
    assert file_sha256(write(tmp_path / "model", b"weights")) == sha256(b"weights").hexdigest()


@pytest.mark.parametrize("content", [b"{broken", b"[1]", b'{"x": 3}'])
def test_a_cache_that_makes_no_sense(tmp_path: Path, cache: Path, content: bytes) -> None:
    write(cache / "sha256.json", content)
    file = write(tmp_path / "model", b"weights")
    assert file_sha256(file) == file_sha256(file) == sha256(b"weights").hexdigest()
