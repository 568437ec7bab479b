"""How deep to rerank: quality at every depth from one pass over the deepest pool. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qembed.evaluation.statistics.compare import (
    Comparison,
    Estimate,
    compare,
    compare_pairs,
    mean_interval,
)
from qembed.evaluation.statistics.values import Groups

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
        gain: This depth against no reranking, corrected likewise; None for depth 0.
        milliseconds: Median time to rerank one query; None where it was not measured.
    """

    depth: int
    quality: Estimate
    ceiling: float
    to_best: Comparison
    gain: Comparison | None
    milliseconds: float | None


@dataclass(frozen=True, slots=True)
class Frontier:
    """All depths, and what to make of them.

    Attributes:
        measure: What is measured, e.g. ``nDCG@10``.
        points: By depth, 0 first.
        best: The depth of the highest mean.
        chosen: The smallest depth that is shown to be within the margin of every other, or above it. None
            where these queries cannot tell.
        falls_after: The best depth, where a deeper one is significantly worse: stop reranking there.
        too_shallow: Depths below the best that are shown to be worse than it.
    """

    measure: str
    points: tuple[DepthPoint, ...]
    best: int
    chosen: int | None
    falls_after: int | None
    too_shallow: tuple[int, ...]


def frontier(
    measure: str,
    values: Mapping[int, Values],
    ceilings: Mapping[int, Values],
    milliseconds: Mapping[int, float],
    *,
    margin: float,
    resamples: int = 10_000,
    seed: int = 0,
    groups: Groups | None = None,
) -> Frontier:
    """Every depth compared with the best, and the smallest that is as good as any.

    A depth is chosen only if it is shown to be non-inferior to each of the others: the upper end of the
    one-sided interval of the other less this one, at alpha, lies within the margin. Since all of these tests
    must reject, none needs a correction (the intersection-union test; Berger 1982, "Multiparameter hypothesis
    testing and acceptance sampling", Technometrics 24). That no depth is *shown* to be better would say
    little: with few queries nothing is shown.

    Args:
        measure: Its name.
        values: Depth -> value of each query, all for the same queries; depth 0 among them.
        ceilings: Depth -> the same for the best order of the candidates.
        milliseconds: Depth -> median time per query, where it was measured.
        margin: Differences below it do not matter.
        resamples: Number of resamples of the randomisation test.
        seed: Random seed of that test.
        groups: One label per query: queries of one label are drawn together.
    """
    settings: Any = {"margin": margin, "resamples": resamples, "seed": seed, "groups": groups}
    depths = sorted(values)
    means = {depth: _mean(values[depth]) for depth in depths}
    best = max(depths, key=lambda depth: (round(means[depth], 12), -depth))
    to_best = compare_pairs(
        {str(depth): (values[depth], values[best]) for depth in depths if depth != best}, **settings
    )
    to_best[str(best)] = compare(values[best], values[best], **settings)
    gains = compare_pairs({str(depth): (values[0], values[depth]) for depth in depths if depth}, **settings)
    points = tuple(
        DepthPoint(
            depth,
            mean_interval(values[depth], groups=groups),
            _mean(ceilings[depth]),
            to_best[str(depth)],
            gains.get(str(depth)),
            milliseconds.get(depth),
        )
        for depth in depths
    )
    worse = [point.depth for point in points if point.to_best.verdict == "better"]
    chosen = next(
        (
            depth
            for depth in depths
            if all(
                compare(values[other], values[depth], **settings).inner_low >= -margin
                for other in depths
                if other != depth
            )
        ),
        None,
    )
    return Frontier(
        measure,
        points,
        best,
        chosen,
        falls_after=best if any(depth > best for depth in worse) else None,
        too_shallow=tuple(depth for depth in worse if depth < best),
    )


def advice(*, best: int, chosen: int | None, too_shallow: Sequence[int], falls_after: int | None) -> str:
    """What to make of the depths, in plain words; the arguments are ``Frontier``'s."""
    if chosen == 0:
        words = "No depth is worth more than no reranking at all."
    elif chosen is not None:
        words = f"Rerank {chosen}: no depth is worth more."
    else:
        highest = f"the highest mean is at {best}" if best else "the highest mean is without reranking"
        words = f"These queries cannot tell which depth is enough; {highest}."
        if too_shallow:
            listed = ", ".join(map(str, too_shallow))
            words += f" Shown to be worse than {best}: {listed}."
    return words + (f" Deeper than {falls_after} is worse." if falls_after is not None else "")


def depths_within(depths: Sequence[int], retrieved: int) -> tuple[int, ...]:
    """The depths that a pool of ``retrieved`` candidates allows, ascending, each once."""
    return tuple(sorted({min(depth, retrieved) for depth in depths}))


def _mean(values: Values) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
