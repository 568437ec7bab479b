"""Which unjudged results decide a comparison: the ones on which the systems differ.

A unit with gain g adds ``g / log2(rank + 1)`` to a query's DCG (Järvelin and Kekäläinen 2002), and nothing
beyond the cutoff. So what judging it could change between two systems is the difference of the two discounts.
A unit that both rank alike cannot change anything, whatever its grade.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2
from typing import Final, NamedTuple

from qembed.evaluation.retrieve.ordering import ranked
from qembed.records import Qrels, Run

CUTOFF: Final = 10


class Unjudged(NamedTuple):
    """A result that nobody has judged.

    Attributes:
        query_id: The query.
        unit: What was found.
        best_rank: Its best rank in any system, from 1.
        could_change: Largest difference between two systems' discounts of it, 0 to 1.
    """

    query_id: str
    unit: str
    best_rank: int
    could_change: float


def unjudged_results(runs: Sequence[Run], qrels: Qrels, cutoff: int = CUTOFF) -> list[Unjudged]:
    """Unjudged units among the first ``cutoff`` of any system, the most decisive first.

    Args:
        runs: Query id -> unit -> score, one run per system.
        qrels: Over units; every query that may be judged is a key.
        cutoff: Ranks that count.
    """
    found: list[Unjudged] = []
    for query, grades in qrels.items():
        ranks: list[Mapping[str, int]] = [
            {unit: rank for rank, unit in enumerate(ranked(run.get(query, {}))[:cutoff], start=1)}
            for run in runs
        ]
        for unit in set().union(*ranks) - grades.keys():
            discounts = [1 / log2(seen[unit] + 1) if unit in seen else 0.0 for seen in ranks]
            best = min(seen[unit] for seen in ranks if unit in seen)
            found.append(Unjudged(query, unit, best, round(max(discounts) - min(discounts), 6)))
    return sorted(found, key=lambda one: (-one.could_change, one.best_rank, one.query_id, one.unit))
