"""Embeddings written record by record, in any format, in one file or in shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from qembed.corpus.files import pyarrow
from qembed.errors import UsageError
from qembed.records import Vectors
from qembed.store.formats import Format
from qembed.store.hashed import OutputFile
from qembed.store.jsonl import JsonlPart
from qembed.store.npy import NpyPart
from qembed.store.parquet import ParquetPart


class Part(Protocol):
    """Writes one shard in one format; raises ``QembedError`` where the disk is full."""

    def write(
        self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors, metadatas: Sequence[dict[str, Any]]
    ) -> None:
        """The next records."""

    def close(self) -> tuple[OutputFile, ...]:
        """Finish its files."""

    def abandon(self) -> None:
        """Leave them as they are."""


class Writer:
    """Takes blocks of records in order; a context manager that abandons files where ``close`` was not called.

    Not safe to share between threads. Hashing and writing happen in a thread of their own, one block behind.
    """

    def __init__(self, make: Callable[[str, int], Part], sizes: dict[str, int], dimension: int) -> None:
        """``make`` opens a shard by name and records; ``sizes`` holds those of all shards, in order."""
        self._make = make
        self._coming = iter(sizes.items())
        self._left = sum(sizes.values())
        self._dimension = dimension
        self._part: Part | None = None
        self._room = 0
        self._written: list[OutputFile] = []

    def add(
        self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors, metadatas: Sequence[dict[str, Any]]
    ) -> None:
        """Write the next records.

        Args:
            ids: Ids of the chunks; (n,).
            texts: Texts of the chunks; (n,).
            vectors: float32 (n, dimension).
            metadatas: Metadata of the chunks; (n,).

        Raises:
            QembedError: The disk is full or cannot be written.
            ValueError: Lengths that differ, another dimension, or more records than were promised.
        """
        plain = np.ascontiguousarray(np.asarray(vectors), dtype=np.float32)
        if plain.shape != (len(ids), self._dimension) or not len(ids) == len(texts) == len(metadatas):
            raise ValueError(f"{len(ids)} ids, vectors {plain.shape}, dimension {self._dimension}")
        if len(ids) > self._left:
            raise ValueError(f"{len(ids)} records, but only {self._left} more were promised")
        start = 0
        while start < len(ids):
            part = self._current()
            stop = min(len(ids), start + self._room)
            part.write(ids[start:stop], texts[start:stop], plain[start:stop], metadatas[start:stop])
            self._room -= stop - start
            self._left -= stop - start
            start = stop

    def close(self) -> tuple[OutputFile, ...]:
        """Finish all files; they are on the disk when this returns.

        Raises:
            QembedError: The disk is full or cannot be written.
            ValueError: Fewer records came than were promised.
        """
        if self._left:
            raise ValueError(f"{self._left} records that were promised did not come")
        if self._part is None and not self._written:
            self._current()  # no record at all: an empty file
        self._finish()
        return tuple(self._written)

    def _current(self) -> Part:
        if self._part is None or not self._room:
            self._finish()
            name, self._room = next(self._coming)
            self._part = self._make(name, self._room)
        return self._part

    def _finish(self) -> None:
        if self._part is not None:
            self._written += self._part.close()
            self._part = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._part is not None:
            self._part.abandon()
            self._part = None


_PARTS: dict[Format, Callable[[Path, str, int, int], Part]] = {
    "jsonl": JsonlPart,
    "parquet": ParquetPart,
    "npy": NpyPart,
}


def open_writer(
    format: Format,
    folder: Path,
    collection: str,
    *,
    dimension: int,
    records: int,
    shard_records: int | None = None,
) -> Writer:
    """Begin to write the embeddings of a collection.

    Memory: two blocks of 64 records, of npy two blocks as they are added, of Parquet one row group
    (``parquet.ROW_GROUP_BYTES`` of vectors, and its texts).

    Args:
        format: ``jsonl``, ``parquet`` or ``npy``.
        folder: Where; the files take their final names in it at once, so it should be one of staged files.
        collection: First part of the names.
        dimension: Dimension of every vector.
        records: How many will be added.
        shard_records: Records of one shard at most; one file without a number when None.

    Raises:
        UsageError: Parquet without pyarrow, or a shard of no records.
    """
    if shard_records is not None and shard_records < 1:
        raise UsageError("a shard holds at least 1 record", where="--shard-records")
    if format == "parquet":
        pyarrow("parquet")  # an error now, not once the vectors are made
    sizes = dict(_shards(f"{collection}_embeddings", records, shard_records))
    return Writer(lambda stem, size: _PARTS[format](folder, stem, size, dimension), sizes, dimension)


def _shards(stem: str, records: int, shard_records: int | None) -> Iterator[tuple[str, int]]:
    if shard_records is None:
        yield stem, records
        return
    count = max(1, -(-records // shard_records))
    for number in range(count):
        size = min(shard_records, records - number * shard_records)
        yield f"{stem}-{number + 1:05d}-of-{count:05d}", size
