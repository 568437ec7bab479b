"""The numbers of a bench: values by query, intervals, comparisons, unjudged units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from qembed.evaluation.diagnose.latency import Latency, latency_of, total
from qembed.evaluation.eval_sets.groups import Groups, labels_of
from qembed.evaluation.measures import Measure
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.statistics.compare import Comparison, Estimate, compare_family, mean_interval
from qembed.evaluation.statistics.holes import BOUNDED, hole_bounds
from qembed.evaluation.statistics.pool import Pool, condensed, could_turn, one_sided
from qembed.evaluation.systems.system import System
from qembed.evaluation.systems.values import frame_of, seen_by, values_of
from qembed.records import Qrels

if TYPE_CHECKING:
    import pandas as pd

JUDGED: Final = Measure("judged", 10)
LEAST_UNANSWERABLE: Final = 5
"""With fewer unanswerable queries nothing is said about how well scores tell them apart."""


class Settings(Protocol):
    """The part of ``BenchOptions`` that decides verdicts."""

    @property
    def margin(self) -> float:
        """Differences below it do not matter."""

    @property
    def resamples(self) -> int:
        """Resamples of the randomisation test."""

    @property
    def seed(self) -> int:
        """Random seed."""


@dataclass(frozen=True, slots=True)
class Row:
    """A system with its numbers.

    Attributes:
        system: The system.
        values: Index query id, a column for each measure.
        estimates: Measure -> mean with interval.
        comparisons: Measure -> comparison with the first row; none for the first row itself and judged@k.
        holes: Lowest and highest difference to the first row in the primary measure, whatever the unjudged
            items are; None for the first row, and for measures without bounds.
        pool: How well this row and the first were judged, and whether the verdict rests on that; None for the
            first row, and where nothing is judged.
        stages: Stage -> latency.
        latency: Latency of all stages together; None where nothing was timed.
        pairs_per_second: Pairs that the reranker scored per second; None without a reranker.
    """

    system: System
    values: pd.DataFrame
    estimates: dict[str, Estimate]
    comparisons: dict[str, Comparison]
    holes: tuple[float, float] | None
    pool: Pool | None
    stages: dict[str, Latency]
    latency: Latency | None
    pairs_per_second: float | None


def measure_rows(
    systems: Sequence[System],
    qrels: Qrels,
    measures: Sequence[Measure],
    settings: Settings,
    groups: Groups,
) -> tuple[Row, ...]:
    """Every system on every measure, each compared with the first; Holm's family is a measure's systems."""
    labels = labels_of(groups, sorted(qrels))
    frames = [frame_of(qrels, system.run, measures) for system in systems]
    primary = measures[0] if measures else None
    comparisons: list[dict[str, Comparison]] = [{} for _ in systems]
    for measure in measures:
        if measure.name == "judged":
            continue
        name = str(measure)
        values = {str(at): frame[name] for at, frame in enumerate(frames[1:], start=1)}
        family = compare_family(
            values,
            frames[0][name],
            margin=settings.margin,
            resamples=settings.resamples,
            seed=settings.seed,
            groups=labels,
        )
        for at, comparison in family.items():
            comparisons[int(at)][name] = comparison
    holes = [
        None if system is systems[0] else _holes(qrels, systems[0], system, primary) for system in systems
    ]
    pools = _pools(systems, qrels, primary, comparisons, holes, settings, labels)
    return tuple(
        _row(system, frame, found, whatever, pool, labels)
        for system, frame, found, whatever, pool in zip(
            systems, frames, comparisons, holes, pools, strict=True
        )
    )


def answerability_of(systems: Sequence[System], qrels: Qrels) -> dict[str, float]:
    """Area under the ROC curve of the best score, for queries with an answer against those without.

    Equal to the probability that a random answerable query's best score is the higher one, ties by half
    (Mann-Whitney U over the number of pairs). Systems for which fewer than ``LEAST_UNANSWERABLE`` queries
    were judged to have no answer are left out.
    """
    answered = {query for query, grades in qrels.items() if any(grade > 0 for grade in grades.values())}
    found = {}
    for system in systems:
        without = judged_without_answer(system, qrels)
        if len(without) < LEAST_UNANSWERABLE or not answered:
            continue
        from scipy.stats import mannwhitneyu

        yes, no = (
            [max(system.run.get(query, {}).values(), default=-np.inf) for query in queries]
            for queries in (answered, without)
        )
        found[system.name] = float(mannwhitneyu(yes, no).statistic / (len(yes) * len(no)))
    return found


def judged_without_answer(system: System, qrels: Qrels) -> list[str]:
    """Queries of which something was judged and nothing is relevant, the system's first result included.

    Where nobody has judged the first result, it may be an answer, and its score says nothing.
    """
    found = []
    for query, grades in qrels.items():
        shown = ranked(system.run.get(query, {}))[:1]
        nothing = bool(grades) and max(grades.values()) <= 0
        if nothing and all(unit in grades for unit in shown):
            found.append(query)
    return found


def _row(
    system: System,
    frame: pd.DataFrame,
    comparisons: dict[str, Comparison],
    holes: tuple[float, float] | None,
    pool: Pool | None,
    labels: list[str] | None,
) -> Row:
    work = None if system.reranking is None else system.reranking.work
    return Row(
        system=system,
        values=frame,
        estimates={str(name): mean_interval(frame[name].to_numpy(), groups=labels) for name in frame.columns},
        comparisons=comparisons,
        holes=holes,
        pool=pool,
        stages={stage: latency_of(times) for stage, times in system.stages.items()},
        latency=total(system.stages) if system.stages else None,
        pairs_per_second=work.unique_pairs / work.seconds if work else None,
    )


def _holes(
    qrels: Qrels, against: System, system: System, measure: Measure | None
) -> tuple[float, float] | None:
    if measure is None or measure.name not in BOUNDED:
        return None
    return hole_bounds(qrels, seen_by(measure, against.run), seen_by(measure, system.run), measure)


def _pools(
    systems: Sequence[System],
    qrels: Qrels,
    measure: Measure | None,
    comparisons: Sequence[dict[str, Comparison]],
    holes: Sequence[tuple[float, float] | None],
    settings: Settings,
    labels: list[str] | None,
) -> list[Pool | None]:
    """For each system; the comparison on judged units alone is made where any verdict rests on the pool."""
    if measure is None or not qrels:
        return [None] * len(systems)
    shares = [_judged(qrels, system) for system in systems]
    made: list[Pool | None] = [None]
    for share, found, whatever in zip(shares[1:], comparisons[1:], holes[1:], strict=True):
        turns = could_turn(whatever, found[str(measure)])
        made.append(Pool(share, shares[0], one_sided(share, shares[0]), turns, None))
    if not any(pool and pool.doubtful for pool in made):
        return made
    values = [values_of(qrels, condensed(system.run, qrels), measure) for system in systems]
    family = compare_family(
        {str(at): column for at, column in enumerate(values[1:], start=1)},
        values[0],
        margin=settings.margin,
        resamples=settings.resamples,
        seed=settings.seed,
        groups=labels,
    )
    return [
        replace(pool, condensed=family[str(at)]) if pool and pool.doubtful else pool
        for at, pool in enumerate(made)
    ]


def _judged(qrels: Qrels, system: System) -> float:
    """Share of the first ten results that are judged, mean over queries; 1 where nothing was found at all."""
    values = values_of(qrels, system.run, JUDGED)
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 1.0
