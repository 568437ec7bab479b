"""Several rankings of one query made into one, by rank alone: scores of two systems have no common scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qembed.errors import UsageError
from qembed.evaluation.retrieve.ordering import ranked

RRF_K = 60
"""The constant of Cormack, Clarke and Büttcher; the larger, the less the first places count."""

FUSED = 100
"""Texts of each ranking that ``fuse_heads`` fuses, as a prefetch of ``limit = 100`` does in Qdrant."""


def reciprocal_rank_fusion(
    runs: Sequence[Mapping[str, float]], *, k: float = RRF_K, weights: Sequence[float] | None = None
) -> dict[str, float]:
    """The fused scores of one query: for each item the sum of ``weight / (k + rank)`` over its runs.

    Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    Methods", SIGIR 2009. Ranks count from 1 in the order of ``ranked``, so ties are broken by id.

    Args:
        runs: Item id -> score, one mapping for each system. An item that a run lacks gets nothing from it.
        k: At least 0.
        weights: One for each run, above 0; all 1 when left out.

    Returns:
        Item id -> score, best first; every item of any run.

    Raises:
        UsageError: A ``k`` or weights that make no sense.
        Mismatch: A score is NaN.
    """
    weights = [1.0] * len(runs) if weights is None else weights
    if len(weights) != len(runs):
        raise UsageError(f"{len(runs)} runs, but {len(weights)} weights", remedy="give each run one weight")
    if not all(0 < weight < math.inf for weight in weights):
        raise UsageError(
            f"the weights {list(weights)} are not all above 0", remedy="leave that run out instead"
        )
    if not 0 <= k < math.inf:
        raise UsageError(f"k is {k}, below 0 or not finite", remedy=f"the usual value is {RRF_K}")
    shares: dict[str, list[float]] = {}
    for run, weight in zip(runs, weights, strict=True):
        for rank, item in enumerate(ranked(run), start=1):
            shares.setdefault(item, []).append(weight / (k + rank))
    # fsum does not depend on the order of the runs, so equal shares stay exact ties.
    scores = {item: math.fsum(parts) for item, parts in shares.items()}
    return {item: scores[item] for item in ranked(scores)}


def fuse_heads(leading: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """The first ``FUSED`` items of both rankings fused; behind them the rest of ``leading`` in its order.

    The first places do not depend on how much longer either ranking is: an item gets nothing for a rank
    behind ``FUSED``, and what stands there alone scores ``1 / (RRF_K + rank)``, less than any fused item.
    """
    order = ranked(leading)
    heads = [{item: run[item] for item in ranked(run)[:FUSED]} for run in (leading, other)]
    fused = reciprocal_rank_fusion(heads)
    tail = enumerate(order[FUSED:], start=FUSED + 1)
    return fused | {item: 1 / (RRF_K + rank) for rank, item in tail if item not in fused}
