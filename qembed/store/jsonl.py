"""Embeddings as JSON lines: ``{"id", "text", "embedding", "metadata"}``, one record a line.

Files of other tools are read too, where they name the same things otherwise (``vector``, ``payload``, ...).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from qembed.errors import InputNotFound, UsageError
from qembed.records import EMBEDDINGS_SUFFIX

_ID_KEYS = ("id", "chunk_id", "_id")
_VECTOR_KEYS = ("embedding", "vector", "values")
_TEXT_KEYS = ("text", "content", "page_content", "document")
_METADATA_KEYS = ("metadata", "payload")
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
        kind: ``not-json``, ``cut-off``, ``not-an-object``, ``no-vector``, ``no-id`` or ``not-numbers``.
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


def read_records(path: Path) -> Iterator[Record | BadLine]:
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
        if _is_cut_off(line, error):
            return BadLine(number, "the file ends within this line: it was cut off", "cut-off")
        return BadLine(number, f"not valid JSON at column {error.colno}: {error.msg}", "not-json")
    except BadRecordError as error:
        return BadLine(number, str(error), error.kind)


def parse_value(value: Any, number: int) -> Record:
    """One parsed line as a record.

    Raises:
        BadRecordError: It is none.
    """
    if not isinstance(value, dict):
        raise BadRecordError("not-an-object", "JSON, but not an object")
    numbers = _first(value, _VECTOR_KEYS)
    if not isinstance(numbers, list):
        raise BadRecordError("no-vector", f"no vector: none of {', '.join(_VECTOR_KEYS)} is a list")
    vector = _vector(numbers)
    identity = _first(value, _ID_KEYS)
    if not isinstance(identity, str | int) or isinstance(identity, bool):
        raise BadRecordError("no-id", f"no id: none of {', '.join(_ID_KEYS)} is a string or an integer")
    metadata = _first(value, _METADATA_KEYS)
    metadata = metadata if isinstance(metadata, dict) else {}
    text = _first(value, _TEXT_KEYS)
    if text is None:
        text = _first(metadata, _TEXT_KEYS)
    return Record(number, identity, text if isinstance(text, str) else None, vector, metadata)


def find_embeddings(path: Path) -> Path:
    """The file of embeddings that ``path`` means: itself, or the only one in the folder.

    Raises:
        InputNotFound: Nothing there.
        UsageError: Several in the folder.
    """
    if path.is_file():
        return path
    found = sorted(path.glob(f"*{EMBEDDINGS_SUFFIX}")) if path.is_dir() else []
    if not found:
        raise InputNotFound(
            f"no embeddings at {str(path)!r} (looked for *{EMBEDDINGS_SUFFIX})",
            remedy="make them: qembed embed INPUT -o FOLDER --model MODEL",
        )
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} files of embeddings in {str(path)!r}",
            where=", ".join(file.name for file in found[:5]),
            remedy="name the one that you mean",
        )
    return found[0]


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
