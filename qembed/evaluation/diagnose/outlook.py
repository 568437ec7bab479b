"""How a comparison stands while it is judged, and what unjudged results can still make of it.

A question counts for the system whose first ten results have the larger DCG by the grades so far. What is
unjudged counts as irrelevant, as in the measures. Its two extremes are certain: give every open result on
which a system is ahead the highest grade, and every other one 0.

A difference is *shown* where both hold:

- the two-sided sign test over the questions rejects (Dixon and Mood 1946, "The statistical sign test", JASA
  41): questions without a difference are left out, and alpha is divided by the number of comparisons;
- the sum of the differences has the same sign.

This errs on the careful side of the verdict of ``statistics.compare``, which also looks at how large the
differences are: where they are normal, the sign test needs about half as many questions again (its efficiency
is 2 / pi). It is monotone: one more question for a system never weakens what is shown for it. So if both
extremes agree, all that lies between them does, and "whatever the others are" is a fact. How many more
judgements it takes is an estimate, at the rate of those so far.

``report/templates/outlook.js`` computes the same; a test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from qembed.evaluation.diagnose.decisive import CUTOFF, pulls
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
    "better": "Decided: better, whatever the unjudged results are (sign test).",
    "worse": "Decided: worse, whatever the unjudged results are (sign test).",
    "impossible": "These {questions} questions cannot tell, whatever the unjudged results are (sign test).",
    "ahead": "That is beyond chance (sign test), but {left} unjudged results could still change it.",
    "behind": "That is beyond chance (sign test), but {left} unjudged results could still change it.",
    "early": "{left} unjudged results can change that; it is too early to say how many of them it takes.",
    "more": "At this rate about {more} more judgements decide it (sign test).",
    "too few": "At this rate {questions} questions do not decide it (sign test): more questions are needed.",
}
"""State -> what is said after the counts."""


class Question(NamedTuple):
    """Difference of the two systems' DCG on one question, the system's less the baseline's.

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
        comparisons: Number of systems that are compared with the baseline.
        alpha: Level of all comparisons together.
        cutoff: Ranks that count.
    """
    highest = highest_grade(qrels.values())
    questions, given, left = [], 0, 0
    for query, grades in qrels.items():
        found = pulls(system.get(query, {}), baseline.get(query, {}), cutoff)
        questions.append(question_of(found, grades, highest))
        judged = sum(unit in grades for unit in found)
        given, left = given + judged, left + len(found) - judged
    return outlook(questions, critical_counts(len(questions), comparisons, alpha), given=given, left=left)


def highest_grade(judged: Iterable[Mapping[str, int]]) -> int:
    """The highest grade that a result can get: that of the page, or one that there is already."""
    return max([HIGHEST, *(grade for grades in judged for grade in grades.values())])


def question_of(differing: Mapping[str, float], grades: Mapping[str, int], highest: int) -> Question:
    """One question.

    Args:
        differing: Unit -> its discount in the system's list less that in the baseline's.
        grades: Unit -> grade, as far as it is judged.
        highest: The highest grade that a unit can get.
    """
    now = sum(pull * grades.get(unit, 0) for unit, pull in differing.items())
    free = [pull * highest for unit, pull in differing.items() if unit not in grades]
    return Question(
        now, now + sum(min(pull, 0.0) for pull in free), now + sum(max(pull, 0.0) for pull in free)
    )


def critical_counts(questions: int, comparisons: int = 1, alpha: float = ALPHA) -> list[int]:
    """For 0, 1, ... ``questions`` that differ: the most that may go the other way; -1 where none may.

    ``2 * P(X <= k) <= alpha / comparisons`` for X binomial with n trials and probability 1/2.
    """
    from scipy.stats import binom

    level = alpha / max(comparisons, 1) / 2
    counts = np.arange(1, questions + 1)
    most = np.asarray(binom.ppf(level, counts, 0.5), dtype=int)  # the first that reaches the level
    most -= binom.cdf(most, counts, 0.5) > level
    return [-1, *most.tolist()]


def outlook(questions: Sequence[Question], critical: Sequence[int], *, given: int, left: int) -> Outlook:
    """What the questions say, and what they can still say.

    Args:
        questions: All of them.
        critical: As ``critical_counts`` gives it, for at least as many questions.
        given: Grades so far that bear on the difference.
        left: Open results that can change it.
    """
    now, low, high = (_count(column) for column in zip(*questions, strict=True)) if questions else [_NONE] * 3
    best, worst = (_shown(high, critical), _shown(low, critical))
    state: State
    more = None
    if worst > 0:
        state = "better"
    elif best < 0:
        state = "worse"
    elif best <= 0 <= worst:
        state = "impossible"
    elif shown := _shown(now, critical):
        state = "ahead" if shown > 0 else "behind"
    elif now.above + now.below < LEAST_LEADS:
        state = "early"
    else:
        undecided = sum(abs(one.now) <= _SAME and one.high - one.low > _SAME for one in questions)
        more = _more(now, undecided, critical, given, left)
        state = "too few" if more is None else "more"
    return Outlook(state, now.above, now.equal, now.below, given, left, more)


class _Counts(NamedTuple):
    above: int
    equal: int
    below: int
    total: float


_NONE: Final = _Counts(0, 0, 0, 0.0)


def _count(differences: Sequence[float]) -> _Counts:
    above, below = sum(one > _SAME for one in differences), sum(one < -_SAME for one in differences)
    return _Counts(above, len(differences) - above - below, below, math.fsum(differences))


def _shown(found: _Counts, critical: Sequence[int]) -> int:
    """1 where the system is shown to be ahead, -1 where the baseline is, else 0."""
    if min(found.above, found.below) > critical[found.above + found.below]:
        return 0
    if found.above > found.below and found.total > _SAME:
        return 1
    return -1 if found.above < found.below and found.total < -_SAME else 0


def _more(now: _Counts, undecided: int, critical: Sequence[int], given: int, left: int) -> int | None:
    """Judgements until it is shown, if questions without a lead get one as often as so far, and to the same
    side as often; None where there are too few of those questions."""
    leads, minor = now.above + now.below, min(now.above, now.below)
    for added in range(1, undecided + 1):
        if math.ceil(minor + added * minor / leads) <= critical[leads + added]:
            return min(left, math.ceil(added * given / leads))
    return None
