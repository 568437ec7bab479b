"""One JSON document as a list of items, whichever tool dumped it. Pure.

[..]                                                 a list: LangChain, Haystack, pandas records
{"chunks": [..]}                                     one file per subdirectory
{"result": {"points": [..]}}, {"points": [..]}       Qdrant: scroll, query
{"hits": {"hits": [..]}}                             Elasticsearch, OpenSearch
{"docstore/data": {id: {"__data__": ..}}}            LlamaIndex: a docstore
{"ids": [..], "documents": [..], "metadatas": [..]}  Chroma: get, query
{column: {row: value}}, {row: {column: value}}       pandas: to_json, orient columns or index
{"columns": [..], "data": [[..]]}                    pandas: orient split
{column: [value, ..]}                                columns as lists
{"documents": [..]}, {"nodes": [..]}, ...            a list under a usual name
{"text": ..}                                         one chunk
"""

from __future__ import annotations

from typing import Any

from qembed.corpus.layouts import TEXT_KEYS

STREAMED = ("chunks", "points", "hits", "nodes", "elements", "records", "rows", "items", "docs")
"""Keys whose lists hold items, whatever else is in the document; they are read one by one."""
ENVELOPES = ("hits", "result")
"""Keys whose objects hold such a list."""
_LISTS = (*STREAMED, "documents", "data", "result", "results", "matches", "texts")


def items_of(document: dict[str, Any], text_column: str | None = None) -> list[Any] | None:
    """The items of a document that is an object; None where it is of no known shape.

    Args:
        document: The object.
        text_column: Key or column that holds the text; one of ``layouts.TEXT_KEYS`` when None.
    """
    texts = (text_column,) if text_column else TEXT_KEYS
    if isinstance(document.get("docstore/data"), dict):
        return [
            {"id_": name, **node} if isinstance(node, dict) else node
            for name, node in document["docstore/data"].items()
        ]
    for key in ENVELOPES:
        inner = document.get(key)
        if isinstance(inner, dict) and (found := items_of(inner, text_column)) is not None:
            return found
    if "ids" in document and isinstance(document.get("documents"), list):
        return _chroma(document)
    if isinstance(document.get("columns"), list) and isinstance(document.get("data"), list):
        return [
            dict(zip(document["columns"], row, strict=False)) if isinstance(row, list) else row
            for row in document["data"]
        ]
    for key in _LISTS:
        if isinstance(document.get(key), list) and any(isinstance(item, dict) for item in document[key]):
            return list(document[key])
    return _columns(document, texts)


def _columns(document: dict[str, Any], texts: tuple[str, ...]) -> list[Any] | None:
    column = next((document[key] for key in texts if key in document), None)
    if isinstance(column, str):
        return [document]
    if isinstance(column, dict):
        by_row = {key: value for key, value in document.items() if isinstance(value, dict)}
        return [{key: value[row] for key, value in by_row.items() if row in value} for row in column]
    if isinstance(column, list):
        long = {key: val for key, val in document.items() if isinstance(val, list)}
        long = {key: val for key, val in long.items() if len(val) == len(column)}
        return [dict(zip(long, row, strict=True)) for row in zip(*long.values(), strict=True)]
    values = list(document.values())
    if values and all(isinstance(value, dict) and any(key in value for key in texts) for value in values):
        return [{"id": name, **value} for name, value in document.items()]
    return None


def _chroma(document: dict[str, Any]) -> list[Any]:
    ids, documents = _flat(document["ids"]), _flat(document["documents"])
    metadatas = _flat(document.get("metadatas") or []) or [None] * len(ids)
    if not len(ids) == len(documents) == len(metadatas):
        return [document]  # named as an item without text, rather than paired wrongly
    rows = zip(ids, documents, metadatas, strict=True)
    return [{"id": name, "text": text, "metadata": metadata} for name, text, metadata in rows]


def _flat(values: list[Any]) -> list[Any]:
    """The values of one query; several questions come as one list each."""
    if values and all(isinstance(value, list) for value in values):
        return [inner for value in values for inner in value]
    return values
