"""How a comparison stands while it is judged, and what unjudged results can still make of it.

A question's difference is that of nDCG@10 by the grades so far; what is unjudged counts as irrelevant, as in
the measures. Its two extremes are certain, whatever the unjudged results are: the largest sum that the grades
of the two systems' results allow over the smallest ideal, and the smallest over the largest.

A difference is *shown* where Gaffke's bound (``statistics.bounds``) does, at alpha over the number of
comparisons. It is one half of the test of ``statistics.mean``, nearly always the stricter one: in 6,000
samples of 6 to 50 questions of many shapes, ``compare`` contradicted it in three. It is monotone: whatever
raises a difference never weakens what is shown for the system. So if both extremes agree, all that lies
between them does, and "whatever the unjudged results are" is a fact. How many
more judgements it takes is an estimate, at the rate of those so far.

``report/templates/outlook.js`` computes the same; a test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from qembed.evaluation.diagnose.decisive import CUTOFF, discount, pulls
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.statistics.bounds import Floats, chance_below_zero
from qembed.records import Qrels, Run

State: TypeAlias = Literal["better", "worse", "impossible", "ahead", "behind", "early", "more", "too few"]

ALPHA: Final = 0.05
HIGHEST: Final = 2
"""Highest grade of the page."""
_SAME: Final = 1e-9

LEAST_LEADS: Final = 5
"""With fewer questions on which one system is ahead, nothing is estimated."""

SO_FAR: Final = (
    "So far {new} against {old}: better on {better} questions, worse on {worse}, equal so far on {equal}. "
)
WORDS: Final[dict[State, str]] = {
    "better": "Decided: better, whatever the unjudged results are.",
    "worse": "Decided: worse, whatever the unjudged results are.",
    "impossible": "These {questions} questions cannot tell, whatever the unjudged results are.",
    "ahead": "That is beyond chance, but {left} unjudged results could still change it.",
    "behind": "That is beyond chance, but {left} unjudged results could still change it.",
    "early": "{left} unjudged results can change that; it is too early to say how many of them it takes.",
    "more": "At this rate about {more} more judgements decide it.",
    "too few": "At this rate {questions} questions do not decide it: more questions are needed.",
}
"""State -> what is said after the counts."""


class Question(NamedTuple):
    """Difference of the two systems' nDCG@10 on one question, the system's less the baseline's.

    Attributes:
        now: By the grades so far.
        low: The least that the open results allow.
        high: The greatest.
    """

    now: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """How a system stands against the baseline.

    Attributes:
        state: What can be said; ``WORDS`` says it.
        better: Questions on which the system is ahead, by the grades so far.
        equal: Questions without a difference so far, unjudged ones included.
        worse: Questions on which it is behind.
        given: Grades so far of results that the two rank differently.
        left: Unjudged results that they rank differently.
        more: Estimate of the judgements that decide it; None unless the state is ``more``.
    """

    state: State
    better: int
    equal: int
    worse: int
    given: int
    left: int
    more: int | None = None

    def words(self, system: str, baseline: str) -> str:
        """In one or two sentences, with the names of the two."""
        return (SO_FAR + WORDS[self.state]).format(
            new=system,
            old=baseline,
            better=self.better,
            equal=self.equal,
            worse=self.worse,
            left=f"{self.left:,}",
            more=self.more,
            questions=self.better + self.equal + self.worse,
        )


def outlook_of(
    system: Run,
    baseline: Run,
    qrels: Qrels,
    unjudged: Iterable[tuple[str, str]] = (),
    *,
    comparisons: int = 1,
    alpha: float = ALPHA,
    cutoff: int = CUTOFF,
) -> Outlook:
    """How ``system`` stands against ``baseline``.

    Args:
        system: Query id -> unit -> score.
        baseline: The same.
        qrels: Over units; every question is a key, unjudged ones too.
        unjudged: Query id and unit of results of other systems that may be judged as well.
        comparisons: Number of systems that are compared with the baseline.
        alpha: Level of all comparisons together.
        cutoff: Ranks that count.
    """
    highest = highest_grade(qrels.values())
    questions, given, left = [], 0, 0
    waiting: dict[str, set[str]] = {}
    for query, unit in unjudged:
        waiting.setdefault(query, set()).add(unit)
    for query, grades in qrels.items():
        ours, theirs = (ranked(run.get(query, {}))[:cutoff] for run in (system, baseline))
        holes = {*ours, *theirs, *waiting.get(query, ())} - grades.keys()
        questions.append(question_of(ours, theirs, grades, highest, holes=len(holes), cutoff=cutoff))
        differing = pulls(ours, theirs)
        judged = sum(unit in grades for unit in differing)
        given, left = given + judged, left + len(differing) - judged
    return outlook(questions, level_of(comparisons, alpha), given=given, left=left)


def highest_grade(judged: Iterable[Mapping[str, int]]) -> int:
    """The highest grade that a result can get: that of the page, or one that there is already."""
    return max([HIGHEST, *(grade for grades in judged for grade in grades.values())])


def level_of(comparisons: int, alpha: float = ALPHA) -> float:
    """The level of one of several comparisons (Bonferroni)."""
    return alpha / max(comparisons, 1)


def question_of(
    system: Sequence[str],
    baseline: Sequence[str],
    grades: Mapping[str, int],
    highest: int,
    *,
    holes: int,
    cutoff: int = CUTOFF,
) -> Question:
    """One question.

    Args:
        system: The first units, best first, at most ``cutoff``.
        baseline: The same of the baseline.
        grades: Unit -> grade, of all that is judged.
        highest: The highest grade that a unit can get.
        holes: Number of unjudged units that may be judged, of these two and of other systems.
        cutoff: Ranks that count.
    """
    differing = pulls(system, baseline)
    now = sum(pull * grades.get(unit, 0) for unit, pull in differing.items())
    free = [pull * highest for unit, pull in differing.items() if unit not in grades]
    least, most = now + sum(min(pull, 0.0) for pull in free), now + sum(max(pull, 0.0) for pull in free)
    ideal = _ideal(grades.values(), cutoff)
    full = _ideal([*grades.values(), *[highest] * holes], cutoff)
    return Question(_ratio(now, ideal), _extreme(least, -full, ideal), _extreme(most, full, ideal))


def outlook(questions: Sequence[Question], level: float, *, given: int, left: int) -> Outlook:
    """What the questions say, and what they can still say.

    Args:
        questions: All of them.
        level: As ``level_of`` gives it.
        given: Grades so far that bear on the difference.
        left: Open results that can change it.
    """
    now, low, high = (
        (np.array(column) for column in zip(*questions, strict=True)) if questions else [_NONE] * 3
    )
    best, worst = _shown(high, level), _shown(low, level)
    above, below = int((now > _SAME).sum()), int((now < -_SAME).sum())
    state: State
    more = None
    if worst > 0:
        state = "better"
    elif best < 0:
        state = "worse"
    elif best <= 0 <= worst:
        state = "impossible"
    elif shown := _shown(now, level):
        state = "ahead" if shown > 0 else "behind"
    elif above + below < LEAST_LEADS:
        state = "early"
    else:
        undecided = int(((np.abs(now) <= _SAME) & (high - low > _SAME)).sum())
        more = _more(now[np.abs(now) > _SAME], undecided, level, given, left)
        state = "too few" if more is None else "more"
    return Outlook(state, above, len(questions) - above - below, below, given, left, more)


_NONE: Final = np.zeros(0)


def _ideal(grades: Iterable[int], cutoff: int) -> float:
    """DCG of the best order."""
    gains = sorted(grades, reverse=True)[:cutoff]
    return sum(max(gain, 0) * discount(rank) for rank, gain in enumerate(gains, start=1))


def _ratio(total: float, ideal: float) -> float:
    """0 where nothing is relevant: such a question has no value, and no side."""
    return total / ideal if ideal else 0.0


def _extreme(total: float, full: float, ideal: float) -> float:
    """The farthest that a difference can be to the side of ``full``, the largest ideal with that sign."""
    if abs(total) <= _SAME:
        return 0.0
    if (total > 0) != (full > 0):  # not even this extreme is on that side: the nearest to it
        return total / abs(full)
    return total / ideal if abs(total) < ideal else math.copysign(1.0, full)


def _shown(differences: Floats, level: float, copies: float = 1.0) -> int:
    """1 where the system is shown to be ahead, -1 where the baseline is, else 0."""
    total = math.fsum(differences)
    for side in (1, -1):
        if side * total > _SAME and chance_below_zero(side * differences, copies, -1.0) <= level:
            return side
    return 0


def _more(leads: Floats, undecided: int, level: float, given: int, left: int) -> int | None:
    """Judgements until it is shown, if questions without a lead get one as often as so far, and such ones;
    None where there are too few of those questions."""

    def enough(added: int) -> bool:
        return _shown(leads, level, (len(leads) + added) / len(leads)) != 0

    if not undecided or not enough(undecided):
        return None
    low, high = 0, undecided
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return min(left, math.ceil(high * given / len(leads)))
