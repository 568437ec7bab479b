"""Embedded Qdrant (qdrant-edge): the engine of the server in this process, with HNSW and quantisation.

Until ``optimize`` is called every vector is compared, several times faster than in the memory mode of the
client. ``optimize`` builds the graph: queries no longer grow with the number of points, but some neighbours
are missed, and building takes minutes where there are many points. ``ann_recall`` tells how many are missed.
With conditions every vector is compared all the same: the graph loses points where few meet them.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from qembed.corpus import point_id
from qembed.errors import QembedError, UsageError
from qembed.index.filters import Condition
from qembed.index.points import blocks, checked_queries, comparable
from qembed.index.protocol import SCORE_DECIMALS, Hit, Point, Similarity
from qembed.index.qdrant_filters import Engine, for_engine
from qembed.index.ties import SPARE, deepen, in_order

if TYPE_CHECKING:
    import qdrant_edge

_BATCH_QUERIES = 100


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """What ``optimize`` builds and how it is searched then; the defaults are Qdrant's.

    Attributes:
        quantization: ``scalar`` keeps 8 bits of each number, ``binary`` one. What is found by them is scored
            again with the full vectors.
        oversampling: How many times the depth is fetched by quantised vectors to be scored again.
        m: Edges of a node; 0 builds no graph, so that only quantisation is approximate.
        ef_construct: Candidates while building.
        ef: Candidates while searching, at least the depth; None is ``ef_construct``.
    """

    quantization: Literal["scalar", "binary"] | None = None
    oversampling: float = 1.0
    m: int = 16
    ef_construct: int = 100
    ef: int | None = None


class EdgeIndex:
    """A shard of qdrant-edge in a temporary folder, which ``close`` removes."""

    name = "edge"

    def __init__(
        self, dimension: int, options: EdgeOptions = EdgeOptions(), similarity: Similarity = "cosine"
    ) -> None:
        """Make an empty shard.

        Raises:
            UsageError: The package qdrant-edge-py is not installed.
            QembedError: The engine cannot write to the temporary folder.
        """
        try:
            import qdrant_edge
        except ImportError:
            raise edge_not_installed() from None
        self.dimension, self.similarity = dimension, similarity
        self.exact = True
        self.options = options
        folder = tempfile.mkdtemp(prefix="qembed-edge-")
        try:
            with _engine("make a shard"):
                self._shard = qdrant_edge.EdgeShard.create(
                    folder, _config(qdrant_edge, dimension, options, similarity)
                )
        except QembedError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._remove = weakref.finalize(self, _remove, self._shard, folder)

    def __len__(self) -> int:
        import qdrant_edge

        return self._shard.count(qdrant_edge.CountRequest(exact=True))

    def add(self, points: Iterable[Point]) -> int:
        """Add points; returns how many. Two points of one chunk id: the later one stays.

        Points that come after ``optimize`` are compared one by one until it is called again.

        Raises:
            DimensionMismatch: A vector of another length.
            Mismatch: A vector that is zero or not finite.
            QembedError: The engine refuses a payload, or the disk is full.
        """
        import qdrant_edge

        added = 0
        for block in blocks(points, self.dimension):
            vectors = comparable(block.vectors, self.similarity).tolist()
            rows = zip(block.chunk_ids, vectors, block.payloads, strict=True)
            with _engine("take points"):
                batch = [qdrant_edge.Point(point_id(name), row, payload) for name, row, payload in rows]
                self._shard.update(qdrant_edge.UpdateOperation.upsert_points(batch))
            added += len(batch)
        return added

    def optimize(self) -> None:
        """Build the graph and the quantised vectors that the options name; ``exact`` is False from then on.

        Raises:
            QembedError: The engine cannot; mostly, the disk is full.
        """
        with _engine("build its index"):
            self._shard.optimize()
            self.exact = self._shard.info().indexed_vectors_count == 0

    def search(
        self, vector: npt.NDArray[np.float32], *, depth: int, where: Sequence[Condition] = ()
    ) -> list[Hit]:
        """The ``depth`` nearest points that meet all conditions, best first, ties by chunk id."""
        queries = checked_queries(np.asarray(vector)[None], self.dimension)
        (query,) = comparable(queries, self.similarity).tolist()
        meant, keep = for_engine(where, _edge_engine())
        return deepen(
            lambda limit: self._nearest([query], limit, meant, full_scan=bool(where))[0], depth, keep=keep
        )

    def search_many(self, vectors: npt.NDArray[np.float32], *, depth: int) -> list[list[Hit]]:
        """For every query, float32 (queries, dimension), its ``depth`` nearest points as ``search`` gives."""
        queries = comparable(checked_queries(vectors, self.dimension), self.similarity).tolist()
        answers: list[list[Hit]] = []
        for start in range(0, len(queries), _BATCH_QUERIES):
            batch = queries[start : start + _BATCH_QUERIES]
            for query, first in zip(batch, self._nearest(batch, depth + SPARE), strict=True):
                more = partial(self._nearest_one, query)
                answers.append(deepen(more, depth, first=first))
        return answers

    def close(self) -> None:
        """Remove the temporary folder."""
        self._remove()

    def _nearest_one(self, query: list[float], limit: int) -> list[Hit]:
        return self._nearest([query], limit)[0]

    def _nearest(
        self,
        queries: list[list[float]],
        limit: int,
        meant: Any = None,
        *,
        full_scan: bool = False,
    ) -> list[list[Hit]]:
        import qdrant_edge as edge

        requests = [
            edge.QueryRequest(
                limit=limit,
                query=edge.Query.Nearest(query),
                filter=meant,
                with_payload=True,
                params=edge.SearchParams(
                    exact=self.exact or full_scan,
                    hnsw_ef=self.options.ef,
                    quantization=edge.QuantizationSearchParams(
                        rescore=True, oversampling=self.options.oversampling
                    ),
                ),
            )
            for query in queries
        ]
        with _engine("search"):
            answers = self._shard.query_batch(edge.QueryBatchRequest(requests))
        return [
            in_order(
                Hit(str(payload["chunk_id"]), round(point.score, SCORE_DECIMALS), payload)
                for point in points
                if (payload := point.payload) is not None
            )
            for points in answers
        ]


def edge_not_installed() -> UsageError:
    """The error for who asks for ``edge`` without its package."""
    return UsageError(
        "the index edge needs the package qdrant-edge-py",
        remedy="pip install qdrant-edge-py, or take --index exact",
    )


def _config(
    edge: Any, dimension: int, options: EdgeOptions, similarity: Similarity
) -> qdrant_edge.EdgeConfig:
    distance = edge.Distance.Cosine if similarity == "cosine" else edge.Distance.Dot
    quantization = None
    if options.quantization == "scalar":
        quantization = edge.ScalarQuantizationConfig(edge.ScalarType.Int8)
    elif options.quantization == "binary":
        quantization = edge.BinaryQuantizationConfig()
    config: qdrant_edge.EdgeConfig = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=dimension, distance=distance),
        # Thresholds of 1 kB: an index of any size is built, and used once it is there.
        hnsw_config=edge.HnswIndexConfig(
            m=options.m, ef_construct=options.ef_construct, full_scan_threshold=1
        ),
        quantization_config=quantization,
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=1, default_segment_number=1),
        wal_enabled=False,
    )
    return config


def _edge_engine() -> Engine:
    import qdrant_edge as edge

    def moments(**bounds: datetime) -> Any:
        return edge.RangeDateTime(**{name: bound.isoformat() for name, bound in bounds.items()})

    # The binding (0.9) hands true and false to the engine as 1 and 0, which match neither.
    return Engine(edge, edge.RangeFloat, moments, booleans=False)


@contextmanager
def _engine(task: str) -> Iterator[None]:
    """The engine raises plain exceptions."""
    try:
        yield
    except Exception as error:
        raise QembedError(
            f"qdrant-edge could not {task}: {error}",
            where=f"the temporary folder {tempfile.gettempdir()}",
            remedy="see whether it has room (TMPDIR names another), or take --index exact",
        ) from error


def _remove(shard: qdrant_edge.EdgeShard, folder: str) -> None:
    shard.close()
    shutil.rmtree(folder, ignore_errors=True)
