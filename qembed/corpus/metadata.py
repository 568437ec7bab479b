"""Metadata of a chunk: every original key stays, and the keys that the contract names are completed. Pure.

Where an original key has another value than the derived one, the original moves to
``metadata.original.<key>``. Paths made on Windows are normalised to ``/`` in what is derived only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from qembed.corpus.ids import chunk_id, content_sha256
from qembed.corpus.layouts import Item, own_id

IdFrom = Literal["filename", "path", "own", "position"]

_SOURCE_FILE_KEYS = ("source_file", "source_path", "source", "file_path", "file_relative_path", "path")
_SOURCE_PATH_KEYS = ("source_path", "file_relative_path", "source", "source_file", "file_path", "path")
_FILENAME_KEYS = ("filename", "file_name")
_INDEX_KEYS = ("chunk_index", "chunk_index_in_file", "index")
_INDEX_DIGITS = 18
_ABSOLUTE = re.compile(r"^([A-Za-z]:)?/")


@dataclass(frozen=True, slots=True)
class Context:
    """What the place of an item says about it.

    Attributes:
        collection: Name of the collection.
        subdirectory: First folder below the root, or ``root``.
        stem: Name of the chunk file without ``_chunks.json``; the page's name where nothing better is known.
        position: Position of the item in its file, from 0; the chunk's index where the item has none.
        id_from: What the id is: built from the page's ``filename`` or its whole ``path`` and the chunk's
            index there; the item's ``own``; or built from the chunk file and the item's ``position`` in it.
        file: Path of the chunk file below the root.
    """

    collection: str
    subdirectory: str
    stem: str
    position: int
    id_from: IdFrom = "filename"
    file: str = ""


def enrich(item: Item, context: Context) -> tuple[str, dict[str, Any]]:
    """The chunk id and the completed metadata of one item (all required keys but ``token_count``).

    Raises:
        BadItemError: The item's own id is wanted, and it has none.
    """
    known = {**item.extras, **item.metadata}
    paths = {key: _slashes(known[key]) for key in known if isinstance(known[key], str)}
    filename = _filename(paths, context)
    source_path = _relative_path(paths, context.subdirectory, filename)
    index = _index(known, context.position)
    derived: dict[str, Any] = {
        "chunk_id": _chunk_id(item, context, filename, source_path, index),
        "collection": context.collection,
        "subdirectory": context.subdirectory,
        "source_file": _first(paths, _SOURCE_FILE_KEYS) or source_path,
        "source_path": source_path,
        "source": source_path,
        "filename": filename,
        "chunk_index": index,
        "content_sha256": content_sha256(item.text),
    }
    return derived["chunk_id"], complete(with_extras(item.metadata, item.extras), derived)


def with_extras(metadata: dict[str, Any], extras: dict[str, Any]) -> dict[str, Any]:
    """Metadata with what stands beside them; a value beside that differs becomes ``original.item.<key>``."""
    clashes = {f"item.{key}": val for key, val in extras.items() if _differs(metadata, key, val)}
    joined = {**extras, **metadata}
    return complete(joined, {}, originals=clashes) if clashes else joined


def _chunk_id(item: Item, context: Context, filename: str, source_path: str, index: int) -> str:
    if context.id_from == "own":
        return own_id(item)
    if context.id_from == "position":
        filename, index = _below(context.file, context.subdirectory), context.position
    elif item.document_id is not None:
        return item.document_id
    elif context.id_from == "path":
        filename = _below(source_path, context.subdirectory)
    return chunk_id(context.collection, context.subdirectory, filename, index)


def complete(
    metadata: dict[str, Any], derived: dict[str, Any], *, originals: dict[str, Any] | None = None
) -> dict[str, Any]:
    """``metadata`` with ``derived`` on top; values that differ are kept under ``original``.

    A value that is already under ``original`` is never replaced: the oldest one is the original.
    """
    kept: dict[str, Any] = dict(originals or {})
    kept.update({key: metadata[key] for key, val in derived.items() if _differs(metadata, key, val)})
    result = {**metadata, **derived}
    if not kept:
        return result
    older = metadata.get("original", {})
    result["original"] = {**kept, **(older if isinstance(older, dict) else {"original": older})}
    return result


def _differs(metadata: dict[str, Any], key: str, value: object) -> bool:
    # 1 == True == 1.0 in Python, but not in JSON, however deep they lie: compare what would be written.
    return key in metadata and _written(metadata[key]) != _written(value)


def _written(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _slashes(path: str) -> str:
    return path.replace("\\", "/").strip()


def _first(values: dict[str, str], keys: tuple[str, ...]) -> str | None:
    return next((values[key] for key in keys if values.get(key)), None)


def _filename(paths: dict[str, str], context: Context) -> str:
    path = _first(paths, _FILENAME_KEYS) or _first(paths, _SOURCE_PATH_KEYS) or context.stem
    return path.rstrip("/").rsplit("/", 1)[-1] or context.stem


def _relative_path(paths: dict[str, str], subdirectory: str, filename: str) -> str:
    candidates = [paths[key] for key in _SOURCE_PATH_KEYS if paths.get(key)]
    for path in candidates:
        if not _ABSOLUTE.match(path):
            return path
    for path in candidates:
        _, found, rest = path.partition(f"/{subdirectory}/")
        if found:
            return f"{subdirectory}/{rest}"
    return f"{subdirectory}/{filename}"


def _below(path: str, subdirectory: str) -> str:
    return path.removeprefix(f"{subdirectory}/")


def _index(known: dict[str, Any], position: int) -> int:
    for key in _INDEX_KEYS:
        value = known.get(key)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _INDEX_DIGITS:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_INDEX_DIGITS:
            return value
    return position
