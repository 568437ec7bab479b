"""What verdicts owe to a language model that judged: how many grades, how far it agrees, and people alone.

Models agree with people only moderately (kappa .3 to .5 in published comparisons: Faggioli et al. 2023,
"Perspectives on large language models for relevance judgment", ICTIR; Thomas et al. 2024, "Large language
models can accurately predict searcher preferences", SIGIR), yet often order systems as people do. So both are
said: the agreement on what both graded, and each verdict from people's grades alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qembed.evaluation.eval_sets.authors import Authors
from qembed.evaluation.eval_sets.eval_set import EvalSet
from qembed.evaluation.eval_sets.groups import Groups, labels_of
from qembed.evaluation.measures import Measure
from qembed.evaluation.retrieve.depth import RESULTS
from qembed.evaluation.retrieve.units import Units
from qembed.evaluation.statistics.kappa import Kappa, cohens_kappa
from qembed.evaluation.statistics.verdict import Comparison
from qembed.evaluation.systems.measured import Settings, measure_runs
from qembed.evaluation.systems.system import System
from qembed.records import Qrels, Run


@dataclass(frozen=True, slots=True)
class Judges:
    """Grades of models in a comparison, and what is left without them.

    Attributes:
        grades: Number of grades that the comparison rests on.
        by_model: Model -> how many of them are its.
        agreements: Model -> its agreement with people, where both graded something.
        queries: Queries that have a value by all grades.
        by_people: Queries that have a value by people's grades alone.
        alone: System -> its comparison with the first one by people's grades alone; empty without a query
            that has a value.
        units: Query id -> unit -> the model that graded it, of units that no person graded.
    """

    grades: int
    by_model: dict[str, int]
    agreements: dict[str, Kappa]
    queries: int
    by_people: int
    alone: dict[str, Comparison]
    units: dict[str, dict[str, str]]

    def words(self, verdict: str, alone: Comparison | None) -> str:
        """Whether a verdict is the same from people's grades alone, which give ``alone``."""
        few, people = self.by_people, "people's grades alone"
        have = (
            f"{few} of {self.queries:,} queries {'has' if few == 1 else 'have'} them"
            if few
            else "there are none"
        )
        if alone is None or (alone.verdict == "cannot tell" != verdict):
            return f"cannot tell from {people}: {have}"
        if alone.verdict == verdict:
            return f"the same from {people} ({have})"
        return f"NOT the same from {people}: {alone.verdict} ({have})"


def judges_of(
    eval_set: EvalSet,
    qrels: Qrels,
    units: Units,
    systems: Sequence[System],
    measure: Measure,
    settings: Settings,
) -> Judges | None:
    """What a comparison owes to models; None where people alone judged.

    Args:
        eval_set: With who graded what.
        qrels: Over units, of all grades.
        units: How judged items become units.
        systems: The first is what the others are compared with.
        measure: What decides.
        settings: Margin, resamples and seed of the comparison.
    """
    authors = eval_set.authors
    if not authors.models and not authors.graded:
        return None
    return judges_of_runs(
        authors,
        qrels,
        units.qrels(authors.people),
        {system.name: system.run for system in systems},
        measure,
        settings,
        eval_set.groups,
        name_of=units.name_of,
        grades=sum(map(len, eval_set.qrels.values())),
    )


def judges_of_runs(
    authors: Authors,
    qrels: Qrels,
    people: Qrels,
    runs: Mapping[str, Run],
    measure: Measure,
    settings: Settings,
    groups: Groups,
    *,
    grades: int,
    name_of: Mapping[str, str] | None = None,
    limit: int | None = RESULTS,
) -> Judges | None:
    """What a comparison of runs owes to models; None where people alone judged.

    Args:
        authors: Who graded what.
        qrels: Over units, of all grades.
        people: Over units, of people's grades alone.
        runs: System -> run over units; the first is what the others are compared with.
        measure: What decides.
        settings: Margin, resamples and seed of the comparison.
        groups: Queries that are drawn together.
        grades: Number of grades that the comparison rests on.
        name_of: Judged item -> unit; items are units where None.
        limit: As in ``measure_runs``.
    """
    if not authors.models and not authors.graded:
        return None
    by_models: dict[str, dict[str, str]] = {}
    for (query, item), model in authors.models.items():
        unit = (name_of or {}).get(item, item)
        if unit not in people.get(query, {}):
            by_models.setdefault(query, {})[unit] = model
    by_people = _with_value(people, measure)
    alone: dict[str, Comparison] = {}
    if by_people:
        labels = labels_of(groups, sorted(people))
        measured = measure_runs(list(runs.values()), people, [measure], settings, labels, limit=limit)
        others = list(zip(runs, measured, strict=True))[1:]
        alone = {name: found.comparisons[str(measure)] for name, found in others}
    agreements = {model: authors.on_both(model) for model in authors.graded}
    return Judges(
        grades=grades,
        by_model=authors.by_model(),
        agreements={model: cohens_kappa(both) for model, both in agreements.items() if both},
        queries=_with_value(qrels, measure),
        by_people=by_people,
        alone=alone,
        units=by_models,
    )


def agreement_words(model: str, found: Kappa) -> str:
    """How far a model agrees with people."""
    words = (
        f"{model} and people graded the same {found.items:,} result{'s' * (found.items != 1)}: "
        f"{found.agreement:.0%} alike ({found.agreement_low:.0%} to {found.agreement_high:.0%})"
    )
    if found.kappa != found.kappa:
        return f"{words}; only one grade was given, so kappa says nothing"
    return (
        f"{words}, Cohen's kappa {found.kappa:.2f} ({found.low:.2f} to {found.high:.2f}), weighted by "
        f"squared distance {found.weighted:.2f} ({found.weighted_low:.2f} to {found.weighted_high:.2f})"
    )


def judges_entry(judges: Judges | None) -> dict[str, Any] | None:
    """The stored form, without the units."""
    if judges is None:
        return None
    entry = asdict(judges)
    del entry["units"]
    return entry


def _with_value(qrels: Qrels, measure: Measure) -> int:
    return sum(any(grade >= measure.rel for grade in grades.values()) for grades in qrels.values())
