"""Files of embeddings in any format, in one file or in shards: names, finding, reading.

    jsonl    NAME_embeddings.jsonl      store.jsonl
    parquet  NAME_embeddings.parquet    store.parquet
    npy      NAME_embeddings.npy        store.npy, with NAME_embeddings.ids.jsonl
    json     any name, by its content   store.json_points; read only

Shards are called ``NAME_embeddings-00001-of-00004.jsonl`` and so on; each can be read alone by other tools.
Where records have several named vectors, ``FILE#NAME`` is one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, get_args

from qembed.corpus.walk import no_file
from qembed.errors import InputNotFound, Mismatch, UsageError
from qembed.store.json_points import JsonPoints, is_document
from qembed.store.jsonl import BadLine, Record, jsonl_records
from qembed.store.keys import USUAL, Keys
from qembed.store.npy import IDS_SUFFIX, NpyRows, ids_file
from qembed.store.parquet import ParquetRows
from qembed.store.work import check_published

Format: TypeAlias = Literal["jsonl", "parquet", "npy"]
FORMATS: tuple[Format, ...] = get_args(Format)
ReadFormat: TypeAlias = Literal["jsonl", "parquet", "npy", "json"]
SNAPSHOT = ".snapshot"

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
        keys: What the user says about the keys of its records.
        origin: The address of the collection that this is a copy of; empty where it is no copy.
        left_out: Points of that collection that lack the vector, and so are not in the copy.
    """

    format: ReadFormat
    parts: tuple[Path, ...]
    keys: Keys = USUAL
    origin: str = ""
    left_out: int = 0

    @property
    def name(self) -> str:
        """What the user knows it by."""
        return self.origin or str(self.path)

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
        """What a record is in it: ``line``, ``row`` or ``point``."""
        if self.origin or self.format == "json":
            return "point"
        return "line" if self.format == "jsonl" else "row"


class Rows(Protocol):
    """Reads one file of records, in order or singly."""

    def __iter__(self) -> Iterator[tuple[int, Record | BadLine]]:
        """(offset, record), in order."""

    def at(self, line: int, offset: int) -> Record | BadLine:
        """A record again, by its number from 1 and what came with it."""


def read_records(path: Path, keys: Keys = USUAL) -> Iterator[Record | BadLine]:
    """The records of one file of any format, streamed; what cannot be read comes as ``BadLine``.

    Lines and rows are numbered within this file. Of npy, ``path`` is the array.

    Raises:
        UsageError: Parquet without pyarrow.
        OSError: The file cannot be opened.
    """
    format = format_of(path)
    if format == "jsonl":
        return jsonl_records(path, keys)
    return (record for _, record in rows(path, format, keys))


def placed_records(embeddings: Embeddings) -> Iterator[tuple[Record, str]]:
    """Every record of all files with its place, file and line or row, for those who need each one whole.

    Raises:
        Mismatch: A line or row that is no record.
        UsageError, OSError: As ``read_records``.
    """
    for part in embeddings.parts:
        for record in read_records(part, embeddings.keys):
            place = f"{embeddings.origin or part}, {embeddings.unit} {record.line}"
            if isinstance(record, BadLine):
                raise Mismatch(record.reason, where=place, remedy="qembed audit lists all that is wrong")
            yield record, place


def rows(path: Path, format: ReadFormat, keys: Keys = USUAL) -> Rows:
    """The reader of one file of Parquet, npy or JSON documents."""
    if format == "json":
        return JsonPoints(path, keys)
    return ParquetRows(path, keys) if format == "parquet" else NpyRows(path, keys)


def format_of(path: Path) -> ReadFormat:
    """By the end of the name; else JSON documents or JSON lines, by the beginning of the file."""
    for format in ("parquet", "npy"):
        if path.name.endswith(f".{format}"):
            return format
    return "json" if path.is_file() and is_document(path) else "jsonl"


def collection_of(path: Path) -> str:
    """The collection in the name of a file of embeddings; the whole name where it is called otherwise."""
    named = _NAME.fullmatch(path.name)
    return named["collection"] if named else path.name


def written_files(folder: Path, collection: str | None = None) -> list[Path]:
    """Files that ``open_writer`` wrote, whatever the format: of one collection, or of all when None."""
    found = (path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else ()
    named = ((path, _NAME.fullmatch(path.name)) for path in found)
    return sorted(path for path, match in named if match and collection in (None, match["collection"]))


def find_embeddings(path: Path, keys: Keys = USUAL) -> Embeddings:
    """The embeddings that ``path`` means: a file (one shard stands for all), or the only ones in a folder.

    Args:
        path: The file or the folder; with ``#NAME`` behind it, the named vectors of that name.
        keys: What the user says about the keys of the records.

    Raises:
        InputNotFound: Nothing there, a shard is missing, or an array without its ids.
        UsageError: Several in the folder, a run has not finished writing them, or a snapshot of Qdrant.
    """
    name, mark, vector = path.name.rpartition("#")
    if mark and vector and not path.exists():
        return find_embeddings(path.with_name(name) if name else path.parent, replace(keys, vector=vector))
    return replace(_found(path), keys=keys)


def _found(path: Path) -> Embeddings:
    if path.parts and path.parts[0] in ("qdrant:", "qdrant+http:", "qdrant+https:"):
        raise UsageError(
            "this command reads files, not a collection on a server",
            where=str(path).replace(":/", "://", 1),
            remedy="search, bench, audit and sweep read collections; for others, export the points as JSON "
            "(scroll with vectors and payload)",
        )
    if path.name.endswith(SNAPSHOT):
        raise UsageError(
            "a snapshot of Qdrant cannot be read as a file of embeddings",
            where=str(path),
            remedy="restore it into a server and give qdrant://HOST/COLLECTION, or export the points as JSON "
            "(scroll with vectors and payload)",
        )
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
