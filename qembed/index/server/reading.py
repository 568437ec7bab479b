"""Points read from a server, fewer at a time where it finds that a request asks for too many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qembed.index.server.failures import is_too_large

if TYPE_CHECKING:
    from qdrant_client import QdrantClient, models


def retrieve(
    client: QdrantClient, collection: str, ids: Sequence[int], *, with_payload: Any, with_vectors: Any
) -> list[models.Record]:
    """Points by their ids, in smaller parts where the server finds that the request asks for too much."""
    try:
        return client.retrieve(collection, ids, with_payload=with_payload, with_vectors=with_vectors)
    except Exception as error:
        if len(ids) < 2 or not is_too_large(error):
            raise
    middle = len(ids) // 2
    return [
        record
        for part in (ids[:middle], ids[middle:])
        for record in retrieve(client, collection, part, with_payload=with_payload, with_vectors=with_vectors)
    ]


def scroll_page(
    client: QdrantClient, collection: str, limit: int, *, offset: Any, with_payload: Any, with_vectors: Any
) -> tuple[list[models.Record], Any]:
    """At most ``limit`` points of a scroll, and where the next page begins; None after the last."""
    while True:
        try:
            return client.scroll(
                collection, limit=limit, offset=offset, with_payload=with_payload, with_vectors=with_vectors
            )
        except Exception as error:
            if limit < 2 or not is_too_large(error):
                raise
        limit //= 2
