"""What a bench found."""

from __future__ import annotations

from dataclasses import dataclass, field

from qembed.commands.bench.options import BenchOptions
from qembed.evaluation.diagnose.agreement import Agreement
from qembed.evaluation.diagnose.decisive import Unjudged
from qembed.evaluation.diagnose.frontier import Frontier
from qembed.evaluation.diagnose.outlook import Outlook
from qembed.evaluation.eval_sets.eval_set import EvalSet, Waiting
from qembed.evaluation.measures import Measure
from qembed.evaluation.retrieve.units import absent_relevant
from qembed.evaluation.systems.diagnosis import Waterfall
from qembed.evaluation.systems.gating import Gated
from qembed.evaluation.systems.judges import Judges
from qembed.evaluation.systems.rows import Row
from qembed.evaluation.systems.side import Side
from qembed.evaluation.systems.system import headline_pair
from qembed.records import Finding, Qrels


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What a bench found.

    Attributes:
        options: What was asked for.
        eval_set: With which queries and judgements.
        qrels: Over judged units.
        sides: The embeddings, and the baseline where there is one.
        measures: In the order of the columns; none where nothing is judged yet.
        rows: One per system; the first is what the others are compared with.
        waiting: Queries that the split does not judge.
        asked_along: Ids of the waiting queries that the systems were asked too: in no number, but their hits
            are stored.
        outlook: How the comparison of the headline stands, and what unjudged results can make of it; None for
            one system, and where queries belong together.
        unjudged: Units among the first ten of a system that nobody has judged, the most decisive first; those
            of the queries that were asked along too.
        findings: What is wrong with the eval set, or does not fit the collection.
        created: UTC time, ISO 8601.
        seconds: Wall time.
        ceilings: Rerank depth -> the primary measure's mean if its candidates stood in the best order.
        waterfalls: System -> where relevant units were lost.
        frontiers: Reranked system -> quality at every depth.
        answerability: System -> how well the score of its first result tells queries with an answer from
            those without (area under the ROC curve, 0.5 is chance); empty without unanswerable queries.
        gates: Conditions with their outcomes.
        judges: What the verdicts owe to models that judged; None where people alone did.
        agreements: System -> how far it finds what the first one finds; only where nothing is judged.
    """

    options: BenchOptions
    eval_set: EvalSet
    qrels: Qrels
    sides: tuple[Side, ...]
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    unjudged: tuple[Unjudged, ...]
    findings: tuple[Finding, ...]
    created: str
    seconds: float
    waiting: Waiting = field(default_factory=lambda: Waiting({}, 0))
    asked_along: tuple[str, ...] = ()
    outlook: Outlook | None = None
    ceilings: dict[int, float] = field(default_factory=dict)
    waterfalls: dict[str, Waterfall] = field(default_factory=dict)
    frontiers: dict[str, Frontier] = field(default_factory=dict)
    answerability: dict[str, float] = field(default_factory=dict)
    gates: tuple[Gated, ...] = ()
    judges: Judges | None = None
    agreements: dict[str, Agreement] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Every gate holds; true without gates."""
        return all(gated.result.passed for gated in self.gates)

    @property
    def headline(self) -> tuple[str, str]:
        """Names of the system in question and of what it is compared with, where no verdict says which."""
        names = [row.system.name for row in self.rows]
        system, baseline = headline_pair(names)
        return names[system], names[baseline]

    @property
    def absent(self) -> tuple[int, ...]:
        """For each side, how many relevant units it does not have, so that no search can find them."""
        return tuple(len(absent_relevant(side.units, self.qrels)) for side in self.sides)
