"""What unjudged items could change: bounds of a mean difference over all their possible grades.

Measures take an item that nobody judged as irrelevant. A system that finds what no earlier system found is
punished for it. The bounds say how much that can matter: per query the smallest and the largest difference
that any choice of relevant holes gives, where the holes are the unjudged items in either list down to the
cutoff. They answer: whatever a judge says about what these two lists show, where would the difference be?

- Against the system: what only the baseline found, or ranks higher, is relevant; for it, the other way round.
- A relevant hole has one grade, the highest of the qrels unless told otherwise.
- A hole that both found moves nothing in recall and precision but the number of relevant items; in nDCG it
  pulls towards the side that ranks it higher.
- Relevant items that neither list shows stay unknown; queries without a judged relevant item stay left out.

Not a confidence interval: it holds for these queries, and chance comes on top of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from qembed.errors import UsageError
from qembed.evaluation.measures import Measure, ordered_lists, parse_measure, text_grades
from qembed.records import Qrels, Run

BOUNDED: Final = frozenset({"nDCG", "recall", "precision", "MRR", "hit"})
"""Measures whose bounds are exact. In MAP and Rprec one hole changes what all others are worth: no bounds."""

Floats: TypeAlias = npt.NDArray[np.float64]
Extremes: TypeAlias = tuple[float, float]


def hole_bounds(
    qrels: Qrels, baseline: Run, system: Run, measure: Measure | str, *, grade: int | None = None
) -> tuple[float, float]:
    """Least and greatest mean difference (system less baseline) over all that the holes might be.

    Args:
        qrels: Grades, as for ``evaluate``.
        baseline: A run.
        system: A run.
        measure: One of ``BOUNDED``; for the others there is no answer but NaN.
        grade: Grade of an unjudged item that is relevant; the highest grade of the qrels by default.

    Returns:
        Both ends; the difference that ``evaluate`` gives lies between them. NaN, twice, when the measure is
        not in ``BOUNDED`` or no query has a value.

    Raises:
        UsageError: A hole of this grade would not be relevant for the measure.
        Mismatch: As ``evaluate``.
    """
    chosen = parse_measure(measure) if isinstance(measure, str) else measure
    if chosen.name not in BOUNDED:
        return math.nan, math.nan
    grades = text_grades(qrels)
    if grade is None:
        grade = max((value for judged in grades.values() for value in judged.values()), default=0)
    elif grade < chosen.rel:
        raise UsageError(
            f"an unjudged item of grade {grade} is not relevant for {chosen}",
            remedy=f"use {chosen.rel} or more",
        )
    before, after = ordered_lists(baseline, grades), ordered_lists(system, grades)
    extremes = [
        _extremes(judged, before[query][: chosen.cutoff], after[query][: chosen.cutoff], chosen, grade)
        for query, judged in grades.items()
        if any(value >= chosen.rel for value in judged.values())
    ]
    if not extremes:
        return math.nan, math.nan
    low, high = np.mean(extremes, axis=0)
    return float(low), float(high)


def _extremes(
    judged: Mapping[str, int], before: Sequence[str], after: Sequence[str], measure: Measure, grade: int
) -> Extremes:
    holes = [item for item in dict.fromkeys([*before, *after]) if item not in judged]
    if measure.name in ("MRR", "hit"):
        return _of_first_hit(judged, before, after, measure, holes)
    return _of_sums(judged, before, after, measure, holes, grade)


def _of_first_hit(
    judged: Mapping[str, int],
    before: Sequence[str],
    after: Sequence[str],
    measure: Measure,
    holes: Sequence[str],
) -> Extremes:
    """MRR and hit depend on one item of each list, so one relevant hole, or none, is the extreme."""

    def value(items: Sequence[str], hole: str | None) -> float:
        for rank, item in enumerate(items, 1):
            if item == hole or judged.get(item, 0) >= measure.rel:
                return 1.0 if measure.name == "hit" else 1 / rank
        return 0.0

    differences = [value(after, hole) - value(before, hole) for hole in (None, *holes)]
    return min(differences), max(differences)


def _of_sums(
    judged: Mapping[str, int],
    before: Sequence[str],
    after: Sequence[str],
    measure: Measure,
    holes: Sequence[str],
    grade: int,
) -> Extremes:
    """nDCG, recall and precision are sums over items, divided by what depends on how many are relevant.

    So among all choices of m holes the extremes are the m that pull most to one side; m runs over all counts.
    """
    discount, divisor = _shape(judged, measure, grade)
    pull_after, pull_before = (
        {item: discount(rank) for rank, item in enumerate(items, 1)} for items in (after, before)
    )

    def pull(item: str) -> float:
        return pull_after.get(item, 0.0) - pull_before.get(item, 0.0)

    def gain(item: str) -> int:
        value = judged.get(item, 0)
        return value if measure.name == "nDCG" else int(value >= measure.rel)

    known = sum(gain(item) * pull(item) for item in {*before, *after})
    pulls = np.sort([pull(item) * (grade if measure.name == "nDCG" else 1) for item in holes])
    divisors = np.array([divisor(count) for count in range(len(holes) + 1)])
    least = (known + np.concatenate(([0.0], np.cumsum(pulls)))) / divisors
    greatest = (known + np.concatenate(([0.0], np.cumsum(pulls[::-1])))) / divisors
    return float(least.min()), float(greatest.max())


def _shape(
    judged: Mapping[str, int], measure: Measure, grade: int
) -> tuple[Callable[[int], float], Callable[[int], float]]:
    """What an item adds at a rank, and what the sum is divided by when so many holes are relevant."""
    relevant = sorted((value for value in judged.values() if value >= measure.rel), reverse=True)

    def ideal(count: int) -> float:
        gains = sorted([*relevant, *[grade] * count], reverse=True)[: measure.cutoff]
        return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))

    match measure.name:
        case "nDCG":
            return lambda rank: 1 / math.log2(rank + 1), ideal
        case "recall":
            return lambda _: 1.0, lambda count: len(relevant) + count
        case _:
            return lambda _: 1.0, lambda _: float(measure.cutoff or 1)
