"""Vectors kept across runs, by the hash of their text and by all that decides a vector.

    DIR/<hash of the identity>/identity.json   model, weights, prompt, length, precision, ...
    DIR/<hash of the identity>/keys.bin        20 bytes per vector: half the text's SHA-256, a CRC-32
    DIR/<hash of the identity>/vectors.f32     float32 (vectors, dimension), in the order of the keys
    DIR/<hash of the identity>.lock            held while rows are appended

Rows are only ever appended. A row counts where its CRC-32, over key and vector, holds: a writer that was
killed, a write that was torn and a bit that flipped cost the rows that they hit, and never give a wrong
vector.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias
from zlib import crc32

import numpy as np
import numpy.typing as npt
import orjson
from filelock import FileLock, Timeout

from qembed.errors import Mismatch, QembedError
from qembed.records import Vectors
from qembed.store.atomic import atomic_file, explained

SCHEMA = "qembed.cache/1"
LOCK_SECONDS = 60.0
"""How long ``add`` waits for other writers; each holds the lock for one block of vectors."""

_KEY = np.dtype([("high", "<u8"), ("low", "<u8"), ("crc", "<u4")])
_DIGEST_BYTES = 16
_ROWS_A_BLOCK = 1024

Digests: TypeAlias = npt.NDArray[np.void]
Indices: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CacheSize:
    """What a cache holds.

    Attributes:
        identities: Models, or ways to use one.
        vectors: Number of vectors of all identities.
        bytes: Bytes on the disk.
    """

    identities: int
    vectors: int
    bytes: int


def open_cache(
    folder: Path | None, identity: dict[str, Any], dimension: int, note: Callable[[str], None]
) -> VectorCache | None:
    """The cache in a folder; None without a folder, and where none can be opened or begun there.

    A run that cannot use its cache makes all vectors itself: ``note`` is called with the reason.
    """
    if folder is None:
        return None
    try:
        return VectorCache(folder, identity, dimension)
    except (QembedError, OSError) as error:
        reason = f"{error.message} ({error.where})" if isinstance(error, QembedError) else str(error)
        note(f"the vector cache {str(folder)!r} is not used: {reason}")
        return None


class VectorCache:
    """The vectors of one identity; sees what was there when it was opened.

    Memory: 16 bytes per cached vector, some 40 while it is opened; keys and vectors are mapped from the disk.
    Many processes may read and add at the same time.

    Attributes:
        note: Why vectors could not be added, in words for the user; None while all could.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], dimension: int) -> None:
        """Open the cache for an identity, or begin it.

        Args:
            folder: Folder of all identities; created if it does not exist.
            identity: All that decides a vector besides its text; JSON.
            dimension: Dimension of every vector.

        Raises:
            QembedError: The folder cannot be made or read.
            Mismatch: What is there is no cache, or that of another identity.
        """
        said = {"schema": SCHEMA, "dimension": dimension, "identity": identity}
        name = sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        self.folder = folder / name
        self.note: str | None = None
        self._dimension = dimension
        self._lock = FileLock(folder / f"{name}.lock")
        with explained(folder):
            _claim(self.folder, said)
            self._keys, self._vectors = _rows(self.folder, dimension)
        high = np.ascontiguousarray(self._keys["high"])
        order = np.argsort(high, kind="stable")
        high = high[order]
        newest = np.append(high[1:] != high[:-1], True) if len(high) else np.empty(0, np.bool_)
        self._high: npt.NDArray[np.uint64] = high[newest]
        self._order: Indices = order[newest]

    def __len__(self) -> int:
        return len(self._high)

    def lookup(self, digests: Digests) -> tuple[Indices, Indices]:
        """Which texts have a sound vector here. Reads those vectors once, to check them.

        Args:
            digests: SHA-256 of each text, whole or its first half: V32 or V16 (n,).

        Returns:
            Positions in ``digests``, ascending, and for each the row for ``read``; both int64 (found,).
        """
        wanted = _halves(digests)
        at = np.minimum(np.searchsorted(self._high, wanted[:, 0]), max(0, len(self._high) - 1))
        positions = (
            np.flatnonzero(self._high[at] == wanted[:, 0]) if len(self._high) else np.empty(0, np.int64)
        )
        rows = self._order[at[positions]]
        same = self._keys["low"][rows] == wanted[positions, 1]
        positions, rows = positions[same], rows[same]
        sound = np.empty(len(rows), np.bool_)
        for block in _blocks(len(rows)):
            sound[block] = self._sound(rows[block], self._vectors[rows[block]])
        return positions[sound], rows[sound]

    def read(self, rows: Indices) -> Vectors:
        """The vectors of rows that ``lookup`` gave, float32 (rows, dimension).

        Raises:
            QembedError: A vector changed on the disk since ``lookup``.
        """
        vectors: Vectors = self._vectors[rows]
        if not self._sound(rows, vectors).all():
            raise QembedError(
                "a cached vector changed while it was used",
                where=str(self.folder),
                remedy="run again to compute the vector anew; if this happens again, the disk is failing",
            )
        return vectors

    def add(self, digests: Digests, vectors: Vectors) -> None:
        """Append vectors for the next run; never fails for the disk, but says in ``note`` what went wrong.

        After the first failure nothing more is written. Meant for blocks of some hundred vectors: each call
        takes the lock and opens the files.

        Args:
            digests: As for ``lookup``.
            vectors: float32 (n, dimension).

        Raises:
            ValueError: Another number or dimension of vectors.
        """
        if vectors.shape != (len(digests), self._dimension):
            raise ValueError(f"{len(digests)} digests, vectors {vectors.shape}, dimension {self._dimension}")
        if self.note is not None or not len(digests):
            return
        plain = np.ascontiguousarray(vectors, dtype="<f4")
        keys = _keys_of(_halves(digests), plain)
        try:
            with self._lock.acquire(timeout=LOCK_SECONDS), _Appending(self.folder, 4 * self._dimension) as to:
                to.append(keys, plain)
        except Timeout:
            self.note = f"another program holds the lock of the vector cache {str(self.folder)!r}"
        except OSError as error:
            self.note = f"the vector cache {str(self.folder)!r} cannot be written: {error.strerror or error}"

    def _sound(self, rows: Indices, vectors: Vectors) -> npt.NDArray[np.bool_]:
        keys = np.asarray(self._keys[rows])
        return np.asarray(_checksums(keys, vectors) == keys["crc"])


class _Appending:
    """Both files of an identity, open and of equal length; an error leaves whole rows only."""

    def __init__(self, folder: Path, row_bytes: int) -> None:
        self._widths = (_KEY.itemsize, row_bytes)
        self._paths = (folder / "keys.bin", folder / "vectors.f32")
        self._files: list[BinaryIO] = []

    def __enter__(self) -> _Appending:
        try:
            self._files = [path.open("ab", buffering=0) for path in self._paths]
            self._cut()
        except BaseException:
            self.__exit__()
            raise
        return self

    def append(self, keys: npt.NDArray[np.void], vectors: Vectors) -> None:
        """Vectors first: a key without its vector would only be refused by its checksum."""
        try:
            for file, block in zip(self._files[::-1], (vectors, keys), strict=True):
                rest = memoryview(block.tobytes())
                while len(rest):
                    rest = rest[file.write(rest) :]
        except OSError:
            with suppress(OSError):
                self._cut()
            raise

    def _cut(self) -> None:
        """Drop what is not a whole row in both files: it would shift all rows that follow.

        Never a whole row: a reader may have mapped it.
        """
        sizes = [os.fstat(file.fileno()).st_size for file in self._files]
        rows = min(size // width for size, width in zip(sizes, self._widths, strict=True))
        for file, size, width in zip(self._files, sizes, self._widths, strict=True):
            if size != rows * width:
                file.truncate(rows * width)

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            with suppress(OSError):
                file.close()


def cache_size(folder: Path) -> CacheSize:
    """How much a cache holds; nothing where there is none."""
    entries = _identities(folder)
    keys = sum(path.stat().st_size for entry in entries for path in entry.glob("keys.bin"))
    return CacheSize(len(entries), keys // _KEY.itemsize, sum(map(_bytes_of, entries)))


def prune(folder: Path, max_bytes: int) -> int:
    """Remove identities, the one that was opened longest ago first, until ``max_bytes`` are left at most.

    One that is being written at this moment stays.

    Returns:
        Bytes that were freed.

    Raises:
        QembedError: A file cannot be removed.
    """
    freed, left = 0, sum(map(_bytes_of, _identities(folder)))
    with explained(folder):
        for entry in sorted(_identities(folder), key=_opened_ns):
            if left <= max_bytes:
                break
            size = _bytes_of(entry)
            with suppress(Timeout), FileLock(folder / f"{entry.name}.lock").acquire(timeout=0):
                shutil.rmtree(entry)
                freed, left = freed + size, left - size
    return freed


def _claim(folder: Path, said: dict[str, Any]) -> None:
    """Write who the folder belongs to, or check it."""
    path = folder / "identity.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        return
    try:
        same = orjson.loads(path.read_bytes()) == orjson.loads(orjson.dumps(said))
    except orjson.JSONDecodeError:
        same = False
    if not same:
        raise Mismatch(
            "this is not a vector cache, or it was made by another version",
            where=str(path),
            remedy=f"remove the folder {str(folder)!r}, or give another --cache",
        )
    with suppress(OSError):  # read-only: an input of Kaggle
        os.utime(path)


def _rows(folder: Path, dimension: int) -> tuple[npt.NDArray[Any], Vectors]:
    """Keys and vectors, mapped; as many as both files hold."""
    paths, widths = (folder / "keys.bin", folder / "vectors.f32"), (_KEY.itemsize, 4 * dimension)
    sizes = [path.stat().st_size if path.exists() else 0 for path in paths]
    count = min(size // width for size, width in zip(sizes, widths, strict=True))
    if not count:
        return np.empty(0, _KEY), np.empty((0, dimension), np.float32)
    keys = np.memmap(paths[0], _KEY, "r", shape=(count,))
    return keys, np.memmap(paths[1], "<f4", "r", shape=(count, dimension))


def _halves(digests: Digests) -> npt.NDArray[np.uint64]:
    """The first 16 bytes of each digest as two numbers; uint64 (n, 2)."""
    plain = np.ascontiguousarray(digests)
    if plain.dtype.itemsize < _DIGEST_BYTES:
        raise ValueError(f"digests of {plain.dtype.itemsize} bytes")
    parts = plain.view(np.uint8).reshape(len(plain), plain.dtype.itemsize)[:, :_DIGEST_BYTES]
    return np.ascontiguousarray(parts).view("<u8").reshape(len(plain), 2)


def _keys_of(halves: npt.NDArray[np.uint64], vectors: Vectors) -> npt.NDArray[np.void]:
    keys = np.zeros(len(halves), _KEY)
    keys["high"], keys["low"] = halves[:, 0], halves[:, 1]
    keys["crc"] = _checksums(keys, vectors)
    return keys


def _checksums(keys: npt.NDArray[np.void], vectors: Vectors) -> npt.NDArray[np.uint32]:
    """CRC-32 of each vector's bytes behind those of its key; uint32 (rows,)."""
    pairs = zip(keys, np.asarray(vectors), strict=True)
    sums = (crc32(vector, crc32(key.tobytes()[:_DIGEST_BYTES])) for key, vector in pairs)
    return np.fromiter(sums, np.uint32, len(keys))


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS_A_BLOCK) for start in range(0, count, _ROWS_A_BLOCK))


def _identities(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/identity.json"))


def _opened_ns(folder: Path) -> int:
    return (folder / "identity.json").stat().st_mtime_ns


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
