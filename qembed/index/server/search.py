"""Searching in place: a collection on a server as an index that is only read.

Whether the server compares every vector or goes through its graph is the server's decision, so ``exact`` is
False: what it misses, and how long it takes, is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qembed.corpus.normal import normal_form
from qembed.errors import UsageError
from qembed.index.filters import Condition
from qembed.index.payload import CHUNK_ID, TEXT
from qembed.index.points import checked_queries
from qembed.index.protocol import SCORE_DECIMALS, Hit, Point, Similarity
from qembed.index.qdrant_filters import client_engine, for_engine
from qembed.index.server.served import Served
from qembed.index.ties import SPARE, deepen, in_order
from qembed.store import USUAL, Keys
from qembed.store.keys import identity_of, text_of

if TYPE_CHECKING:
    from qdrant_client import models

_BATCH_QUERIES = 32
_UNKNOWN = ""


class ServerIndex:
    """A dense vector of a collection on a server."""

    name = "server"
    exact = False

    def __init__(self, served: Served, keys: Keys = USUAL, names: Mapping[str, str] | None = None) -> None:
        """Search a collection.

        Args:
            served: The collection; ``close`` closes its connection.
            keys: What the user says about the keys of its payloads.
            names: Chunk id -> name that its hits get; hits of one name count once, and those without a name
                are left out. Chunk ids are the names when None.

        Raises:
            Mismatch: The collection compares by a distance.
        """
        self.dimension = served.dimension
        self.similarity: Similarity = served.similarity
        self._served, self._keys, self._names = served, keys, names

    def __len__(self) -> int:
        return self._served.points

    def add(self, points: Iterable[Point]) -> int:  # noqa: ARG002
        """Refuse: a collection is filled by ``qembed upload``.

        Raises:
            UsageError: Always.
        """
        raise UsageError("a collection on a server is only read here", where=str(self._served.address))

    def search(
        self, vector: npt.NDArray[np.float32], *, depth: int, where: Sequence[Condition] = ()
    ) -> list[Hit]:
        """The ``depth`` nearest points that meet all conditions, best first, ties by chunk id."""
        queries = checked_queries(np.asarray(vector)[None], self.dimension)
        meant, meets = for_engine(where, client_engine())

        def keep(hit: Hit) -> bool:
            return hit.chunk_id != _UNKNOWN and (meets is None or meets(hit))

        distinct = self._names is not None
        return deepen(
            lambda limit: self._nearest(queries, limit, meant)[0], depth, keep=keep, distinct=distinct
        )

    def search_many(self, vectors: npt.NDArray[np.float32], *, depth: int) -> list[list[Hit]]:
        """For every query, float32 (queries, dimension), its ``depth`` nearest points as ``search`` gives.

        Where names are given, hits have no more of the payload than their names.
        """
        queries = checked_queries(vectors, self.dimension)
        whole = self._names is None  # where only names count, payloads of many queries would be a load
        answers: list[list[Hit]] = []
        for start in range(0, len(queries), _BATCH_QUERIES):
            batch = queries[start : start + _BATCH_QUERIES]
            for query, first in zip(batch, self._nearest(batch, depth + SPARE, whole=whole), strict=True):
                hits = deepen(
                    partial(self._nearest_one, query, whole=whole),
                    depth,
                    keep=lambda hit: hit.chunk_id != _UNKNOWN,
                    first=first,
                    distinct=self._names is not None,
                )
                answers.append(hits)
        return answers

    def ask_once(self, vector: npt.NDArray[np.float32], *, depth: int) -> list[Hit]:
        """What one request for ``depth`` points answers: what an application waits for."""
        return self._nearest_one(vector, depth)

    def close(self) -> None:
        """Close the connection."""
        self._served.close()

    def _nearest_one(self, query: npt.NDArray[np.float32], limit: int, *, whole: bool = True) -> list[Hit]:
        return self._nearest(query[None], limit, whole=whole)[0]

    def _nearest(
        self, queries: npt.NDArray[np.float32], limit: int, meant: Any = None, *, whole: bool = True
    ) -> list[list[Hit]]:
        """The nearest points of every query, with their ``whole`` payloads or what names are read from."""
        from qdrant_client import models

        address = self._served.address
        requests = [
            models.QueryRequest(
                query=query,
                using=address.vector or None,
                filter=meant,
                limit=limit,
                with_payload=True if whole or self._keys.id is not None else [CHUNK_ID],
            )
            for query in queries.tolist()
        ]
        answers = self._served.ask(lambda client: client.query_batch_points(address.collection, requests))
        return [in_order(map(self._hit, answer.points)) for answer in answers]

    def _hit(self, point: models.ScoredPoint) -> Hit:
        payload = normal_form(point.payload or {})
        value = {"id": point.id, "payload": payload}
        identity, _ = identity_of(value, payload, self._keys)
        text, _ = text_of(value, payload, self._keys)
        name = str(identity)
        if text is not None:
            payload[TEXT] = text
        if self._names is not None:
            name = self._names.get(name, _UNKNOWN)
        return Hit(name, round(point.score, SCORE_DECIMALS), payload)
