"""What one item says, whichever tool wrote it: its text, its metadata, its id. Pure.

{chunk_id, content, metadata}, {content, index, metadata}, {text, metadata}    chunks
{_id, title, text}                                           BEIR
{page_content, metadata, type}, {lc, kwargs}                 LangChain; {pageContent} in JavaScript
{id_, text, metadata}, {__data__: {..}}                      LlamaIndex
{id, content, meta}                                          Haystack, Docling
{type, element_id, text, metadata}                           Unstructured
{id, payload, vector}                                        Qdrant
{_index, _id, _source}                                       Elasticsearch, OpenSearch
{_id: {$oid}, ..}                                            MongoDB
{id, text, embedding, metadata}                              qembed, and others, with a vector
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from qembed.corpus.exact_json import Digits
from qembed.corpus.normal import normal_form

TEXT_KEYS = (
    "content",
    "text",
    "page_content",
    "pageContent",
    "chunk_text",
    "chunk",
    "body",
    "document",
    "passage",
)
"""Where the text may stand; the first that holds some."""
METADATA_KEYS = ("metadata", "meta")
ID_KEYS = ("chunk_id", "id", "_id", "id_")
"""Where an item may bring its own id, the first that is there."""
MAX_CHARACTERS = 1_000_000
"""A longer chunk is a file that was never split; no model reads a fortieth of it."""

_BEIR_KEYS = frozenset(("_id", "title", "text", "metadata"))
_VECTORS = frozenset(("embedding", "vector", "embeddings", "vectors"))
_NEAREST = {
    "a chunk": ("text", "metadata"),
    "LangChain": ("page_content", "metadata", "type"),
    "Haystack": ("id", "content", "meta"),
    "Qdrant": ("id", "payload", "vector"),
    "Elasticsearch": ("_index", "_id", "_source"),
    "Unstructured": ("type", "element_id", "text", "metadata"),
    "BEIR": ("_id", "title", "text"),
}


@dataclass(frozen=True, slots=True)
class Item:
    """One chunk as its file has it.

    Attributes:
        text: The text to embed.
        metadata: The item's own metadata, in the normal form (``corpus.normal``).
        extras: Keys beside text and metadata, e.g. ``index`` or ``start_char``, in the same form.
        document_id: The ``_id`` that BEIR, MongoDB and Elasticsearch give; it is the chunk id. None without.
        changes: What the normal form changed, as sentences of ``corpus.normal``.
    """

    text: str
    metadata: dict[str, Any]
    extras: dict[str, Any]
    document_id: str | None = None
    changes: frozenset[str] = field(default_factory=frozenset)


class BadItemError(ValueError):
    """The item cannot be a chunk; ``kind`` is the finding's name."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def parse_item(value: object, text_column: str | None = None) -> Item:
    """Read one item.

    Args:
        value: As a reader of JSON or of a table returned it.
        text_column: Key that holds the text; the first of ``TEXT_KEYS`` with some when None.

    Raises:
        BadItemError: The item is not an object, has no text, or its text cannot be embedded.
    """
    if not isinstance(value, dict):
        raise BadItemError("not-an-object", f"a chunk must be an object, this is {_kind_of(value)}")
    value = _unwrapped(value)
    metadata_key, metadata = _metadata_of(value)
    key, text = _text_of(value, (text_column,) if text_column else TEXT_KEYS)
    document_id = id_of(value, ("_id",))
    if isinstance(value.get("_id"), str | int) and value.keys() <= _BEIR_KEYS:
        title = value.get("title")
        if isinstance(title, str) and title.strip():
            text = f"{title} {text}" if text else title
    _check_text(text)
    extras = {
        name: val
        for name, val in value.items()
        if name not in (key, metadata_key) and not (name == "_id" and document_id is not None)
        and not (name in _VECTORS and not isinstance(val, str | int | float))
    }  # fmt: skip
    if isinstance(extras.get("id"), str) and extras["id"] == metadata.get("chunk_id"):
        del extras["id"]  # a record that qembed wrote says its id twice
    changes: set[str] = set()
    try:
        metadata, extras = normal_form(metadata, changes.add), normal_form(extras, changes.add)
    except RecursionError:
        raise BadItemError("bad-metadata", "the metadata is nested too deeply") from None
    _check_json(metadata, extras, document_id)
    return Item(text, metadata, extras, document_id, frozenset(changes))


def own_id(item: Item) -> str:
    """The id that an item brings: one of ``ID_KEYS``, beside the text or in the metadata.

    Raises:
        BadItemError: It has none.
    """
    beside = id_of(item.extras, ID_KEYS[:2]) or item.document_id or id_of(item.extras, ID_KEYS[3:])
    found = beside or id_of(item.metadata, ID_KEYS)
    if found is None:
        raise BadItemError("no-id", f"none of {', '.join(map(repr, ID_KEYS))} is a string or an integer")
    return found


def id_of(value: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    """The first of ``keys`` that holds an id: a string, an integer, or MongoDB's ``{"$oid": ...}``."""
    for key in keys:
        found = value.get(key)
        if isinstance(found, dict) and found.keys() == {"$oid"}:
            found = found["$oid"]
        if _has_text(found):
            return str(found)
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
    return None


def _unwrapped(value: dict[str, Any]) -> dict[str, Any]:
    """The object with the text in it, where a tool has put it into another one."""
    inner = value.get("__data__")
    if isinstance(inner, str):
        inner = _object_in(inner)
    if isinstance(inner, dict):  # LlamaIndex's docstore
        value = {**{key: val for key, val in value.items() if not key.startswith("__")}, **inner}
    elif isinstance(value.get("kwargs"), dict) and "lc" in value:  # LangChain's dumpd
        value = value["kwargs"]
    elif isinstance(value.get("_source"), dict):  # Elasticsearch
        value = {**{key: val for key, val in value.items() if key != "_source"}, **value["_source"]}
    elif isinstance(value.get("payload"), dict):
        value = _point(value, value["payload"])
    resource = value.get("text_resource")
    if isinstance(resource, dict) and isinstance(resource.get("text"), str) and not value.get("text"):
        value = {**value, "text": resource["text"]}  # LlamaIndex's newer nodes
    return value


def _point(value: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
    """A point of Qdrant: its payload with the point's id; an id in the payload stays metadata."""
    node = _object_in(payload.get("_node_content"))
    if node and not any(_has_text(payload.get(key)) for key in TEXT_KEYS):
        payload = {**payload, "text": node.get("text")}
    metadata = payload.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    outer = {key: val for key, val in value.items() if key not in ("payload", "id")}
    beside = {key: val for key, val in payload.items() if key != "metadata" or not isinstance(val, dict)}
    if "id" in beside:
        metadata = {"id": beside.pop("id"), **metadata}
    return {**outer, **beside, "metadata": metadata, **({"id": value["id"]} if "id" in value else {})}


def _object_in(text: object) -> dict[str, Any] | None:
    """An object that was written as text, as tables and payloads do."""
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _metadata_of(value: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    for key in METADATA_KEYS:
        metadata = value.get(key)
        if metadata is None or (key == "meta" and not isinstance(metadata, dict)):
            continue
        found = metadata if isinstance(metadata, dict) else _object_in(metadata)
        if found is None:
            raise BadItemError(
                "metadata-not-an-object", f"{key} must be an object, this is {_kind_of(metadata)}"
            )
        return key, found
    return "metadata", {}


def _text_of(value: dict[str, Any], keys: tuple[str, ...]) -> tuple[str, str]:
    """The first key with text, and the text; a key that is null or blank gives way to the next."""
    there = {key: _joined(value[key]) for key in keys if key in value}
    for key, text in there.items():
        if _has_text(text):
            return key, str(text)
    for key, text in there.items():
        if isinstance(text, str) and not isinstance(text, Digits):
            return key, ""
    for key, text in there.items():
        raise BadItemError("text-not-a-string", f"{key!r} must be a string, this is {_kind_of(text)}")
    raise BadItemError("no-text", _no_text(value, keys))


def _joined(text: Any) -> Any:
    """Content in parts, as chat models have it, as one text."""
    if not isinstance(text, list):
        return text
    parts = [part.get("text") if isinstance(part, dict) else None for part in text]
    return "\n".join(map(str, parts)) if parts and all(map(_has_text, parts)) else text


def _has_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, Digits) and bool(value.strip())


def _no_text(value: dict[str, Any], keys: tuple[str, ...]) -> str:
    there = ", ".join(map(repr, list(value)[:8])) or "none"
    wanted = f"none of {', '.join(map(repr, keys))} is there; the keys are {there}"
    name, layout = max(_NEAREST.items(), key=lambda named: len(value.keys() & set(named[1])))
    near = f" (the nearest layout is {name}: {{{', '.join(layout)}}})" if value.keys() & set(layout) else ""
    return f"{wanted}; --text-column names the one with the text{near}"


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
