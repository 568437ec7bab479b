"""Measures of one query that ranx does not have, or not as the field defines them. Pure.

Each takes grades (item -> relevance, 0 and above), the items of a run, best first, and gives one number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Grades = Mapping[str, int]


def judged_share(grades: Grades, items: Sequence[str]) -> float:
    """Share of the items that were judged; NaN without any item."""
    return sum(item in grades for item in items) / len(items) if items else math.nan


def bpref(grades: Grades, items: Sequence[str], rel: int) -> float:
    """Binary preference: how seldom a judged irrelevant item stands above a relevant one.

    ``1 / R * sum over relevant items retrieved of 1 - min(n, R) / min(N, R)``, where n counts the judged
    irrelevant items above, and N all of them. Unjudged items play no part. Buckley and Voorhees, "Retrieval
    evaluation with incomplete information", SIGIR 2004, as trec_eval computes it.
    """
    relevant = sum(grade >= rel for grade in grades.values())
    least = min(len(grades) - relevant, relevant)
    total, above = 0.0, 0
    for item in items:
        if item not in grades:
            continue
        if grades[item] >= rel:
            total += 1 - min(above, relevant) / least if above else 1.0
        else:
            above += 1
    return total / relevant


def rank_biased_precision(grades: Grades, items: Sequence[str], rel: int, persistence: float) -> float:
    """``(1 - p) * sum of p^(rank - 1)`` over the relevant items.

    A reader goes on to the next result with probability p. Moffat and Zobel, "Rank-biased precision for
    measurement of retrieval effectiveness", TOIS 2008.
    """
    gained = (persistence**place for place, item in enumerate(items) if grades.get(item, 0) >= rel)
    return (1 - persistence) * math.fsum(gained)


def expected_reciprocal_rank(grades: Grades, items: Sequence[str], highest: int) -> float:
    """Sum of 1 / rank times the chance that the reader stops there: ``(2^grade - 1) / 2^highest`` per item.

    Chapelle, Metzler, Zhang and Grinspan, "Expected reciprocal rank for graded relevance", CIKM 2009.

    Args:
        grades: Item -> relevance.
        items: Best first.
        highest: Highest grade of the scale. TREC's gdeval takes 4 whatever the grades are.
    """
    total, going_on = 0.0, 1.0
    for rank, item in enumerate(items, start=1):
        stops = (2 ** grades.get(item, 0) - 1) / 2**highest
        total += going_on * stops / rank
        going_on *= 1 - stops
    return total


def exponential_ndcg(grades: Grades, items: Sequence[str], cutoff: int | None) -> float:
    """NDCG with the gain ``2^grade - 1``, at a reader's discount of ``log2(rank + 1)``.

    Burges et al., "Learning to rank using gradient descent", ICML 2005.
    """

    def gained(values: Sequence[int]) -> float:
        gains: list[int] = [2**grade - 1 for grade in values]
        return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))

    best = sorted(grades.values(), reverse=True)[:cutoff]
    return gained([grades.get(item, 0) for item in items]) / gained(best)


def capped_recall(grades: Grades, items: Sequence[str], rel: int, cutoff: int) -> float:
    """Relevant items retrieved over the most that ``cutoff`` places can hold, as BEIR's ``recall_cap``.

    Thakur et al., "BEIR", NeurIPS 2021, section 3: recall@k cannot reach 1 where more than k are relevant.
    """
    relevant = sum(grade >= rel for grade in grades.values())
    return sum(grades.get(item, 0) >= rel for item in items) / min(relevant, cutoff)
