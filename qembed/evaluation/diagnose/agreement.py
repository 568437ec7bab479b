"""How much two runs agree. Agreement is not quality: two bad systems can agree, two good ones differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.statistics.compare import Estimate, mean_interval
from qembed.records import Run

CUTOFFS: Final = (1, 10, 100)
PERSISTENCE: Final = 0.9
LEAST: Final = 5


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two systems find the same units.

    Attributes:
        overlaps: Cutoff -> share of the first results that both have, mean over queries; only cutoffs below
            the number of units, because all units are found by both.
        rbo: Rank-biased overlap (p = 0.9), mean over queries.
        least: Query ids with the lowest rank-biased overlap, and that overlap, lowest first.
    """

    overlaps: dict[int, Estimate]
    rbo: Estimate
    least: tuple[tuple[str, float], ...]


def agreement(one: Run, other: Run, *, units: int) -> Agreement:
    """Compare two runs of the same queries.

    Args:
        one: Query id -> unit -> score.
        other: The same queries.
        units: Number of units that both could find.
    """
    lists = [(ranked(scores), ranked(other[query])) for query, scores in one.items()]
    biased = np.array([rank_biased_overlap(first, second, PERSISTENCE) for first, second in lists])
    names = list(one)

    def estimate(values: Sequence[float]) -> Estimate:
        return mean_interval(np.asarray(values))

    return Agreement(
        overlaps={
            k: estimate([overlap(first, second, k) for first, second in lists])
            for k in CUTOFFS
            if k < units or k == min(CUTOFFS)
        },
        rbo=estimate(biased.tolist()),
        least=tuple(
            (names[at], float(biased[at])) for at in np.argsort(biased, kind="stable")[:LEAST].tolist()
        ),
    )


def overlap(one: Sequence[str], other: Sequence[str], k: int) -> float:
    """Share of the first ``k`` items that both lists have: ``|A & B| / k``.

    Where both lists are shorter than ``k``, the longer one's size stands for it; 1 for two empty lists.
    """
    first, second = set(one[:k]), set(other[:k])
    size = max(len(first), len(second))
    return len(first & second) / size if size else 1.0


def rank_biased_overlap(one: Sequence[str], other: Sequence[str], p: float = 0.9) -> float:
    """Rank-biased overlap, extrapolated (RBO_ext): 1 for equal lists, 0 for lists without a common item.

    Equation 32 of Webber, Moffat and Zobel, "A similarity measure for indefinite rankings" (TOIS 2010), which
    assumes that the agreement seen continues below the end of the lists; lists of two lengths are allowed.

    Args:
        one: Item ids, best first, none twice.
        other: The same.
        p: How far down a reader looks: the first 10 ranks have 86 % of the weight at 0.9.

    Raises:
        ValueError: p is not between 0 and 1.
    """
    if not 0 < p < 1:
        raise ValueError("p must lie between 0 and 1")
    short, long = sorted((one, other), key=len)
    if not short:
        return 1.0 if not long else 0.0
    s, n = len(short), len(long)
    seen_short: set[str] = set()
    seen_long: set[str] = set()
    common = common_at_s = 0
    total = 0.0
    for depth in range(1, n + 1):
        added = long[depth - 1]
        seen_long.add(added)
        if depth <= s:
            item = short[depth - 1]
            seen_short.add(item)
            common += (item in seen_long) + (added in seen_short) - (item == added)
            if depth == s:
                common_at_s = common
        else:
            common += added in seen_short
        total += common / depth * p**depth
        if depth > s:
            total += common_at_s * (depth - s) / (s * depth) * p**depth
    extrapolated = ((common - common_at_s) / n + common_at_s / s) * p**n
    return (1 - p) / p * total + extrapolated
