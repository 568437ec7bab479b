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
from qembed.corpus.metadata import with_extras
from qembed.corpus.normal import normal_form
from qembed.records import Vectors
from qembed.store.hashed import HashedFile, OutputFile
from qembed.store.keys import (
    ID_KEYS,
    USUAL,
    USUALLY,
    VECTOR_KEYS,
    BadRecordError,
    Keys,
    ReadFrom,
    beside,
    chosen,
    identity_of,
    metadata_key,
    only,
    text_of,
)

UTF8_BOM = b"\xef\xbb\xbf"
_LINES_A_BLOCK = 64
"""Lines joined into one write: few enough that the memory of the last block is used again."""

_JSON_NAMES = {str: "a string", bool: "true or false", list: "a list", dict: "an object"}


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a file of embeddings.

    Attributes:
        line: Line number, from 1.
        id: Chunk id; or as the file has it, a string or the number of another tool (``keys.identity_of``).
        text: None where the file has no text.
        vector: float32 (dimension,).
        metadata: In the normal form (``corpus.normal``), with what else the record holds; empty where there
            is none.
        changes: What the normal form changed, as sentences of ``corpus.normal``.
        read_from: The keys that it was read from.
    """

    line: int
    id: str | int
    text: str | None
    vector: npt.NDArray[np.float32]
    metadata: dict[str, Any]
    changes: tuple[str, ...] = ()
    read_from: ReadFrom = USUALLY


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no record.

    Attributes:
        line: Line number, from 1.
        reason: Why, in words.
        kind: ``not-json``, ``cut-off``, ``not-an-object``, ``no-vector``, ``several-vectors``, ``no-id``,
            ``not-numbers``, or ``not-readable`` (the file from here on).
    """

    line: int
    reason: str
    kind: str


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


def jsonl_records(path: Path, keys: Keys = USUAL) -> Iterator[Record | BadLine]:
    """The records of a file, streamed; a line that cannot be read comes as ``BadLine``."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield parse_line(line, number, keys)


def parse_line(line: bytes, number: int, keys: Keys = USUAL) -> Record | BadLine:
    """One line, with its newline where it has one; JSON null in a vector is read as NaN.

    What Python's ``json.dump`` writes although it is no JSON (NaN, Infinity) is read too, and numbers that
    no 64 bits hold are read exactly.
    """
    return parsed_line(line, number, keys)[1]


def parsed_line(line: bytes, number: int, keys: Keys = USUAL) -> tuple[Any, Record | BadLine]:
    """What ``parse_line`` gives, and the JSON that it was made of; None where it is none."""
    if number == 1:
        line = line.removeprefix(UTF8_BOM)
    value = None
    try:
        value = load_json(line)
        return value, parse_value(value, number, keys)
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


def parse_value(value: Any, number: int, keys: Keys = USUAL) -> Record:
    """One parsed line as a record.

    Raises:
        BadRecordError: It is none.
    """
    if not isinstance(value, dict):
        raise BadRecordError("not-an-object", _no_object(value))
    key = next((key for key in VECTOR_KEYS if value.get(key) is not None), VECTOR_KEYS[0])
    found = value.get(key)
    name, numbers = chosen(found, keys) if isinstance(found, dict) else ("", only(found, keys))
    if isinstance(numbers, str) and numbers.lstrip().startswith("["):
        numbers = _written_list(numbers)
    if not isinstance(numbers, list):
        remedy = without_vectors(value)
        reason = f"no vector: none of {', '.join(VECTOR_KEYS)} is a list; {_keys_of(value)}{remedy}"
        raise BadRecordError("no-vector", reason)
    return record_of(value, _vector(numbers), number, keys, key + (f".{name}" if name else ""))


def without_vectors(value: dict[str, Any]) -> str:
    """What to do about points of Qdrant that were exported without their vectors; empty for other records."""
    return '; scroll the collection with "with_vector": true' if "payload" in value else ""


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


def record_of(
    value: Any,
    vector: npt.NDArray[np.float32],
    number: int,
    keys: Keys = USUAL,
    vector_key: str = VECTOR_KEYS[0],
) -> Record:
    """A record from its vector and an object with all the rest.

    Args:
        value: With id, text and metadata, as far as they are there.
        vector: float32 (dimension,).
        number: Line number, from 1.
        keys: What the user says about its keys.
        vector_key: Where the vector was.

    Raises:
        BadRecordError: It is no object, or has no id.
    """
    if not isinstance(value, dict):
        raise BadRecordError("not-an-object", _no_object(value))
    changes: set[str] = set()
    try:
        in_key, found = _metadata_in(value)
        metadata = normal_form(found, changes.add)
    except RecursionError:
        raise BadRecordError("not-json", "the metadata is nested too deeply") from None
    identity, id_key = identity_of(value, metadata, keys)
    if identity is None:
        there = value.get(id_key)
        said = f"id is {there!r}" if there is not None else _keys_of(value)
        raise BadRecordError(
            "no-id", f"no id: none of {', '.join(ID_KEYS)} is a string or an integer; {said}"
        )
    text, text_key = text_of(value, metadata, keys)
    if extras := beside(value, (id_key, text_key, in_key)):
        metadata = with_extras(metadata, normal_form(extras, changes.add))
    read_from = ReadFrom(id_key, vector_key, text_key)
    return Record(number, identity, text, vector, metadata, tuple(sorted(changes)), read_from)


def _metadata_in(value: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The key and the object of a record's metadata, which may be written as a string of JSON.

    Raises:
        BadRecordError: The string begins as an object, and is none.
        RecursionError: It is nested too deeply.
    """
    key = metadata_key(value)
    found = value.get(key)
    if isinstance(found, str) and found.lstrip().startswith("{"):
        try:
            found = load_json(found.encode())
        except orjson.JSONDecodeError as error:
            raise BadRecordError("not-json", f"{key} is not valid JSON: {error.msg}") from None
    return (key, found) if isinstance(found, dict) else (None, {})


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
