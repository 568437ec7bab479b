"""The vectors of a run on disk, with a checksum each: this is the journal that a later run resumes from.

A row counts as done if and only if the CRC-32 of its bytes is the one stored for it. So no order of writing
has to be kept, nothing has to be synchronised, and it does not matter when a process or the power dies: what
was half written does not match and is made again. Workers write rows straight into the mapped files.
"""

from __future__ import annotations

import errno
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qembed.errors import QembedError
from qembed.records import Vectors

_VECTORS, _CHECKSUMS = "vectors.f32", "done.u32"
_NOT_DONE = 0
_BLOCK_ROWS = 16_384


class Rows:
    """float32 vectors (rows, dimension) and uint32 checksums (rows,) in two files of a folder.

    Attributes:
        vectors: The mapped vectors; zero where nothing was written.
        checksums: The mapped checksums; 0 where a row is not done.
    """

    def __init__(self, folder: Path, count: int, dimension: int) -> None:
        """Open the files that ``create`` has made; any number of processes may.

        Raises:
            OSError: They are not there, or smaller than that.
        """
        self.vectors: Vectors = _map(folder / _VECTORS, np.dtype(np.float32), (count, dimension))
        self.checksums: npt.NDArray[np.uint32] = _map(folder / _CHECKSUMS, np.dtype(np.uint32), (count,))

    @staticmethod
    def create(folder: Path, count: int, dimension: int) -> Rows:
        """Open the files, made or brought to their full size; what they hold stays.

        Raises:
            OSError: The disk has no room for all of it.
        """
        for name, size in ((_VECTORS, count * dimension * 4), (_CHECKSUMS, count * 4)):
            descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                os.truncate(descriptor, size)
                if size and hasattr(os, "posix_fallocate"):
                    # Now: a disk that fills up under a mapped file kills the process (SIGBUS).
                    os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
        return Rows(folder, count, dimension)

    def put(self, rows: npt.NDArray[np.int64], vectors: Vectors) -> None:
        """Store vectors; each row counts as done from here on."""
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)  # what is summed is what is stored
        self.vectors[rows] = vectors
        self.checksums[rows] = [checksum(vector) for vector in vectors]

    def take(self, rows: npt.NDArray[np.int64]) -> Vectors:
        """Copies of finished vectors, float32 (rows, dimension).

        Raises:
            QembedError: One is not what its checksum says any more.
        """
        vectors: Vectors = self.vectors[rows]
        stored = self.checksums[rows].tolist()
        if any(of_row != checksum(vector) for of_row, vector in zip(stored, vectors, strict=True)):
            raise QembedError(
                "a finished vector changed on the disk",
                remedy="run the same command again: that vector is made anew, all others are kept",
            )
        return vectors

    def done(self) -> npt.NDArray[np.bool_]:
        """Which rows are done, by their checksums; bool (rows,)."""
        found = np.zeros(len(self.checksums), dtype=np.bool_)
        for start in range(0, len(found), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            stored = self.checksums[block].tolist()
            found[block] = [
                of_row != _NOT_DONE and of_row == checksum(vector)
                for of_row, vector in zip(stored, self.vectors[block], strict=True)
            ]
        return found

    def forget(self, rows: npt.NDArray[np.int64]) -> None:
        """Let rows count as not done."""
        self.checksums[rows] = _NOT_DONE


def checksum(vector: Vectors) -> int:
    """CRC-32 of a vector's bytes, never 0."""
    return zlib.crc32(vector.data) or 1


def _map(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A file as an array, a plain one: every row of a memmap costs ten times as much."""
    size = math.prod(shape) * dtype.itemsize
    if path.stat().st_size < size:  # numpy would lengthen it
        raise OSError(errno.EINVAL, "smaller than the rows it should hold", str(path))
    return np.asarray(np.memmap(path, dtype, "r+", shape=shape)) if size else np.empty(shape, dtype)
