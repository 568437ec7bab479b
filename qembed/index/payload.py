"""What a point carries beside its vector: the one function that every index and every upload uses. Pure.

metadata         every key of the record's metadata, in the normal form (``corpus.normal``)
text             the chunk's text; no key where the embeddings hold none
chunk_id         the record's id, from which the point id is derived
content_sha256   hash of the text; chunks that share it are exact duplicates
point_sha256     hash of the vector and all of the above; a point that has it need not be sent again
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from qembed.corpus import content_sha256
from qembed.corpus.metadata import complete
from qembed.index.filters import is_number, same_number
from qembed.index.protocol import Point
from qembed.store import Record

TEXT = "text"
CHUNK_ID = "chunk_id"
CONTENT_SHA256 = "content_sha256"
POINT_SHA256 = "point_sha256"


def point_of(record: Record) -> Point:
    """The point of a stored record, with its vector as the file has it.

    Metadata that have another value under ``text``, ``chunk_id`` or ``content_sha256`` keep it under
    ``original.<key>``.
    """
    name = str(record.id)
    derived, originals = {CHUNK_ID: name}, {}
    metadata = {key: val for key, val in record.metadata.items() if key != POINT_SHA256}
    if record.text is not None:
        derived |= {TEXT: record.text, CONTENT_SHA256: content_sha256(record.text)}
    elif TEXT in metadata:
        originals = {TEXT: metadata.pop(TEXT)}  # something else that is called so
    payload = complete(metadata, derived, originals=originals)
    payload[POINT_SHA256] = point_sha256(record.vector, payload)
    return Point(name, record.vector, payload)


def point_sha256(vector: npt.NDArray[np.float32], payload: Mapping[str, Any]) -> str:
    """Hex SHA-256 of a vector and its payload, whatever the order of the payload's keys.

    Args:
        vector: float32 (dimension,), as the file of embeddings has it, not normalised.
        payload: In the normal form; its own ``point_sha256`` does not count.
    """
    hashed = sha256(np.ascontiguousarray(vector, dtype="<f4").tobytes())
    rest = {key: val for key, val in payload.items() if key != POINT_SHA256}
    hashed.update(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS))
    return hashed.hexdigest()


def metadata_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of the record that a payload was made of, with ``chunk_id`` and ``content_sha256``.

    A record of them, the payload's text and its chunk id has the same payload again.
    """
    return {key: val for key, val in payload.items() if key not in (TEXT, POINT_SHA256)}


def same_payload(sent: Any, found: Any) -> bool:
    """Whether an engine returned a payload, or a value in it, as it was sent.

    Floats may differ in their last digits (``filters.same_number``); 1, 1.0 and true are three values.
    """
    if type(sent) is not type(found):
        return False
    if isinstance(sent, dict):
        return sent.keys() == found.keys() and all(same_payload(sent[key], found[key]) for key in sent)
    if isinstance(sent, list):
        return len(sent) == len(found) and all(map(same_payload, sent, found))
    return same_number(sent, found) if is_number(sent) else bool(sent == found)
