"""An eval set in numbers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from qembed.evaluation.eval_sets.eval_set import EvalSet


@dataclass(frozen=True, slots=True)
class Spread:
    """Numbers of many queries: least, median, mean and most; all 0 where there are none."""

    min: int
    median: float
    mean: float
    max: int


@dataclass(frozen=True, slots=True)
class EvalSetStats:
    """What an eval set holds.

    Attributes:
        queries: In the file of queries.
        judged: Queries that have judgements in this split.
        unanswerable: Judged queries that nothing answers.
        items: Different chunks or pages that were judged.
        judgements: Pairs of query and item.
        grades: Grade -> judgements with it, by grade.
        judgements_per_query: Judgements per judged query.
        relevant_per_query: Grades above 0, of the judged queries that something answers.
        words_per_query: Words per judged query, separated by white space.
    """

    queries: int
    judged: int
    unanswerable: int
    items: int
    judgements: int
    grades: dict[int, int]
    judgements_per_query: Spread
    relevant_per_query: Spread
    words_per_query: Spread


def eval_set_stats(eval_set: EvalSet) -> EvalSetStats:
    """Count what an eval set holds."""
    judged = eval_set.judged
    rows = [eval_set.qrels[query_id] for query_id in judged]
    grades = Counter(grade for row in rows for grade in row.values())
    relevant = [sum(grade > 0 for grade in row.values()) for row in rows]
    return EvalSetStats(
        queries=len(eval_set.queries),
        judged=len(judged),
        unanswerable=relevant.count(0),
        items=len({item for row in rows for item in row}),
        judgements=grades.total(),
        grades=dict(sorted(grades.items())),
        judgements_per_query=spread([len(row) for row in rows]),
        relevant_per_query=spread([count for count in relevant if count]),
        words_per_query=spread([len(text.split()) for text in judged.values()]),
    )


def spread(values: Sequence[int]) -> Spread:
    """Least, median, mean and most of some counts."""
    if not values:
        return Spread(0, 0.0, 0.0, 0)
    return Spread(min(values), float(median(values)), fmean(values), max(values))
