"""How a comparison stands while it is judged: facts are facts for every grade that the rest may get."""

from __future__ import annotations

import itertools
from math import comb, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.evaluation.diagnose.outlook import (
    LEAST_LEADS,
    WORDS,
    Outlook,
    Question,
    critical_counts,
    outlook,
    outlook_of,
    question_of,
)
from qembed.records import Qrels, Run

GRADES = st.integers(0, 2)
UNITS = "abcd"
LOOSE = 0.5
"""Two questions to one side are enough, so that few questions show every state."""


def question(low: float, now: float, high: float) -> Question:
    return Question(now, low, high)


def of(*questions: Question, given_: int = 30, left: int = 30, comparisons: int = 1) -> Outlook:
    return outlook(questions, critical_counts(len(questions), comparisons), given=given_, left=left)


WON, LOST, TIED, OPEN = (
    question(0.5, 1, 1.5),
    question(-1.5, -1, -0.5),
    question(0, 0, 0),
    question(-1, 0, 1),
)


@pytest.mark.parametrize("level", [0.05, 0.0125])
def test_critical_counts_are_those_of_the_binomial(level: float) -> None:
    """Exact integers as the second implementation."""
    found = critical_counts(200, 1, level)
    assert len(found) == 201
    for count, most in enumerate(found):
        tail = [2 * sum(comb(count, at) for at in range(k + 1)) for k in (most, most + 1)]
        assert tail[0] <= level * 2**count < tail[1]
    assert critical_counts(200, 4) == critical_counts(200, 1, 0.0125)
    assert critical_counts(6)[:7] == [-1, -1, -1, -1, -1, -1, 0], "six questions, all to one side"


def test_decided_whatever_the_rest_says() -> None:
    assert of(*[WON] * 6).state == "better"
    assert of(*[LOST] * 6, TIED).state == "worse"
    assert of(*[WON] * 6, OPEN).state == "ahead", "the open one could be lost"
    assert of(*[WON] * 7, *[TIED] * 9).state == "better"
    assert of(*[WON] * 9, OPEN).state == "better"
    assert of(*[LOST] * 6, OPEN, comparisons=4).state == "impossible", "alpha is divided by four"


def test_many_small_wins_and_a_large_loss_are_not_called_better() -> None:
    """The careful side: beyond chance by the signs, and the sum is below 0."""
    small, large = question(0.01, 0.01, 0.01), question(-3, -3, -3)
    assert of(*[small] * 15, large).state == "impossible"
    assert of(*[small] * 15).state == "better"


def test_what_cannot_be_decided() -> None:
    assert of(*[OPEN] * 5).state == "impossible"
    assert of(*[OPEN] * 6, given_=0).state == "early"
    assert of(*[WON] * 4, *[LOST] * 4, OPEN).state == "impossible"
    assert of().state == "impossible"


def test_about_so_many_more() -> None:
    leads = [question(-1, 1, 2)] * 9 + [question(-2, -1, 1)] * 3
    found = of(*leads, *[OPEN] * 10, given_=24, left=100)
    assert (found.state, found.better, found.worse, found.equal) == ("more", 9, 3, 10)
    critical = critical_counts(22)
    added = next(n for n in range(1, 11) if -(-(3 * (12 + n)) // 12) <= critical[12 + n])
    assert found.more == added * 24 // 12
    assert of(*leads, *[OPEN] * 10, given_=24, left=5).more == 5, "no more than there are"
    assert of(*leads, *[OPEN] * 2, given_=24).state == "too few"
    even = [question(-1, 1, 2)] * 6 + [question(-2, -1, 1)] * 6
    assert of(*even, *[OPEN] * 40, given_=24).state == "too few"
    assert of(*leads[: LEAST_LEADS - 1], *[OPEN] * 9).state == "early"


def test_words_have_the_names_and_the_numbers() -> None:
    found = of(*[question(-1, 1, 2)] * 9, *[question(-2, -1, 1)] * 3, *[OPEN] * 10, given_=24, left=1100)
    words = found.words("new", "old")
    assert words.startswith("So far new against old: better on 9 questions, worse on 3, equal so far on 10. ")
    assert f"about {found.more} more judgements" in words
    for state in WORDS:
        assert "{" not in Outlook(state, 1, 2, 3, 4, 1100, 5).words("new", "old")
    assert "1,100 unjudged" in Outlook("ahead", 1, 2, 3, 4, 1100).words("new", "old")


@st.composite
def small_cases(draw: st.DrawFn) -> tuple[Run, Run, Qrels]:
    """Up to eight questions, at most five open results: all their grades can be tried."""
    queries = [f"q{at}" for at in range(draw(st.integers(1, 8)))]
    lists = st.permutations(UNITS).flatmap(lambda order: st.integers(1, 3).map(lambda n: order[:n]))
    runs: list[Run] = [
        {query: {unit: -float(rank) for rank, unit in enumerate(draw(lists))} for query in queries}
        for _ in range(2)
    ]
    qrels: Qrels = {query: {unit: draw(GRADES) for unit in UNITS} for query in queries}
    pairs = [(query, unit) for query in queries for unit in UNITS]
    for query, unit in draw(st.lists(st.sampled_from(pairs), max_size=5, unique=True)):
        del qrels[query][unit]
    return runs[0], runs[1], qrels


@given(small_cases())
def test_no_choice_of_grades_contradicts_what_is_called_decided(case: tuple[Run, Run, Qrels]) -> None:
    new, old, qrels = case
    found = outlook_of(new, old, qrels, alpha=LOOSE)
    open_ = [(query, unit) for query, grades in qrels.items() for unit in UNITS if unit not in grades]
    ends = set()
    for grades in itertools.product((0, 1, 2), repeat=len(open_)):
        full = {query: dict(known) for query, known in qrels.items()}
        for (query, unit), grade in zip(open_, grades, strict=True):
            full[query][unit] = grade
        ends.add(outlook_of(new, old, full, alpha=LOOSE).state)
    assert ends <= {"better", "worse", "impossible"}, "with everything judged nothing is open"
    if found.state in ("better", "worse", "impossible"):
        assert ends == {found.state}
    else:
        assert len(ends) > 1, "what is called open can end in two ways"


@given(small_cases())
def test_the_other_way_round_is_the_mirror(case: tuple[Run, Run, Qrels]) -> None:
    new, old, qrels = case
    one, other = outlook_of(new, old, qrels), outlook_of(old, new, qrels)
    mirror = {"better": "worse", "worse": "better", "ahead": "behind", "behind": "ahead"}
    assert other.state == mirror.get(one.state, one.state)
    assert (one.better, one.equal, one.worse, one.more) == (
        other.worse,
        other.equal,
        other.better,
        other.more,
    )
    assert (one.given, one.left) == (other.given, other.left)


@given(
    st.dictionaries(st.sampled_from(UNITS), st.floats(-1, 1)),
    st.dictionaries(st.sampled_from(UNITS), GRADES),
    st.dictionaries(st.sampled_from(UNITS), GRADES),
)
def test_the_extremes_hold_all_that_can_come(
    pulls: dict[str, float], known: dict[str, int], rest: dict[str, int]
) -> None:
    before = question_of(pulls, known, 2)
    after = question_of(pulls, {**rest, **known}, 2)
    assert before.low - 1e-9 <= after.low <= after.now + 1e-9 <= after.high + 2e-9 <= before.high + 3e-9


def test_only_results_that_are_ranked_differently_count() -> None:
    new: Run = {"q": {"a": 3.0, "b": 2.0, "c": 1.0}}
    old: Run = {"q": {"b": 3.0, "a": 2.0, "c": 1.0}}
    found = outlook_of(new, old, {"q": {"a": 1}})
    assert (found.given, found.left, found.better) == (1, 1, 1)
    third = outlook_of(new, old, {"q": {"a": 1, "b": 3}})
    assert third.worse == 1
    high = question_of({"a": 1 - 1 / log2(3)}, {}, 3).high
    assert high == pytest.approx(3 * (1 - 1 / log2(3)))
