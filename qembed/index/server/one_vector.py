"""One named vector of points that are there already: written and checked without touching anything else.

A point that the collection lacks is made, with its payload. Of one that is there only the vector is written;
its payload stays. Where that payload is of another text, the upload stops: the vector would not be of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import orjson

from qembed.errors import Mismatch
from qembed.index.payload import CHUNK_ID, CONTENT_SHA256
from qembed.index.server.batches import Batch, Encoded
from qembed.index.server.check import PAGE, Roll
from qembed.index.server.reading import retrieve
from qembed.index.server.send import Sent, Writer

if TYPE_CHECKING:
    from qdrant_client import QdrantClient, models


class VectorWriter(Writer):
    """Writes one vector of points. Called from several threads."""

    def __call__(self, batch: Batch) -> Sent:
        """Send a batch; it is applied when this returns.

        Raises:
            Mismatch: A point that is there has another text, or a single point is too large for the server.
            ApiException, GaveUp: As the client raises them.
        """
        found = retrieve(
            self._client,
            self._collection,
            [point.id for point in batch.points],
            with_payload=[CHUNK_ID, CONTENT_SHA256],
            with_vectors=False,
        )
        held = {int(point.id): point for point in found}
        size = halved = 0
        if new := batch.without(held):
            size, halved = self._write(new)
        there = tuple(_vector_only(each, held[each.id]) for each in batch.points if each.id in held)
        if there:
            more, again = _Vectors(self._client, self._collection)._write(Batch(there))
            size, halved = size + more, halved + again
        return Sent(batch.first, batch.last, len(batch.points), 0, size, halved)


class _Vectors(Writer):
    """Writes vectors of points that are there."""

    _url: ClassVar[str] = "/collections/{collection_name}/points/vectors"


def _vector_only(point: Encoded, held: models.Record) -> Encoded:
    """The point without its payload.

    Raises:
        Mismatch: The one that is there has another text.
    """
    sent, payload = orjson.loads(point.json), held.payload or {}
    for key in (CHUNK_ID, CONTENT_SHA256):
        if key in payload and key in sent["payload"] and payload[key] != sent["payload"][key]:
            raise Mismatch(
                f"the point of {point.chunk_id!r} is there with another {key}: the vector is not of its text",
                remedy="--migrate collection loads vectors and texts together",
            )
    json = orjson.dumps({"id": point.id, "vector": sent["vector"]})
    return Encoded(point.number, point.chunk_id, point.id, point.sha256, json, point.compare)


def without_vector(
    client: QdrantClient,
    collection: str,
    roll: Roll,
    vector: str,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> int:
    """How many points of a roll do not have the vector on the server."""
    from qdrant_client import models

    lacking = 0
    for start in range(0, len(roll.ids), PAGE):
        ids = roll.ids[start : start + PAGE].tolist()
        has = models.Filter(
            must=[models.HasIdCondition(has_id=ids), models.HasVectorCondition(has_vector=vector)]
        )
        lacking += len(ids) - client.count(collection, count_filter=has, exact=True).count
        advance(len(ids))
    return lacking
