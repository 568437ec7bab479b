"""Embeddings as JSON lines: ``{"id", "text", "embedding", "metadata"}``, one record per line.

Files of other tools are read too, where they name the same things otherwise (``vector``, ``payload``, ...).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from qembed.corpus.exact_json import Digits, load_bytes, loads
from qembed.corpus.normal import normal_form
from qembed.records import Vectors
from qembed.store.hashed import HashedFile, OutputFile

_ID_KEYS = ("id", "chunk_id", "_id", "custom_id", "id_")
VECTOR_KEYS = ("embedding", "vector", "values", "embeddings", "dense_vector")
_TEXT_KEYS = ("text", "content", "page_content", "document")
METADATA_KEYS = ("metadata", "payload")
_UTF8_BOM = b"\xef\xbb\xbf"
_LINES_A_BLOCK = 64
"""Lines joined into one write: few enough that the memory of the last block is used again."""

_EXACT_FLOAT = 2.0**53
_JSON_NAMES = {str: "a string", bool: "true or false", list: "a list", dict: "an object"}


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a file of embeddings.

    Attributes:
        line: Line number, from 1.
        id: As the file has it: a string, or the number of another tool.
        text: None where the file has no text.
        vector: float32 (dimension,).
        metadata: In the normal form (``corpus.normal``); empty where there is none.
        changes: What the normal form changed, as sentences of ``corpus.normal``.
    """

    line: int
    id: str | int
    text: str | None
    vector: npt.NDArray[np.float32]
    metadata: dict[str, Any]
    changes: tuple[str, ...] = ()


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
    """One line, with its newline where it has one; JSON null in a vector is read as NaN.

    What Python's ``json.dump`` writes although it is no JSON (NaN, Infinity) is read too, and numbers that
    no 64 bits hold are read exactly.
    """
    return parsed_line(line, number)[1]


def parsed_line(line: bytes, number: int) -> tuple[Any, Record | BadLine]:
    """What ``parse_line`` gives, and the JSON that it was made of; None where it is none."""
    if number == 1:
        line = line.removeprefix(_UTF8_BOM)
    value = None
    try:
        value = load_json(line)
        return value, parse_value(value, number)
    except orjson.JSONDecodeError as error:
        return value, not_json(line, number, error)
    except BadRecordError as error:
        return value, BadLine(number, str(error), error.kind)
    except RecursionError:
        return value, BadLine(number, "nested too deeply", "not-json")


def load_json(line: bytes) -> Any:
    """A JSON document of one line, exactly: with integers of any length, ``NaN``, and ``1e400`` as text.

    Raises:
        orjson.JSONDecodeError: It is none.
        RecursionError: It is nested too deeply.
    """
    try:
        return load_bytes(line)
    except orjson.JSONDecodeError:
        try:
            value = loads(line.decode())
            json.dumps(value, ensure_ascii=False).encode()  # no halves of characters
            return value
        except (ValueError, RecursionError):
            pass
        raise


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
        raise BadRecordError("not-an-object", _no_object(value))
    numbers = _first(value, VECTOR_KEYS)
    if isinstance(numbers, dict) and len(numbers) == 1:
        (numbers,) = numbers.values()  # Qdrant's named vectors, of which there is one
    if isinstance(numbers, str) and numbers.lstrip().startswith("["):
        numbers = _written_list(numbers)
    if not isinstance(numbers, list):
        named = f": {', '.join(numbers)}" if isinstance(numbers, dict) else ""
        what = f"several vectors{named}" if isinstance(numbers, dict) else _keys_of(value)
        raise BadRecordError("no-vector", f"no vector: none of {', '.join(VECTOR_KEYS)} is a list; {what}")
    return record_of(value, _vector(numbers), number)


def _no_object(value: Any) -> str:
    if isinstance(value, list):
        return f"JSON, but a list of {len(value):,}: write one record per line (jq -c '.[]' FILE)"
    return "JSON, but not an object"


def _keys_of(value: dict[str, Any]) -> str:
    return f"the keys are {', '.join(map(repr, list(value)[:8])) or 'none'}"


def _written_list(text: str) -> Any:
    """A vector that was written as text, as CSV tools do."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def record_of(value: Any, vector: npt.NDArray[np.float32], number: int) -> Record:
    """A record from its vector and an object with all the rest.

    Raises:
        BadRecordError: It is no object, or has no id.
    """
    if not isinstance(value, dict):
        raise BadRecordError("not-an-object", _no_object(value))
    identity = _first(value, _ID_KEYS)
    if isinstance(identity, float) and identity.is_integer() and abs(identity) < _EXACT_FLOAT:
        identity = int(identity)  # pandas makes floats of ids where one is missing
    if not isinstance(identity, str | int) or isinstance(identity, bool):
        said = f"id is {identity!r}" if identity is not None else _keys_of(value)
        raise BadRecordError(
            "no-id", f"no id: none of {', '.join(_ID_KEYS)} is a string or an integer; {said}"
        )
    metadata = _first(value, METADATA_KEYS)
    changes: set[str] = set()
    try:
        metadata = normal_form(metadata if isinstance(metadata, dict) else {}, changes.add)
    except RecursionError:
        raise BadRecordError("not-json", "the metadata is nested too deeply") from None
    text = _first(value, _TEXT_KEYS)
    if text is None:
        text = _first(metadata, _TEXT_KEYS)
    written = text if isinstance(text, str) else None
    return Record(number, identity, written, vector, metadata, tuple(sorted(changes)))


def _is_cut_off(line: bytes, error: orjson.JSONDecodeError) -> bool:
    if line.endswith(b"\n"):
        return False
    stopped_at_the_end = bool(error.doc) and error.pos >= len(error.doc)  # doc is empty where UTF-8 is broken
    return stopped_at_the_end or not line.endswith(b"}")


def _vector(numbers: list[Any]) -> npt.NDArray[np.float32]:
    if not numbers:
        raise BadRecordError("no-vector", "no vector: the list is empty")
    types = set(map(type, numbers))
    if types & {type(None), Digits}:
        numbers = [_number(number) for number in numbers]
        types = set(map(type, numbers))
    odd = sorted(_JSON_NAMES[type_] for type_ in types - {float, int})
    if odd:
        raise BadRecordError("not-numbers", f"the vector holds something that is not a number: {odd[0]}")
    try:
        with np.errstate(over="ignore"):  # beyond float32: Inf, which every reader must check for anyway
            return np.fromiter(numbers, dtype=np.float32, count=len(numbers))
    except OverflowError:
        raise BadRecordError("not-numbers", "the vector holds a number too large for any float") from None


def _number(number: Any) -> Any:
    """NaN for null, infinity for a number that no float holds."""
    if number is None:
        return math.nan
    return float(number) if isinstance(number, Digits) else number


def _first(value: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """The first that is there and not null."""
    return next((value[key] for key in keys if value.get(key) is not None), None)
