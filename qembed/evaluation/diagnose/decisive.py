"""Which unjudged results decide a comparison: the ones on which the systems differ.

A unit with gain g adds ``g / log2(rank + 1)`` to a query's DCG (Järvelin and Kekäläinen 2002), and nothing
beyond the cutoff. So what judging it could change between two systems is the difference of the two discounts.
A unit that both rank alike cannot change anything, whatever its grade. Of several systems, the two of the
headline are decided first, then the others.
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
        could_decide: Difference between its discounts in the two systems of the headline, 0 to 1.
        could_change: Largest difference between its discounts in any two systems.
    """

    query_id: str
    unit: str
    best_rank: int
    could_decide: float
    could_change: float


def pulls(system: Sequence[str], baseline: Sequence[str]) -> dict[str, float]:
    """Unit -> difference of its two discounts, of all units that two lists, best first, rank differently."""
    ours, theirs = _places(system), _places(baseline)
    found = {unit: discount(ours.get(unit)) - discount(theirs.get(unit)) for unit in {**ours, **theirs}}
    return {unit: pull for unit, pull in found.items() if pull}


def unjudged_results(
    runs: Sequence[Run], qrels: Qrels, cutoff: int = CUTOFF, *, pair: tuple[int, int] | None = None
) -> list[Unjudged]:
    """Unjudged units among the first ``cutoff`` of any system, the most decisive first.

    Args:
        runs: Query id -> unit -> score, one run per system.
        qrels: Over units; every query that may be judged is a key.
        cutoff: Ranks that count.
        pair: Positions of the two runs of the headline; the first and the last when None.
    """
    first, second = pair or (0, len(runs) - 1)
    found: list[Unjudged] = []
    for query, grades in qrels.items():
        ranks = [_ranks(run.get(query, {}), cutoff) for run in runs]
        for unit in set().union(*ranks) - grades.keys():
            worth = [discount(seen.get(unit)) for seen in ranks]
            best = min(seen[unit] for seen in ranks if unit in seen)
            decide, change = abs(worth[first] - worth[second]), max(worth) - min(worth)
            found.append(Unjudged(query, unit, best, round(decide, 6), round(change, 6)))
    return sorted(
        found, key=lambda one: (-one.could_decide, -one.could_change, one.best_rank, one.query_id, one.unit)
    )


def discount(rank: int | None) -> float:
    """What one grade at this rank adds to the DCG; 0 without a rank."""
    return 1 / log2(rank + 1) if rank else 0.0


def _ranks(scores: Mapping[str, float], cutoff: int) -> dict[str, int]:
    return _places(ranked(scores)[:cutoff])


def _places(units: Sequence[str]) -> dict[str, int]:
    return {unit: rank for rank, unit in enumerate(units, start=1)}
