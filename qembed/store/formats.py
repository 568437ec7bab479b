"""Files of embeddings in any format, in one file or in shards: names, writing, finding, reading.

    jsonl    NAME_embeddings.jsonl      store.jsonl
    parquet  NAME_embeddings.parquet    store.parquet
    npy      NAME_embeddings.npy        store.npy, with NAME_embeddings.ids.jsonl

Shards are called ``NAME_embeddings-00001-of-00004.jsonl`` and so on; each can be read alone by other tools.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias, get_args

import numpy as np

from qembed.corpus.files import pyarrow
from qembed.corpus.walk import no_file
from qembed.errors import InputNotFound, Mismatch, UsageError
from qembed.records import Vectors
from qembed.store.hashed import OutputFile
from qembed.store.jsonl import BadLine, JsonlPart, Record, jsonl_records
from qembed.store.npy import IDS_SUFFIX, NpyPart, NpyRows, ids_file
from qembed.store.parquet import ParquetPart, ParquetRows
from qembed.store.work import check_published

Format: TypeAlias = Literal["jsonl", "parquet", "npy"]
FORMATS: tuple[Format, ...] = get_args(Format)

_NAME = re.compile(
    r"(?P<collection>.*)_embeddings(?:-(?P<number>\d{5,})-of-(?P<count>\d{5,}))?"
    rf"(?P<suffix>\.(?:{'|'.join(FORMATS)})|{re.escape(IDS_SUFFIX)})",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The embeddings of one collection.

    Attributes:
        format: Format of all its files.
        parts: The file, or all its shards in order; of npy, the arrays.
    """

    format: Format
    parts: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The first file, by which all are found again."""
        return self.parts[0]

    @property
    def files(self) -> tuple[Path, ...]:
        """All files; of npy, the ids too."""
        if self.format != "npy":
            return self.parts
        return tuple(file for part in self.parts for file in (part, ids_file(part)))

    @property
    def unit(self) -> str:
        """What a record is in it: ``line`` or ``row``."""
        return "line" if self.format == "jsonl" else "row"


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


class Rows(Protocol):
    """Reads one file of records, in order or singly."""

    def __iter__(self) -> Iterator[tuple[int, Record | BadLine]]:
        """(offset, record), in order."""

    def at(self, line: int, offset: int) -> Record | BadLine:
        """A record again, by its number from 1 and what came with it."""


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


def read_records(path: Path) -> Iterator[Record | BadLine]:
    """The records of one file of any format, streamed; what cannot be read comes as ``BadLine``.

    Lines and rows are numbered within this file. Of npy, ``path`` is the array.

    Raises:
        UsageError: Parquet without pyarrow.
        OSError: The file cannot be opened.
    """
    format = format_of(path)
    if format == "jsonl":
        return jsonl_records(path)
    return (record for _, record in rows(path, format))


def placed_records(embeddings: Embeddings) -> Iterator[tuple[Record, str]]:
    """Every record of all files with its place, file and line or row, for those who need each one whole.

    Raises:
        Mismatch: A line or row that is no record.
        UsageError, OSError: As ``read_records``.
    """
    for part in embeddings.parts:
        for record in read_records(part):
            place = f"{part}, {embeddings.unit} {record.line}"
            if isinstance(record, BadLine):
                raise Mismatch(record.reason, where=place, remedy="qembed audit lists all that is wrong")
            yield record, place


def rows(path: Path, format: Format) -> Rows:
    """The reader of one file of Parquet or npy."""
    return ParquetRows(path) if format == "parquet" else NpyRows(path)


def format_of(path: Path) -> Format:
    """By the end of the name; JSON lines where it says nothing else."""
    return next((name for name in FORMATS if path.name.endswith(f".{name}")), "jsonl")


def collection_of(path: Path) -> str:
    """The collection in the name of a file of embeddings; the whole name where it is called otherwise."""
    named = _NAME.fullmatch(path.name)
    return named["collection"] if named else path.name


def written_files(folder: Path, collection: str | None = None) -> list[Path]:
    """Files that ``open_writer`` wrote, whatever the format: of one collection, or of all when None."""
    found = (path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else ()
    named = ((path, _NAME.fullmatch(path.name)) for path in found)
    return sorted(path for path, match in named if match and collection in (None, match["collection"]))


def find_embeddings(path: Path) -> Embeddings:
    """The embeddings that ``path`` means: a file (one shard stands for all), or the only ones in a folder.

    Raises:
        InputNotFound: Nothing there, a shard is missing, or an array without its ids.
        UsageError: Several in the folder, or a run has not finished writing them.
    """
    if path.is_file():
        return _complete(path)
    if kind := no_file(path):
        raise InputNotFound(
            f"{str(path)!r} is {kind}, not a file of embeddings",
            remedy="write what comes out of it into a file first",
        )
    for unfinished in path.glob(".*.ready") if path.is_dir() else ():
        check_published(path, unfinished.name[1:].removesuffix(".ready"))
    sets = {_set_of(file): file for file in written_files(path)}
    if not sets:
        raise InputNotFound(
            f"no embeddings at {str(path)!r} (looked for *_embeddings.jsonl, .parquet and .npy)",
            remedy="make them: qembed embed INPUT -o FOLDER --model MODEL",
        )
    if len(sets) > 1:
        raise UsageError(
            f"{len(sets)} files of embeddings in {str(path)!r}",
            where=", ".join(file.name for file in list(sets.values())[:5]),
            remedy="name the one that you mean",
        )
    return _complete(next(iter(sets.values())))


def _set_of(path: Path) -> tuple[str, str | None, str]:
    """Equal for the files that make up one whole."""
    named = _NAME.fullmatch(path.name)
    assert named
    return named["collection"], named["count"], named["suffix"].replace(IDS_SUFFIX, ".npy")


def _complete(path: Path) -> Embeddings:
    if path.name.endswith(IDS_SUFFIX):
        path = path.with_name(f"{path.name.removesuffix(IDS_SUFFIX)}.npy")
    named = _NAME.fullmatch(path.name)
    parts: tuple[Path, ...] = (path,)
    if named and named["count"]:
        stem, width = f"{named['collection']}_embeddings", len(named["count"])
        names = (f"{stem}-{at + 1:0{width}d}-of-{named['count']}" for at in range(int(named["count"])))
        parts = tuple(path.with_name(name + named["suffix"]) for name in names)
    if named:
        check_published(path.parent, named["collection"])
    whole = Embeddings(format_of(path), parts)
    missing = [file for file in whole.files if not file.is_file()]
    if missing:
        raise InputNotFound(
            f"{missing[0].name} is missing, {len(missing)} of {len(whole.files)} files",
            where=str(path.parent),
            remedy="copy it here as well, or embed again",
        )
    return whole
