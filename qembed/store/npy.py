"""Embeddings as a NumPy array, with a file of JSON lines that says what each row is.

NAME.npy        float32 (records, dimension), little-endian
NAME.ids.jsonl  ``{"id", "text", "metadata"}``, one line a row
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import orjson

from qembed.records import Vectors
from qembed.store.hashed import HashedFile, OutputFile
from qembed.store.jsonl import BadLine, Record, load_json, not_json, record_of
from qembed.store.keys import USUAL, BadRecordError, Keys, only

IDS_SUFFIX = ".ids.jsonl"

_HEADER = re.compile(
    rb"\{'descr': '(?P<type>[<>]f[248])', 'fortran_order': False, "
    rb"'shape': \((?P<rows>\d{1,18}), (?P<dimension>\d{1,9})\), \} *\n"
)
_MAX_HEADER_BYTES = 10_000


def ids_file(vectors: Path) -> Path:
    """The file that says what the rows of a ``.npy`` are."""
    return vectors.with_name(f"{vectors.stem}{IDS_SUFFIX}")


class NpyPart:
    """Writes one shard; as many records as promised must come, for the array's header comes first."""

    def __init__(self, folder: Path, stem: str, records: int, dimension: int) -> None:
        self._vectors = HashedFile(folder / f"{stem}.npy")
        self._ids = HashedFile(ids_file(self._vectors.path))
        self._records = records
        header = {"descr": "<f4", "fortran_order": False, "shape": (records, dimension)}
        np.lib.format.write_array_header_1_0(self._vectors, header)

    def write(
        self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors, metadatas: Sequence[dict[str, Any]]
    ) -> None:
        """The next records."""
        self._vectors.write(vectors.astype("<f4", copy=False).tobytes())
        lines = (
            orjson.dumps({"id": name, "text": text, "metadata": metadata}, option=orjson.OPT_APPEND_NEWLINE)
            for name, text, metadata in zip(ids, texts, metadatas, strict=True)
        )
        self._ids.write(b"".join(lines))

    def close(self) -> tuple[OutputFile, ...]:
        """Finish both files."""
        return self._vectors.finish(self._records), self._ids.finish(self._records)

    def abandon(self) -> None:
        """Leave them as they are."""
        self._vectors.abandon()
        self._ids.abandon()


class NpyRows:
    """The records of a ``.npy`` with its ``.ids.jsonl``; the vectors stay on the disk, mapped."""

    def __init__(self, path: Path, keys: Keys = USUAL) -> None:
        self._path, self._keys = path, keys

    def __iter__(self) -> Iterator[tuple[int, Record | BadLine]]:
        """(offset of the line in the file of ids, record)."""
        try:
            vectors, promised = _open(self._path)
        except ValueError as error:
            yield 0, BadLine(1, f"{self._path.name} is no array that can be read: {error}", "not-readable")
            return
        number = offset = 0
        with ids_file(self._path).open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                yield offset, _row(line, number, vectors, promised, self._keys)
                offset += len(line)
        for row in range(number + 1, len(vectors) + 1):
            yield offset, BadLine(row, f"{ids_file(self._path).name} has no line for this row", "no-id")
        last = max(number, len(vectors))
        if last < promised:
            reason = f"{self._path.name} ends after row {len(vectors):,}, its header promises {promised:,}"
            yield offset, BadLine(last + 1, reason, "cut-off")

    def at(self, line: int, offset: int) -> Record | BadLine:
        """One record again."""
        vectors, promised = _open(self._path)
        with ids_file(self._path).open("rb") as lines:
            lines.seek(offset)
            return _row(lines.readline(), line, vectors, promised, self._keys)


def array_rows(path: Path) -> int:
    """How many whole rows an array holds; -1 where it is none, or its header promises another number."""
    try:
        vectors, promised = _open(path)
    except ValueError:
        return -1
    return promised if promised == len(vectors) else -1


def _row(line: bytes, number: int, vectors: npt.NDArray[Any], promised: int, keys: Keys) -> Record | BadLine:
    try:
        value = load_json(line)
        if number > len(vectors):
            kind = "cut-off" if number <= promised else "no-vector"
            raise BadRecordError(kind, f"the array ends after row {len(vectors):,}")
        with np.errstate(over="ignore"):
            vector = np.array(vectors[number - 1], dtype=np.float32)
        return record_of(value, only(vector, keys), number, keys)
    except orjson.JSONDecodeError as error:
        return not_json(line, number, error)
    except BadRecordError as error:
        return BadLine(number, str(error), error.kind)
    except RecursionError:
        return BadLine(number, "nested too deeply", "not-json")


def _open(path: Path) -> tuple[npt.NDArray[Any], int]:
    """The rows that are there, and how many the header promises.

    Raises:
        ValueError: No array of two dimensions of floats.
    """
    with path.open("rb") as file:
        dtype, promised, dimension = _header(file)
        offset, size = file.tell(), path.stat().st_size
    rows = min(promised, (size - offset) // (dimension * dtype.itemsize))
    if not rows:
        return np.empty((0, dimension), dtype), promised
    return np.memmap(path, dtype, "r", offset, (rows, dimension)), promised


def _header(file: BinaryIO) -> tuple[np.dtype[Any], int, int]:
    """Number type, rows and columns; the form is numpy.lib.format's, versions 1 and 2.

    NumPy's own reader evaluates the header as Python, which a damaged one can bring down (SystemError).
    """
    start = file.read(8)
    if len(start) < 8 or start[:6] != b"\x93NUMPY" or start[6:] not in (b"\1\0", b"\2\0"):
        raise ValueError("it does not begin as one")
    length = int.from_bytes(file.read(2 * start[6]), "little")
    header = file.read(min(length, _MAX_HEADER_BYTES))
    found = _HEADER.fullmatch(header)
    if found is None or len(header) < length or not int(found["dimension"]):
        said = header[:80].decode("ascii", "backslashreplace").strip()
        raise ValueError(f"not floats of shape (records, dimension) in row order: {said}")
    return np.dtype(found["type"].decode()), int(found["rows"]), int(found["dimension"])
