"""Which key of a record holds what: one decision for every format, and for the points of a Qdrant server.

Other tools name the same things otherwise. The first key that is there and not null counts; ``Keys`` names
one that comes before all of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

ID_KEYS = ("id", "chunk_id", "_id", "custom_id", "id_")
VECTOR_KEYS = ("embedding", "vector", "values", "embeddings", "dense_vector")
TEXT_KEYS = ("text", "content", "page_content", "document")
METADATA_KEYS = ("metadata", "payload")
CHUNK_ID = "chunk_id"
SEVERAL = "several-vectors"

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_EXACT_FLOAT = 2.0**53
_NO_METADATA = ("sparse", "__", "vector.")
_SHOWN_KEYS = 12


@dataclass(frozen=True, slots=True)
class Keys:
    """What the user says about the keys of some embeddings.

    Attributes:
        vector: Name of one of several named vectors; the only one when None.
        text: Key that holds the text, in the record or its metadata; dots go into nested objects.
        id: Key that holds the chunk id, likewise.
    """

    vector: str | None = None
    text: str | None = None
    id: str | None = None


USUAL = Keys()


class ReadFrom(NamedTuple):
    """The keys that one record was read from, e.g. ``payload.text``; None where there was no such key."""

    id: str
    vector: str
    text: str | None


USUALLY = ReadFrom(ID_KEYS[0], VECTOR_KEYS[0], None)


class BadRecordError(ValueError):
    """A value that is no record; ``kind`` as in ``jsonl.BadLine``."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def identity_of(
    value: dict[str, Any], metadata: dict[str, Any], keys: Keys = USUAL
) -> tuple[str | int | None, str]:
    """The id of a record, and the key it was read from.

    An integer or a UUID is the id of a point in a vector database. Where such a record also has a chunk id,
    a string, that is its name.

    Returns:
        None and the key that was tried last where there is no string and no integer.
    """
    if keys.id is not None:
        named, key = _at(value, metadata, keys.id)
        if (identity := _identity(named)) is not None:
            return identity, key
    key = next((key for key in ID_KEYS if value.get(key) is not None), ID_KEYS[0])
    identity = _identity(value.get(key))
    if keys.id is None and (isinstance(identity, int) or (identity and _UUID.fullmatch(identity))):
        chunk_id, its_key = _at(value, metadata, CHUNK_ID)
        if isinstance(chunk_id, str) and chunk_id:
            return chunk_id, its_key
    return identity, key


def text_of(
    value: dict[str, Any], metadata: dict[str, Any], keys: Keys = USUAL
) -> tuple[str | None, str | None]:
    """The text of a record, and the key it was read from; twice None where it has no text."""
    for name in TEXT_KEYS if keys.text is None else (keys.text, *TEXT_KEYS):
        found, key = value.get(name), name
        if found is None and name == keys.text:
            found, key = _at(value, metadata, name)
        if found is not None:
            return (found, key) if isinstance(found, str) else (None, None)
    for name in TEXT_KEYS:
        if (found := metadata.get(name)) is not None:
            return (found, f"{metadata_key(value)}.{name}") if isinstance(found, str) else (None, None)
    return None, None


def beside(value: dict[str, Any], read: Collection[str | None]) -> dict[str, Any]:
    """What a record holds besides id, text, vectors and metadata: it is metadata too, of whatever tool.

    But not what Qdrant says about a point, nor sparse vectors, nor columns that pandas made.

    Args:
        value: The record.
        read: Keys that id, text and metadata were read from.
    """
    if isinstance(value.get("payload"), dict):
        return {}
    return {
        key: val
        for key, val in value.items()
        if val is not None and key not in read and key not in VECTOR_KEYS and not key.startswith(_NO_METADATA)
    }


def metadata_key(value: dict[str, Any]) -> str:
    """The key that holds the metadata; the first of them where there are none."""
    return next((key for key in METADATA_KEYS if value.get(key) is not None), METADATA_KEYS[0])


def chosen(named: dict[str, Any], keys: Keys = USUAL) -> tuple[str, Any]:
    """One of several named vectors: the one that ``keys`` names, else the only dense one.

    Args:
        named: Name -> vector: a list of numbers, a list of lists, or an object (a sparse vector).
        keys: May name one.

    Raises:
        BadRecordError: It is not there, it is not dense, or there are several and none is named.
    """
    dense = [name for name, vector in named.items() if not isinstance(vector, dict) and vector is not None]
    if keys.vector is not None:
        if keys.vector not in named:
            raise _no_vector(f"no vector {keys.vector!r}; there are {listed(named)}")
        return keys.vector, _dense(named[keys.vector], f" {keys.vector!r}")
    if not dense:
        raise _no_vector(f"only sparse vectors: {listed(named)}" if named else "no named vector")
    if len(dense) > 1:
        names = ", ".join(dense)
        raise BadRecordError(SEVERAL, f"several vectors: {names}; choose one with #NAME, e.g. #{dense[0]}")
    return dense[0], _dense(named[dense[0]], f" {dense[0]!r}")


def only(vector: Any, keys: Keys = USUAL) -> Any:
    """A vector that has no name.

    Raises:
        BadRecordError: ``keys`` names one, or it is a list of vectors.
    """
    if keys.vector is not None:
        raise _no_vector(f"no vector {keys.vector!r}: the vector has no name")
    return _dense(vector)


def listed(names: Any) -> str:
    """Names in quotes, the first of many."""
    shown = [repr(str(name)) for name in list(names)[:_SHOWN_KEYS]]
    return (", ".join(shown) or "none") + (", ..." if len(names) > _SHOWN_KEYS else "")


def _dense(vector: Any, named: str = "") -> Any:
    if isinstance(vector, dict):
        raise _no_vector(f"the vector{named} is sparse; only dense vectors can be searched here")
    if isinstance(vector, list) and vector and isinstance(vector[0], list):
        raise BadRecordError(
            "not-numbers",
            f"the vector{named} is a multivector (a list of vectors per point); only one vector per point "
            "can be searched here",
        )
    return vector


def _no_vector(reason: str) -> BadRecordError:
    return BadRecordError("no-vector", reason)


def _identity(found: Any) -> str | int | None:
    if isinstance(found, float) and found.is_integer() and abs(found) < _EXACT_FLOAT:
        return int(found)  # pandas makes floats of ids where one is missing
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None


def _at(value: dict[str, Any], metadata: dict[str, Any], key: str) -> tuple[Any, str]:
    """What a key holds in the record, else in its metadata; dots go into objects."""
    for holder, before in ((value, ""), (metadata, f"{metadata_key(value)}.")):
        found: Any = holder.get(key)
        if found is None and "." in key:
            found = holder
            for name in key.split("."):
                found = found.get(name) if isinstance(found, dict) else None
        if found is not None:
            return found, before + key
    return None, key
