"""The numbers of a bench: values by query, intervals, comparisons, unjudged units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from qembed.evaluation.diagnose.latency import Latency, latency_of, total
from qembed.evaluation.eval_sets.groups import Groups, labels_of
from qembed.evaluation.measures import Measure
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.systems.measured import Measured, Settings, measure_runs
from qembed.evaluation.systems.system import System
from qembed.records import Qrels

LEAST_UNANSWERABLE: Final = 5
"""With fewer unanswerable queries nothing is said about how well scores tell them apart."""


@dataclass(frozen=True, slots=True)
class Row(Measured):
    """A system with its numbers, compared with the first row.

    Attributes:
        system: The system.
        stages: Stage -> latency.
        latency: Latency of all stages together; None where nothing was timed.
        pairs_per_second: Pairs that the reranker scored per second; None without a reranker.
    """

    system: System
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
    measured = measure_runs(
        [system.run for system in systems], qrels, measures, settings, labels_of(groups, sorted(qrels))
    )
    return tuple(_row(system, found) for system, found in zip(systems, measured, strict=True))


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


def _row(system: System, found: Measured) -> Row:
    work = None if system.reranking is None else system.reranking.work
    return Row(
        system=system,
        values=found.values,
        estimates=found.estimates,
        comparisons=found.comparisons,
        holes=found.holes,
        pool=found.pool,
        stages={stage: latency_of(times) for stage, times in system.stages.items()},
        latency=total(system.stages) if system.stages else None,
        pairs_per_second=work.unique_pairs / work.seconds if work else None,
    )
