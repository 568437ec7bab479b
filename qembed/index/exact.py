"""Exact search as one matrix product: the reference that other indexes are measured against.

float32 finds the candidates, float64 decides their order, so that an answer depends neither on how many
queries are asked at once nor on where in the matrix a vector stands.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qembed.index.filters import Condition, matches
from qembed.index.points import blocks, checked_queries, comparable, longest
from qembed.index.protocol import SCORE_DECIMALS, Hit, Point, Similarity
from qembed.index.ties import SPARE, float32_error

if TYPE_CHECKING:
    import torch

_BLOCK_BYTES = 128 * 2**20
"""What the scores of one block of queries may take."""
_PIECE_ROWS = 4096
"""Candidates whose vectors are widened to float64 at a time."""


class ExactIndex:
    """A float32 matrix in memory; torch multiplies, no server, no approximation."""

    name = "exact"
    exact = True

    def __init__(self, dimension: int, similarity: Similarity = "cosine") -> None:
        self.dimension, self.similarity = dimension, similarity
        self._row_of: dict[str, int] = {}
        self._payloads: list[dict[str, Any]] = []
        self._vectors: list[npt.NDArray[np.float32]] = []
        self._prepared: _Prepared | None = None

    def __len__(self) -> int:
        return len(self._row_of)

    def add(self, points: Iterable[Point]) -> int:
        """Add points; returns how many. Two points of one chunk id: the later one stays.

        Raises:
            DimensionMismatch: A vector of another length.
            Mismatch: A vector that is zero or not finite.
        """
        added = 0
        for block in blocks(points, self.dimension):
            self._prepared = None
            first = len(self._payloads)
            self._row_of.update((name, first + place) for place, name in enumerate(block.chunk_ids))
            self._payloads += block.payloads
            self._vectors.append(comparable(block.vectors, self.similarity))
            added += len(block.chunk_ids)
        return added

    def search(
        self, vector: npt.NDArray[np.float32], *, depth: int, where: Sequence[Condition] = ()
    ) -> list[Hit]:
        """The ``depth`` nearest points that meet all conditions, best first, ties by chunk id."""
        queries = checked_queries(np.asarray(vector)[None], self.dimension)
        if not len(self):
            return []
        prepared = self._prepare()
        if where:
            met = [all(matches(payload, each) for each in where) for payload in prepared.payloads]
            prepared = prepared.only(np.flatnonzero(met))
        return next(prepared.nearest(comparable(queries, self.similarity), depth))

    def search_many(self, vectors: npt.NDArray[np.float32], *, depth: int) -> list[list[Hit]]:
        """For every query, float32 (queries, dimension), its ``depth`` nearest points as ``search`` gives."""
        queries = checked_queries(vectors, self.dimension)
        if not len(self):
            return [[] for _ in queries]
        with _no_garbage_collection():
            return list(self._prepare().nearest(comparable(queries, self.similarity), depth))

    def close(self) -> None:
        """Free the memory."""
        self._row_of, self._payloads, self._vectors, self._prepared = {}, [], [], None

    def _prepare(self) -> _Prepared:
        if self._prepared is None:
            matrix = np.concatenate(self._vectors)
            if len(self._row_of) < len(matrix):  # points that a later one of the same id replaced
                rows = list(self._row_of.values())
                matrix, self._payloads = matrix[rows], [self._payloads[row] for row in rows]
                self._row_of = {name: row for row, name in enumerate(self._row_of)}
            self._vectors = [matrix]
            self._prepared = _Prepared(matrix, list(self._row_of), self._payloads)
        return self._prepared


class _Prepared:
    """Points ready to be searched: comparable rows, and the place of each row's id in the order of ids."""

    def __init__(
        self, matrix: npt.NDArray[np.float32], ids: list[str], payloads: list[dict[str, Any]]
    ) -> None:
        self.matrix, self.ids, self.payloads = matrix, ids, payloads
        self.longest = longest(matrix)
        self.id_rank = np.empty(len(ids), dtype=np.int64)
        self.id_rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))

    def only(self, rows: npt.NDArray[np.int64]) -> _Prepared:
        """Some of the points."""
        kept = rows.tolist()
        return _Prepared(
            self.matrix[rows], [self.ids[row] for row in kept], [self.payloads[row] for row in kept]
        )

    def nearest(self, queries: npt.NDArray[np.float32], depth: int) -> Iterator[list[Hit]]:
        """The hits of one query after the other; ``queries`` are comparable rows, as the matrix has them."""
        import torch

        depth = min(depth, len(self.ids))
        transposed = torch.from_numpy(self.matrix).T
        size = max(1, _BLOCK_BYTES // (4 * max(1, len(self.ids))))
        for start in range(0, len(queries) if depth else 0, size):
            block = queries[start : start + size]
            rough = torch.from_numpy(block) @ transposed
            error = float32_error(self.matrix.shape[1], self.longest * longest(block))
            candidates = _candidates(rough, depth, error)
            yield from (self._best(query, rows, depth) for query, rows in zip(block, candidates, strict=True))
        if not depth:
            yield from ([] for _ in queries)

    def _best(self, query: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], depth: int) -> list[Hit]:
        wide = query.astype(np.float64)
        parts = (self.matrix[part].astype(np.float64) @ wide for part in _pieces(rows))
        scores = np.concatenate(list(parts)).round(SCORE_DECIMALS)
        order = np.lexsort((self.id_rank[rows], -scores))[:depth]
        return [
            Hit(self.ids[row], score, self.payloads[row])
            for row, score in zip(rows[order].tolist(), scores[order].tolist(), strict=True)
        ]


def _candidates(scores: torch.Tensor, depth: int, error: float) -> list[npt.NDArray[np.int64]]:
    """For each query the rows that can be among its ``depth`` best once scores are known exactly.

    Args:
        scores: float32 (queries, points), each off by ``error`` at most.
        depth: At most the number of points.
        error: See above.
    """
    import torch

    found: dict[int, npt.NDArray[np.int64]] = {}
    waiting = torch.arange(len(scores))
    limit = depth + SPARE
    while len(waiting):
        limit = min(limit, scores.shape[1])
        values, rows = torch.topk(scores if not found else scores[waiting], limit)
        settled = values[:, -1] < values[:, depth - 1] - 2 * error
        if limit == scores.shape[1]:
            settled[:] = True
        found.update(zip(waiting[settled].tolist(), rows[settled].numpy(), strict=True))
        waiting = waiting[~settled]
        limit *= 4
    return [found[position] for position in range(len(scores))]


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """While 100,000 hits are made, which hold no cycles, the collector would walk them again and again.

    It took a third of the time of a large batch.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _pieces(rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, len(rows), _PIECE_ROWS):
        yield rows[start : start + _PIECE_ROWS]
