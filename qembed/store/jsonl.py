"""Embeddings as JSON lines: ``{"id", "text", "embedding", "metadata"}``, one record per line.

Files of other tools are read too, where they name the same things otherwise (``vector``, ``payload``, ...).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from qembed.records import Vectors
from qembed.store.hashed import HashedFile, OutputFile

_ID_KEYS = ("id", "chunk_id", "_id")
VECTOR_KEYS = ("embedding", "vector", "values")
_TEXT_KEYS = ("text", "content", "page_content", "document")
METADATA_KEYS = ("metadata", "payload")
_LINES_A_BLOCK = 64
"""Lines joined into one write: few enough that the memory of the last block is used again."""

_JSON_NAMES = {str: "a string", bool: "true or false", list: "a list", dict: "an object"}


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a file of embeddings.

    Attributes:
        line: Line number, from 1.
        id: As the file has it: a string, or the number of another tool.
        text: None where the file has no text.
        vector: float32 (dimension,).
        metadata: Empty where there is none.
    """

    line: int
    id: str | int
    text: str | None
    vector: npt.NDArray[np.float32]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no record.

    Attributes:
        line: Line number, from 1.
        reason: Why, in words.
        kind: ``not-json``, ``cut-off``, ``not-an-object``, ``no-vector``, ``no-id``, ``not-numbers``, or
            ``not-readable`` (the file from here on).
    """

    line: int
    reason: str
    kind: str


class BadRecordError(ValueError):
    """JSON that is no record; ``kind`` as in ``BadLine``."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def record_line(chunk_id: str, text: str, vector: npt.NDArray[np.float32], metadata: dict[str, Any]) -> bytes:
    """One record as a line with its newline; the floats read back to the same float32."""
    record = {"id": chunk_id, "text": text, "embedding": vector, "metadata": metadata}
    return orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


class JsonlPart:
    """Writes one shard."""

    def __init__(self, folder: Path, stem: str, records: int, dimension: int) -> None:  # noqa: ARG002
        self._file = HashedFile(folder / f"{stem}.jsonl")
        self._records = records

    def write(
        self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors, metadatas: Sequence[dict[str, Any]]
    ) -> None:
        """The next records."""
        for start in range(0, len(ids), _LINES_A_BLOCK):
            block = slice(start, start + _LINES_A_BLOCK)
            lines = map(record_line, ids[block], texts[block], vectors[block], metadatas[block])
            self._file.write(b"".join(lines))

    def close(self) -> tuple[OutputFile, ...]:
        """Finish the file."""
        return (self._file.finish(self._records),)

    def abandon(self) -> None:
        """Leave it as it is."""
        self._file.abandon()


def jsonl_records(path: Path) -> Iterator[Record | BadLine]:
    """The records of a file, streamed; a line that cannot be read comes as ``BadLine``."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield parse_line(line, number)


def parse_line(line: bytes, number: int) -> Record | BadLine:
    """One line, with its newline where it has one. JSON null in a vector is read as NaN."""
    try:
        return parse_value(orjson.loads(line), number)
    except orjson.JSONDecodeError as error:
        return not_json(line, number, error)
    except BadRecordError as error:
        return BadLine(number, str(error), error.kind)


def not_json(line: bytes, number: int, error: orjson.JSONDecodeError) -> BadLine:
    """A line that ``orjson`` refused: cut off, or otherwise wrong."""
    if _is_cut_off(line, error):
        return BadLine(number, "the file ends within this line: it was cut off", "cut-off")
    return BadLine(number, f"not valid JSON at column {error.colno}: {error.msg}", "not-json")


def parse_value(value: Any, number: int) -> Record:
    """One parsed line as a record.

    Raises:
        BadRecordError: It is none.
    """
    if not isinstance(value, dict):
        raise BadRecordError("not-an-object", "JSON, but not an object")
    numbers = _first(value, VECTOR_KEYS)
    if not isinstance(numbers, list):
        raise BadRecordError("no-vector", f"no vector: none of {', '.join(VECTOR_KEYS)} is a list")
    return record_of(value, _vector(numbers), number)


def record_of(value: Any, vector: npt.NDArray[np.float32], number: int) -> Record:
    """A record from its vector and an object with all the rest.

    Raises:
        BadRecordError: It is no object, or has no id.
    """
    if not isinstance(value, dict):
        raise BadRecordError("not-an-object", "JSON, but not an object")
    identity = _first(value, _ID_KEYS)
    if not isinstance(identity, str | int) or isinstance(identity, bool):
        raise BadRecordError("no-id", f"no id: none of {', '.join(_ID_KEYS)} is a string or an integer")
    metadata = _first(value, METADATA_KEYS)
    metadata = metadata if isinstance(metadata, dict) else {}
    text = _first(value, _TEXT_KEYS)
    if text is None:
        text = _first(metadata, _TEXT_KEYS)
    return Record(number, identity, text if isinstance(text, str) else None, vector, metadata)


def _is_cut_off(line: bytes, error: orjson.JSONDecodeError) -> bool:
    if line.endswith(b"\n"):
        return False
    stopped_at_the_end = bool(error.doc) and error.pos >= len(error.doc)  # doc is empty where UTF-8 is broken
    return stopped_at_the_end or not line.endswith(b"}")


def _vector(numbers: list[Any]) -> npt.NDArray[np.float32]:
    if not numbers:
        raise BadRecordError("no-vector", "no vector: the list is empty")
    types = set(map(type, numbers))
    if type(None) in types:
        numbers = [float("nan") if number is None else number for number in numbers]
        types.discard(type(None))
    odd = sorted(_JSON_NAMES[type_] for type_ in types - {float, int})
    if odd:
        raise BadRecordError("not-numbers", f"the vector holds something that is not a number: {odd[0]}")
    try:
        with np.errstate(over="ignore"):  # beyond float32: Inf, which every reader must check for anyway
            return np.fromiter(numbers, dtype=np.float32, count=len(numbers))
    except OverflowError:
        raise BadRecordError("not-numbers", "the vector holds a number too large for any float") from None


def _first(value: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((value[key] for key in keys if key in value), None)
