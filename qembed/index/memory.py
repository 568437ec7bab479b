"""Qdrant's in-memory mode: exact search (every vector is compared), no server, gone with the process."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from qembed.corpus import point_id
from qembed.index.filters import Condition
from qembed.index.protocol import Hit, Point

_COLLECTION = "qembed"
_BATCH_POINTS = 1000
_SCORE_DECIMALS = 7
"""What float32 vectors are good for. BLAS gives copies of one vector scores that differ in the 17th digit."""


class MemoryIndex:
    """``QdrantClient(":memory:")`` with cosine distance."""

    name = "memory"
    exact = True

    def __init__(self, dimension: int) -> None:
        from qdrant_client import QdrantClient, models

        self.dimension = dimension
        self._client = QdrantClient(":memory:")
        self._size = 0
        vectors = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
        self._client.create_collection(_COLLECTION, vectors_config=vectors)

    def __len__(self) -> int:
        return self._size

    def add(self, points: Iterable[Point]) -> int:
        """Add points; returns how many. Two points of one chunk id: the later one stays."""
        from qdrant_client import models

        stream = iter(points)
        added = 0
        while block := list(islice(stream, _BATCH_POINTS)):
            batch = models.Batch(
                ids=[point_id(point.chunk_id) for point in block],
                vectors=np.stack([point.vector for point in block]).tolist(),
                payloads=[{**point.payload, "chunk_id": point.chunk_id} for point in block],
            )
            with warnings.catch_warnings():
                # Beyond 20,000 points Qdrant advises a server; here the choice is made by the caller.
                warnings.filterwarnings("ignore", message=".*[Ll]ocal mode.*")
                self._client.upsert(_COLLECTION, batch, wait=True)
            added += len(block)
        self._size = self._client.count(_COLLECTION, exact=True).count
        return added

    def search(
        self, vector: npt.NDArray[np.float32], *, depth: int, where: Sequence[Condition] = ()
    ) -> list[Hit]:
        """The ``depth`` nearest points that meet all conditions, best first, ties by chunk id."""
        limit = depth + 1
        while True:
            hits = self._nearest(vector, limit, where)
            # Qdrant cuts ties anywhere: go on until the last place is not shared with what was cut.
            if len(hits) < limit or hits[-1].score < hits[depth - 1].score:
                return hits[:depth]
            limit *= 4

    def _nearest(self, vector: npt.NDArray[np.float32], limit: int, where: Sequence[Condition]) -> list[Hit]:
        response = self._client.query_points(
            _COLLECTION,
            query=vector.tolist(),
            query_filter=_filter(where),
            limit=limit,
            with_payload=True,
        )
        payloads = (point.payload or {} for point in response.points)
        hits = [
            Hit(str(payload["chunk_id"]), round(point.score, _SCORE_DECIMALS), payload)
            for point, payload in zip(response.points, payloads, strict=True)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))

    def close(self) -> None:
        """Free the memory."""
        self._client.close()


def _filter(conditions: Sequence[Condition]) -> Any:
    from qdrant_client import models

    if not conditions:
        return None
    must = [_field(condition) for condition in conditions if condition.operator != "!="]
    must_not = [_field(condition) for condition in conditions if condition.operator == "!="]
    return models.Filter(must=must, must_not=must_not)


def _field(condition: Condition) -> Any:
    from qdrant_client import models

    value = condition.value
    bounds = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
    if condition.operator in bounds:
        return models.FieldCondition(
            key=condition.field, range=models.Range(**{bounds[condition.operator]: float(value)})
        )
    if isinstance(value, float):
        # Qdrant matches integers, words and booleans; an equal float is an empty range around it.
        return models.FieldCondition(key=condition.field, range=models.Range(gte=value, lte=value))
    return models.FieldCondition(key=condition.field, match=models.MatchValue(value=value))
