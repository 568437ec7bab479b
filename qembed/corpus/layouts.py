"""What one item of a chunk file says, whichever of the known layouts it is in. Pure.

Layouts (samples of all are in the tests):

1. ``{chunk_id, content, metadata{...}}`` in a list;
2. the same in ``{collection, subdirectory, total_chunks, chunks: [{content, index, metadata}]}``;
3. ``{text, metadata{chunk_index_in_file, source_file, ...}}`` in a list;
4. any of these as JSON lines;
5. BEIR: ``{_id, title, text}`` as JSON lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

TEXT_KEYS = ("content", "text", "page_content")
ID_KEYS = ("chunk_id", "id", "_id")
"""Where an item may bring its own id, the first that is there."""
_BEIR_KEYS = frozenset(("_id", "title", "text", "metadata"))
NOT_EXTRA = frozenset(("metadata", "embedding", "vector", "_id"))
"""Item keys that are not carried into the metadata; vectors of an earlier embedding are dropped."""
MAX_CHARACTERS = 1_000_000
"""A longer chunk is a file that was never cut; no model reads a fortieth of it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One chunk as its file has it.

    Attributes:
        text: The text to embed.
        metadata: The item's own metadata, untouched.
        extras: Keys that stand beside text and metadata, e.g. ``index`` or ``start_char``.
        document_id: The ``_id`` that BEIR, MongoDB and Elasticsearch give; it is the chunk id. None without.
    """

    text: str
    metadata: dict[str, Any]
    extras: dict[str, Any]
    document_id: str | None = None


class BadItemError(ValueError):
    """The item cannot be a chunk; ``kind`` is the finding's name."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def parse_item(value: object) -> Item:
    """Read one item.

    Raises:
        BadItemError: The item is not an object, has no text, or its text cannot be embedded.
    """
    if not isinstance(value, dict):
        raise BadItemError("not-an-object", f"a chunk must be an object, this is {_kind_of(value)}")
    metadata = value.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise BadItemError(
            "metadata-not-an-object", f"metadata must be an object, this is {_kind_of(metadata)}"
        )
    key, text = _text_of(value)
    document_id = id_of(value, ("_id",))
    if document_id is not None and value.keys() <= _BEIR_KEYS:
        title = value.get("title")
        if isinstance(title, str) and title.strip():
            text = f"{title} {text}" if text else title
    _check_text(text)
    extras = {name: val for name, val in value.items() if name not in NOT_EXTRA and name != key}
    if value.get("_id") is not None and document_id is None:
        extras["_id"] = value["_id"]  # not an id, so it is data
    if isinstance(extras.get("id"), str) and extras["id"] == metadata.get("chunk_id"):
        del extras["id"]  # a record that qembed wrote says its id twice
    _check_json(metadata, extras, document_id)
    return Item(text, metadata, extras, document_id)


def own_id(item: Item) -> str:
    """The id that an item brings: ``chunk_id``, ``id`` or ``_id``, beside the text or in the metadata.

    Raises:
        BadItemError: It has none.
    """
    beside = id_of(item.extras, ID_KEYS[:2]) or item.document_id or id_of(item.metadata, ID_KEYS)
    if beside is None:
        raise BadItemError("no-id", f"none of {', '.join(map(repr, ID_KEYS))} is a string or an integer")
    return beside


def id_of(value: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    """The first of ``keys`` that holds an id: a string, an integer, or MongoDB's ``{"$oid": ...}``."""
    for key in keys:
        found = value.get(key)
        if isinstance(found, dict) and found.keys() == {"$oid"}:
            found = found["$oid"]
        if (isinstance(found, str) and found.strip()) or (
            isinstance(found, int) and not isinstance(found, bool)
        ):
            return str(found)
    return None


def _text_of(value: dict[str, Any]) -> tuple[str, str]:
    for key in TEXT_KEYS:
        if key in value:
            text = value[key]
            if isinstance(text, str):
                return key, text
            raise BadItemError("text-not-a-string", f"{key!r} must be a string, this is {_kind_of(text)}")
    keys = ", ".join(map(repr, list(value)[:6])) or "none"
    raise BadItemError("no-text", f"none of {', '.join(map(repr, TEXT_KEYS))} is there; the keys are {keys}")


def _check_text(text: str) -> None:
    if not text.strip():
        raise BadItemError("empty-text", "the text is empty or only white space")
    if len(text) > MAX_CHARACTERS:
        raise BadItemError(
            "too-long", f"{len(text):,} characters; a chunk may have {MAX_CHARACTERS:,} (split it first)"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise BadItemError(
            "lone-surrogate", f"character {error.start} is the lone surrogate U+{code:04X}, which is not text"
        ) from None


def _check_json(*parts: object) -> None:
    try:
        orjson.dumps([[parts]])  # orjson limits nesting, and originals are written two levels deeper
    except (TypeError, orjson.JSONEncodeError) as error:
        raise BadItemError("bad-metadata", f"the metadata cannot be written as JSON: {error}") from None


def _kind_of(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
