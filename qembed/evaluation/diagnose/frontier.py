"""How deep to rerank: quality at every depth from one pass over the deepest pool. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qembed.evaluation.statistics.compare import Comparison, Estimate, compare, compare_family, mean_interval

Values = npt.NDArray[np.float64]
"""float64 (queries,); a measure's value for each query, NaN where it is not defined."""


@dataclass(frozen=True, slots=True)
class DepthPoint:
    """Quality and cost of one rerank depth.

    Attributes:
        depth: Candidates that are reranked; 0 is retrieval alone.
        quality: The measure's mean with its interval.
        ceiling: The measure's mean if the same candidates stood in the best order.
        to_best: The best depth against this one, paired by query: how much this one leaves; its p is
            corrected for the number of depths.
        milliseconds: Median time of the reranking of one query; None where it was not measured.
    """

    depth: int
    quality: Estimate
    ceiling: float
    to_best: Comparison
    milliseconds: float | None


@dataclass(frozen=True, slots=True)
class Frontier:
    """All depths, and what to make of them.

    Attributes:
        measure: What is measured, e.g. ``nDCG@10``.
        points: By depth, 0 first.
        best: The depth of the highest mean.
        chosen: The smallest depth than which no other is shown to be better, beyond the margin.
        falls_after: The best depth, where a deeper one is significantly worse: stop reranking there.
    """

    measure: str
    points: tuple[DepthPoint, ...]
    best: int
    chosen: int
    falls_after: int | None


def frontier(
    measure: str,
    values: Mapping[int, Values],
    ceilings: Mapping[int, Values],
    milliseconds: Mapping[int, float],
    *,
    margin: float,
    resamples: int = 10_000,
    seed: int = 0,
) -> Frontier:
    """Every depth held against all others (Holm's family), above all against the best.

    The best depth is chosen by the same queries that judge it, so its own mean is flattered a little; the
    chosen depth is therefore the smallest than which none is shown to be better.

    Args:
        measure: Its name.
        values: Depth -> value of each query, all for the same queries; depth 0 among them.
        ceilings: Depth -> the same for the best order of the candidates.
        milliseconds: Depth -> median time of a query, where it was measured.
        margin: Differences below it do not matter.
        resamples: Of bootstrap and test.
        seed: Of both.
    """
    depths = sorted(values)
    means = {depth: _mean(values[depth]) for depth in depths}
    best = max(depths, key=lambda depth: (round(means[depth], 12), -depth))
    against = {
        depth: compare_family(
            {str(other): values[other] for other in depths if other != depth},
            values[depth],
            margin=margin,
            resamples=resamples,
            seed=seed,
        )
        for depth in depths
    }
    against[best][str(best)] = compare(
        values[best], values[best], margin=margin, resamples=resamples, seed=seed
    )
    points = tuple(
        DepthPoint(
            depth,
            mean_interval(values[depth], resamples=resamples, seed=seed),
            _mean(ceilings[depth]),
            against[depth][str(best)],
            milliseconds.get(depth),
        )
        for depth in depths
    )
    enough = [
        depth
        for depth in depths
        if not any(comparison.verdict == "better" for comparison in against[depth].values())
    ]
    falls = any(point.depth > best and point.to_best.verdict == "better" for point in points)
    return Frontier(measure, points, best, min(enough), best if falls else None)


def depths_within(depths: Sequence[int], retrieved: int) -> tuple[int, ...]:
    """The depths that a pool of ``retrieved`` candidates allows, ascending, each once."""
    return tuple(sorted({min(depth, retrieved) for depth in depths}))


def _mean(values: Values) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
