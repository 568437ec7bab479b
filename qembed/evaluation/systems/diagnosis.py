"""Where systems lose relevant units, how deep reranking pays, and what the best order would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from qembed.evaluation.diagnose.frontier import Frontier, depths_within, frontier
from qembed.evaluation.diagnose.waterfall import Loss, Path, Stage, losses, shares
from qembed.evaluation.eval_sets.groups import Groups, labels_of
from qembed.evaluation.measures import Measure, Values
from qembed.evaluation.retrieve.depth import RESULTS
from qembed.evaluation.retrieve.pools import best_order, first
from qembed.evaluation.retrieve.units import cut_units
from qembed.evaluation.systems.measured import Settings
from qembed.evaluation.systems.side import Side
from qembed.evaluation.systems.system import System, run_at
from qembed.evaluation.systems.values import values_of
from qembed.records import Qrels, Run

DEFAULT_CUTOFF: Final = 10
"""Where losses are counted for a measure without a cutoff."""


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Where relevant units were lost.

    Attributes:
        k: Cutoff of the recall that is explained.
        shares: Stage -> share of relevant units; all together 1, ``found`` is recall@k.
        losses: Unit by unit.
    """

    k: int
    shares: dict[Stage, float]
    losses: tuple[Loss, ...]


def waterfall_of(system: System, qrels: Qrels, measure: Measure) -> Waterfall:
    """Where ``system`` lost relevant units, at the cutoff of ``measure``.

    Candidates are the first ``RESULTS`` units, or as many as the cutoff: losses do not depend on how much
    deeper the runs go.
    """
    side, k = system.side, measure.cutoff or DEFAULT_CUTOFF
    depth = max(RESULTS, k)
    path = Path(
        exact=first(side.judged_run(side.exact_run), depth),
        retrieved=first(side.judged_run(side.run), depth),
        final=first(system.run, depth),
        reranked=None if system.reranking is None else _seen_units(system, system.reranking.scores),
        cut=cut_units(side.units, side.collection, side.max_tokens),
    )
    found = losses(qrels, path, k=k, rel=measure.rel)
    return Waterfall(k, shares(found), tuple(found))


def ceilings_of(side: Side, qrels: Qrels, measure: Measure, depths: Sequence[int]) -> dict[int, Values]:
    """Depth -> value of each query if the first ``depth`` texts stood in the best order, the others behind.

    No reranker of these candidates can be better, whatever the measure.
    """
    runs: dict[int, Run] = {depth: {} for depth in (0, *depths_within(depths, len(side.collection)))}
    for query, scores in side.run.items():
        unit_of = side.units.assigned(scores)
        whole = list(dict.fromkeys(unit_of.values()))
        texts = list(unit_of)
        for depth, run in runs.items():
            candidates = {unit_of[text] for text in texts[:depth]}
            run[query] = best_order(whole, candidates, qrels.get(query, {}))
    return {depth: values_of(qrels, first(run, side.results), measure) for depth, run in runs.items()}


def means_of(ceilings: Mapping[int, Values]) -> dict[int, float]:
    """Depth -> mean over the queries with a value, without depth 0."""
    return {depth: float(np.nanmean(values)) for depth, values in ceilings.items() if depth}


def frontier_of(
    system: System,
    qrels: Qrels,
    measure: Measure,
    ceilings: Mapping[int, Values],
    settings: Settings,
    groups: Groups,
) -> Frontier:
    """Quality at every depth of a reranked system, from its one pass; depth 0 is the vectors alone.

    Args:
        system: With a reranker.
        qrels: Over units.
        measure: What decides.
        ceilings: ``ceilings_of`` its side.
        settings: Margin, resamples, seed.
        groups: Queries that are drawn together.
    """
    assert system.reranking is not None
    values = {depth: values_of(qrels, run_at(system, depth), measure) for depth in ceilings}
    times = {depth: float(np.median(found)) for depth, found in system.reranking.milliseconds.items()}
    return frontier(
        str(measure),
        values,
        ceilings,
        times,
        margin=settings.margin,
        resamples=settings.resamples,
        seed=settings.seed,
        groups=labels_of(groups, sorted(qrels)),
    )


def _seen_units(system: System, scores: Run) -> dict[str, frozenset[str]]:
    """Query -> units of which the reranker has scored a text."""
    units = system.side.units
    return {
        query: frozenset(unit for text, unit in units.assigned(system.texts[query]).items() if text in scored)
        for query, scored in scores.items()
    }
