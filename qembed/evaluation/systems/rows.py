"""The numbers of a bench: values by query, intervals, comparisons, losses, depths, gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from qembed.errors import UsageError
from qembed.evaluation.diagnose.frontier import Frontier, Values, depths_within, frontier
from qembed.evaluation.diagnose.gates import Gate, GateResult, hold_difference, hold_value
from qembed.evaluation.diagnose.latency import Latency, latency_of, total
from qembed.evaluation.diagnose.waterfall import Loss, Path, Stage, losses, shares
from qembed.evaluation.measures import Measure, evaluate
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.retrieve.pools import ceiling, first
from qembed.evaluation.retrieve.units import cut_units
from qembed.evaluation.statistics.compare import Comparison, Estimate, compare, compare_family, mean_interval
from qembed.evaluation.statistics.holes import BOUNDED, hole_bounds
from qembed.evaluation.systems.system import FUSION, System, run_at, seen_units
from qembed.records import Qrels, Run

if TYPE_CHECKING:
    import pandas as pd

UNJUDGED_RANKS = 10
LEAST_UNANSWERABLE = 5
"""Fewer unanswerable queries say nothing about how well scores tell them."""


class Settings(Protocol):
    """What is needed of ``BenchOptions``."""

    @property
    def depths(self) -> tuple[int, ...]:
        """Rerank depths."""

    @property
    def margin(self) -> float:
        """Differences below it do not matter."""

    @property
    def resamples(self) -> int:
        """Of the bootstrap."""

    @property
    def seed(self) -> int:
        """Of everything random."""


@dataclass(frozen=True, slots=True)
class Row:
    """A system with its numbers.

    Attributes:
        system: Whose.
        values: Index query id, a column for each measure.
        estimates: Measure -> mean with interval.
        comparisons: Measure -> against the first row; empty for the first row itself and for judged@k.
        holes: Lowest and highest difference to the first row in the primary measure, whatever the unjudged
            items are; None for the first row, and for measures without bounds.
        stages: Stage -> latency.
        latency: Of all stages together; None where nothing was timed.
        pairs_per_second: That the reranker scored; None without one.
    """

    system: System
    values: pd.DataFrame
    estimates: dict[str, Estimate]
    comparisons: dict[str, Comparison]
    holes: tuple[float, float] | None
    stages: dict[str, Latency]
    latency: Latency | None
    pairs_per_second: float | None


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Where relevant units were lost.

    Attributes:
        k: The cutoff of the recall that is explained.
        shares: Stage -> share of recall; all together 1, ``found`` is recall@k.
        losses: Unit by unit.
    """

    k: int
    shares: dict[Stage, float]
    losses: tuple[Loss, ...]


@dataclass(frozen=True, slots=True)
class Gated:
    """A gate with its outcome and the system that it was held against.

    Attributes:
        system: Its name.
        result: Outcome and words.
    """

    system: str
    result: GateResult


def measure_rows(
    systems: Sequence[System], qrels: Qrels, measures: Sequence[Measure], settings: Settings
) -> tuple[Row, ...]:
    """Every system on every measure, each compared with the first; Holm's family is a measure's systems."""
    frames = [evaluate(qrels, system.run, measures) for system in systems]
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
        )
        for at, comparison in family.items():
            comparisons[int(at)][name] = comparison
    return tuple(
        _row(system, frame, found, None if system is systems[0] else systems[0], qrels, measures[0], settings)
        for system, frame, found in zip(systems, frames, comparisons, strict=True)
    )


def waterfall_of(system: System, qrels: Qrels, measure: Measure) -> Waterfall:
    """Where ``system`` lost what is relevant, at the cutoff of ``measure`` (10 where it has none)."""
    side, k = system.side, measure.cutoff or 10
    units = side.units
    path = Path(
        exact=units.run(side.exact_run),
        retrieved=units.run(side.run),
        final=system.run,
        reranked=None if system.reranking is None else seen_units(system),
        cut=cut_units(units, side.collection, side.max_tokens),
    )
    found = losses(qrels, path, k=k, rel=measure.rel)
    return Waterfall(k, shares(found), tuple(found))


def frontier_of(system: System, qrels: Qrels, measure: Measure, settings: Settings) -> Frontier:
    """Quality at every depth of a reranked system, from its one pass; depth 0 is the vectors alone."""
    assert system.reranking is not None
    depths = depths_within(settings.depths, len(system.side.collection))
    values = {depth: _values(qrels, run_at(system, depth), measure) for depth in (0, *depths)}
    times = {depth: float(np.median(found)) for depth, found in system.reranking.milliseconds.items()}
    return frontier(
        str(measure),
        values,
        ceiling_values(system, qrels, measure, (0, *depths)),
        times,
        margin=settings.margin,
        resamples=settings.resamples,
        seed=settings.seed,
    )


def ceilings_of(system: System, qrels: Qrels, measure: Measure, settings: Settings) -> dict[int, float]:
    """Rerank depth -> the measure's mean if the candidates of ``system`` stood in the best order."""
    depths = depths_within(settings.depths, len(system.side.collection))
    values = ceiling_values(system, qrels, measure, depths)
    return {depth: float(np.nanmean(found)) for depth, found in values.items()}


def ceiling_values(
    system: System, qrels: Qrels, measure: Measure, depths: Sequence[int]
) -> dict[int, Values]:
    """Depth -> value of each query if so many candidates stood in the best order, the others behind them."""
    base = system.base or system.texts
    units = system.side.units
    whole = units.run(base)
    found = {}
    for depth in depths:
        best = ceiling(units.run(first(base, depth)), qrels)
        found[depth] = _values(qrels, {query: _above(best[query], whole[query]) for query in whole}, measure)
    return found


def answerability_of(systems: Sequence[System], qrels: Qrels) -> dict[str, float]:
    """Area under the ROC curve of the best score, for queries with an answer against those without.

    Equal to the probability that a random answerable query's best score is the higher one, ties by half
    (Mann-Whitney U over the number of pairs).
    """
    answered = {query for query, grades in qrels.items() if any(grade > 0 for grade in grades.values())}
    if len(qrels) - len(answered) < LEAST_UNANSWERABLE or not answered:
        return {}
    from scipy.stats import mannwhitneyu

    found = {}
    for system in systems:
        best = {query: max(system.run.get(query, {}).values(), default=-np.inf) for query in qrels}
        yes = [best[query] for query in answered]
        no = [best[query] for query in qrels if query not in answered]
        found[system.name] = float(mannwhitneyu(yes, no).statistic / (len(yes) * len(no)))
    return found


def unjudged_of(systems: Sequence[System], qrels: Qrels) -> tuple[tuple[str, str, int], ...]:
    """Holes among the first ten of any system, the best ranked first: query id, unit, best rank."""
    best: dict[tuple[str, str], int] = {}
    for system in systems:
        for query, grades in qrels.items():
            order = ranked(system.run.get(query, {}))[:UNJUDGED_RANKS]
            for rank, unit in enumerate(order, start=1):
                if unit not in grades:
                    key = query, unit
                    best[key] = min(rank, best.get(key, rank))
    return tuple(
        (query, unit, rank) for (query, unit), rank in sorted(best.items(), key=lambda x: (x[1], x[0]))
    )


def check_gates(gates: Sequence[Gate], names: Sequence[str]) -> None:
    """Every system that a gate names will be there.

    Raises:
        UsageError: One is not among ``names``.
    """
    for gate in gates:
        for name in (gate.system, gate.other):
            if name is not None:
                _resolve(name, names, gate)


def hold_gates(
    gates: Sequence[Gate], rows: Sequence[Row], qrels: Qrels, settings: Settings
) -> tuple[Gated, ...]:
    """Every gate against its system: the one that it names, else the first row.

    Raises:
        UsageError: No system has that name.
    """
    return tuple(_hold(gate, rows, qrels, settings) for gate in gates)


def _hold(gate: Gate, rows: Sequence[Row], qrels: Qrels, settings: Settings) -> Gated:
    system = rows[0].system if gate.system is None else _find(gate.system, rows, gate)
    values = _values(qrels, system.run, gate.measure)
    if gate.least is not None:
        estimate = mean_interval(values, seed=settings.seed, resamples=settings.resamples)
        return Gated(system.name, hold_value(gate, estimate))
    assert gate.other is not None
    other = _values(qrels, _find(gate.other, rows, gate).run, gate.measure)
    comparison = compare(
        other, values, margin=settings.margin, seed=settings.seed, resamples=settings.resamples
    )
    return Gated(system.name, hold_difference(gate, comparison))


def _find(name: str, rows: Sequence[Row], gate: Gate) -> System:
    systems = {row.system.name: row.system for row in rows}
    return systems[_resolve(name, list(systems), gate)]


def _resolve(name: str, names: Sequence[str], gate: Gate) -> str:
    """A system's whole name; its reranker alone is enough, and so is ``fusion``."""
    name = FUSION if name == "fusion" else name
    matching = [known for known in names if name in (known, known.rpartition(" > ")[2])]
    if not matching:
        raise UsageError(
            f"there is no system {name!r}, which the gate {gate.text!r} names",
            remedy=f"systems are: {', '.join(names)}",
        )
    return name if name in matching else matching[0]


def _row(
    system: System,
    frame: pd.DataFrame,
    comparisons: dict[str, Comparison],
    against: System | None,
    qrels: Qrels,
    primary: Measure,
    settings: Settings,
) -> Row:
    reranking: Any = system.reranking
    return Row(
        system=system,
        values=frame,
        estimates={
            str(name): mean_interval(frame[name].to_numpy(), seed=settings.seed, resamples=settings.resamples)
            for name in frame.columns
        },
        comparisons=comparisons,
        holes=_holes(qrels, against, system, primary),
        stages={stage: latency_of(times) for stage, times in system.stages.items()},
        latency=total(system.stages) if system.stages else None,
        pairs_per_second=reranking.work.unique_pairs / reranking.work.seconds if reranking else None,
    )


def _holes(
    qrels: Qrels, against: System | None, system: System, measure: Measure
) -> tuple[float, float] | None:
    if against is None or measure.name not in BOUNDED:
        return None
    return hole_bounds(qrels, against.run, system.run, measure)


def _values(qrels: Qrels, run: Run, measure: Measure) -> Values:
    values: Values = evaluate(qrels, run, [measure])[str(measure)].to_numpy()
    return values


def _above(best: dict[str, float], whole: dict[str, float]) -> dict[str, float]:
    """``best`` first, then what else is in ``whole``, as it was."""
    rest = [unit for unit in ranked(whole) if unit not in best]
    return best | {unit: -float(place) for place, unit in enumerate(rest, start=1)}
