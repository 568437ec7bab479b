"""What embeddings of another tool were taken for, in words, before they are read."""

from __future__ import annotations

from qembed.errors import UsageError
from qembed.store.formats import Embeddings, read_records
from qembed.store.json_points import next_page
from qembed.store.jsonl import BadLine, Record
from qembed.store.keys import SEVERAL, USUALLY, listed

_FORMS = {
    "jsonl": "JSON lines",
    "parquet": "Parquet",
    "npy": "a NumPy array",
    "json": "JSON documents (a scroll of Qdrant, or a list)",
}


def recognise(embeddings: Embeddings) -> str:
    """From which keys the records are read, as one sentence; empty where they are named as qembed names them.

    Raises:
        UsageError: Several named vectors and none is chosen, or the one that is chosen is not there.
    """
    try:
        first = next(read_records(embeddings.path, embeddings.keys), None)
    except OSError:  # whoever reads all of it says so
        return ""
    if isinstance(first, BadLine):
        if first.kind == SEVERAL or embeddings.keys.vector is not None:
            raise UsageError(
                first.reason, where=str(embeddings.path), remedy=f"{embeddings.path}#NAME takes one of them"
            )
        return ""
    if first is None or (embeddings.format != "json" and _usual(first)):
        return ""
    what = "points of a collection" if embeddings.origin else _FORMS[embeddings.format]
    after = next_page(embeddings.parts[-1]) if embeddings.format == "json" else None
    lacks = f"; INCOMPLETE: the page that begins with point {after} is missing" if after else ""
    return f"{what}: {keys_of(first)}{lacks}"


def keys_of(record: Record) -> str:
    """Where a record's id, vector and text were found."""
    found = record.read_from
    return f"id from {found.id}, vector from {found.vector}, {text_of(record)}"


def text_of(record: Record) -> str:
    """Where a record's text was found; which keys there are where it was not."""
    if record.read_from.text is not None:
        return f"text from {record.read_from.text}"
    return f"no text (keys of the metadata: {listed(record.metadata)})"


def _usual(record: Record) -> bool:
    found = record.read_from
    return (found.id, found.vector, found.text) in ((*USUALLY[:2], "text"), USUALLY)
