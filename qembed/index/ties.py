"""Exact ties at the last place, for engines that break them anywhere and whose scores may be rough."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qembed.index.protocol import SCORE_DECIMALS, Hit

SPARE = 16
"""Candidates beyond the depth: with them, most queries are settled in one go."""


def in_order(hits: Iterable[Hit]) -> list[Hit]:
    """Best first, equal scores by chunk id."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))


def float32_error(dimension: int, lengths: float = 1.0) -> float:
    """How far a float32 dot product is off at most, the rounding of scores included.

    For vectors of product of lengths l it is l d u / (1 - d u) (Higham 2002, section 3.1); some more for rows
    whose length is known only as far as float32 goes; half a unit of the last decimal for the rounding.

    Args:
        dimension: Dimension of the vectors.
        lengths: Product of their lengths; 1 for a cosine.
    """
    rounding = (dimension + 8) * 2.0**-24
    return lengths * rounding / (1 - rounding) + 0.5 * 10.0**-SCORE_DECIMALS


def deepen(
    nearest: Callable[[int], list[Hit]],
    depth: int,
    *,
    error: float = 0.0,
    keep: Callable[[Hit], bool] | None = None,
    first: list[Hit] | None = None,
    distinct: bool = False,
) -> list[Hit]:
    """The ``depth`` best hits; asks for more until everything left out is surely worse than the last place.

    Args:
        nearest: Gives at most that many hits, ``in_order``; fewer only when there are no more.
        depth: At least 1.
        error: How far the scores by which ``nearest`` cuts may be from those of its hits.
        keep: Which hits count; all when left out.
        first: What ``nearest(depth + SPARE)`` gave, where it was asked already.
        distinct: Whether several hits of one chunk id count once, as the best of them.
    """
    limit = depth + SPARE
    hits = nearest(limit) if first is None else first
    while True:
        kept = hits if keep is None else list(filter(keep, hits))
        if distinct:
            best: dict[str, Hit] = {}
            for hit in kept:
                best.setdefault(hit.chunk_id, hit)
            kept = list(best.values())
        if len(hits) < limit or (len(kept) > depth and hits[-1].score < kept[depth - 1].score - 2 * error):
            return kept[:depth]
        limit *= 4
        hits = nearest(limit)
