"""Two vectors of each text: how far apart are they, and do they find the same neighbours? Pure numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from qembed.records import Vectors

Among: TypeAlias = Literal["file", "sample"]
Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the stored vectors are from those of the reference.

    Attributes:
        mean: Mean of the cosines.
        percentile_1: One in a hundred is below.
        min: The worst.
        identical: Vectors that are equal bit for bit.
        max_difference: Largest absolute difference of two numbers.
    """

    mean: float
    percentile_1: float
    min: float
    identical: int
    max_difference: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """Whether the same neighbours are found with the stored vector as query and with that of the reference.

    Attributes:
        k: Neighbours of each text.
        among: ``file``, or ``sample`` where the file's vectors exceed 1 GB.
        vectors: How many different ones were ranked.
        mean: Share of the neighbours that both have.
        min: That of the worst text.
        changed: Texts with any other neighbour.
    """

    k: int
    among: Among
    vectors: int
    mean: float
    min: float
    changed: int


def cosines_of(stored: Vectors, reference: Vectors) -> Floats:
    """Cosine of each pair of rows; float64 (rows,)."""
    one, other = stored.astype(np.float64), reference.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines: Floats = np.clip((one * other).sum(axis=1) / lengths, -1, 1)
    return cosines


def drift_of(stored: Vectors, reference: Vectors, cosines: Floats) -> Drift:
    """Drift over all rows, at least one."""
    return Drift(
        mean=float(cosines.mean()),
        percentile_1=float(np.percentile(cosines, 1)),
        min=float(cosines.min()),
        identical=int((stored == reference).all(axis=1).sum()),
        max_difference=float(np.abs(stored - reference).max()),
    )


def same_neighbours(
    stored: Vectors, reference: Vectors, ranked: list[Vectors], k: int, among: Among
) -> tuple[Floats | None, Overlap | None]:
    """Share of the ``k`` nearest that both vectors of a text find; None where there is nothing to rank.

    Args:
        stored: float32 (texts, dimension); a text is no neighbour of itself.
        reference: float32 (texts, dimension).
        ranked: Different vectors, float32 (rows, dimension) each.
        k: Neighbours; fewer where there are fewer.
        among: Where ``ranked`` comes from.
    """
    vectors = sum(map(len, ranked))
    k = min(k, vectors - 1)
    if k < 1:
        return None, None
    then, now = neighbours(stored, stored, ranked, k), neighbours(reference, stored, ranked, k)
    shares: Floats = np.array([len(np.intersect1d(*rows)) / k for rows in zip(then, now, strict=True)])
    changed = int((shares < 1).sum())
    return shares, Overlap(k, among, vectors, float(shares.mean()), float(shares.min()), changed)


def neighbours(queries: Vectors, own: Vectors, blocks: list[Vectors], k: int) -> npt.NDArray[np.int64]:
    """Rows of the ``k`` vectors with the highest cosine to each query, best first; ties by row.

    Args:
        queries: float32 (queries, dimension).
        own: float32 (queries, dimension): what is no neighbour of the query, because it is the same chunk.
        blocks: float32 (rows, dimension) each; rows are numbered through, at least ``k`` + 1 in all.
        k: How many, at least 1.

    Returns:
        int64 (queries, k).
    """
    queries, own = _unit(queries), np.ascontiguousarray(own)
    scores = np.empty((len(queries), 0), dtype=np.float32)
    rows = np.empty((len(queries), 0), dtype=np.int64)
    start = 0
    for block in blocks:
        new = queries @ _unit(block).T
        where = {row.tobytes(): at for at, row in enumerate(block)}
        for query, vector in enumerate(own):
            at = where.get(vector.tobytes())
            if at is not None:
                new[query, at] = -np.inf
        scores = np.hstack([scores, new])
        numbers = np.arange(start, start + len(block), dtype=np.int64)
        rows = np.hstack([rows, np.broadcast_to(numbers, new.shape)])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
        start += len(block)
    return rows


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit: Vectors = (vectors / lengths).astype(np.float32)
    return unit
