"""Qdrant's in-memory mode: exact search (every vector is compared), no server, gone with the process.

It scores in float32, a little otherwise at each call (it normalises its vectors again in place). So it finds
the candidates, and float64 decides their order: copies of one vector have one score.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qembed.corpus import point_id
from qembed.index.filters import Condition
from qembed.index.points import blocks, checked_queries, comparable, longest
from qembed.index.protocol import SCORE_DECIMALS, Hit, Point, Similarity
from qembed.index.qdrant_filters import client_engine, for_engine
from qembed.index.ties import deepen, float32_error, in_order

_COLLECTION = "qembed"


class MemoryIndex:
    """``QdrantClient(":memory:")``, exact."""

    name = "memory"
    exact = True

    def __init__(self, dimension: int, similarity: Similarity = "cosine") -> None:
        from qdrant_client import QdrantClient, models

        self.dimension, self.similarity = dimension, similarity
        self._longest = 0.0
        self._client = QdrantClient(":memory:")
        self._vectors: dict[str, npt.NDArray[np.float32]] = {}
        distance = models.Distance.COSINE if similarity == "cosine" else models.Distance.DOT
        vectors = models.VectorParams(size=dimension, distance=distance)
        self._client.create_collection(_COLLECTION, vectors_config=vectors)

    def __len__(self) -> int:
        return len(self._vectors)

    def add(self, points: Iterable[Point]) -> int:
        """Add points; returns how many. Two points of one chunk id: the later one stays.

        Raises:
            DimensionMismatch: A vector of another length.
            Mismatch: A vector that is zero or not finite.
        """
        from qdrant_client import models

        added = 0
        for block in blocks(points, self.dimension):
            vectors = comparable(block.vectors, self.similarity)
            self._longest = max(self._longest, longest(vectors))
            batch = models.Batch(
                ids=[point_id(name) for name in block.chunk_ids],
                vectors=vectors.tolist(),
                payloads=block.payloads,
            )
            with warnings.catch_warnings():
                # Beyond 20,000 points Qdrant advises a server; here the choice is made by the caller.
                warnings.filterwarnings("ignore", message=".*[Ll]ocal mode.*")
                self._client.upsert(_COLLECTION, batch, wait=True)
            self._vectors.update(zip(block.chunk_ids, vectors, strict=True))
            added += len(block.chunk_ids)
        return added

    def search(
        self, vector: npt.NDArray[np.float32], *, depth: int, where: Sequence[Condition] = ()
    ) -> list[Hit]:
        """The ``depth`` nearest points that meet all conditions, best first, ties by chunk id."""
        (query,) = queries = comparable(
            checked_queries(np.asarray(vector)[None], self.dimension), self.similarity
        )
        error = float32_error(self.dimension, self._longest * longest(queries))
        meant, keep = for_engine(where, client_engine(server=False))
        return deepen(lambda limit: self._nearest(query, limit, meant), depth, error=error, keep=keep)

    def search_many(self, vectors: npt.NDArray[np.float32], *, depth: int) -> list[list[Hit]]:
        """For every query, float32 (queries, dimension), its ``depth`` nearest points as ``search`` gives.

        One after the other: Qdrant's local mode gains nothing from batches.
        """
        return [self.search(vector, depth=depth) for vector in checked_queries(vectors, self.dimension)]

    def _nearest(self, query: npt.NDArray[np.float32], limit: int, meant: Any) -> list[Hit]:
        response = self._client.query_points(
            _COLLECTION,
            query=query.tolist(),
            query_filter=meant,
            limit=limit,
            with_payload=True,
        )
        payloads = [point.payload or {} for point in response.points]
        if not payloads:
            return []
        names = [str(payload["chunk_id"]) for payload in payloads]
        rows = np.stack([self._vectors[name] for name in names]).astype(np.float64)
        scores = (rows @ query.astype(np.float64)).round(SCORE_DECIMALS).tolist()
        return in_order(map(Hit, names, scores, payloads))

    def close(self) -> None:
        """Free the memory."""
        self._vectors = {}
        self._client.close()
