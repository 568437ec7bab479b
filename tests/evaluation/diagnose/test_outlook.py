"""How a comparison stands while it is judged: facts are facts for every grade that the rest may get."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qembed.evaluation.diagnose.outlook import (
    LEAST_LEADS,
    WORDS,
    Outlook,
    Question,
    level_of,
    outlook,
    outlook_of,
    question_of,
)
from qembed.evaluation.measures import evaluate
from qembed.evaluation.statistics.bounds import chance_below_zero
from qembed.evaluation.statistics.compare import compare
from qembed.records import Qrels, Run

GRADES = st.integers(0, 2)
UNITS = "abcd"
LOOSE = 0.5
"""Two questions to one side are enough, so that few questions show every state."""


def question(low: float, now: float, high: float) -> Question:
    return Question(now, low, high)


def of(*questions: Question, given_: int = 30, left: int = 30, comparisons: int = 1) -> Outlook:
    return outlook(questions, level_of(comparisons), given=given_, left=left)


WON, LOST, TIED, OPEN = (
    question(0.5, 0.8, 1),
    question(-1, -0.8, -0.5),
    question(0, 0, 0),
    question(-1, 0, 1),
)


def test_decided_whatever_the_rest_says() -> None:
    assert of(*[WON] * 12).state == "better"
    assert of(*[LOST] * 12, TIED).state == "worse"
    assert of(*[WON] * 9, *[OPEN] * 3).state == "ahead", "the open ones could be lost"
    assert of(*[WON] * 12, *[TIED] * 9).state == "better"
    assert of(*[WON] * 14, OPEN).state == "better"
    assert of(*[LOST] * 12, comparisons=400).state == "impossible", "alpha is divided"


def test_many_small_wins_and_a_large_loss_are_not_called_better() -> None:
    """The careful side: the bound knows that a large loss may not have been drawn."""
    small, large = question(0.02, 0.02, 0.02), question(-0.9, -0.9, -0.9)
    assert of(*[small] * 19, large).state == "impossible"
    assert of(*[small] * 20).state == "impossible"
    assert of(*[question(0.4, 0.4, 0.4)] * 20).state == "better"


@pytest.mark.parametrize("shape", ["even", "wide", "ties", "skewed"])
def test_what_is_decided_is_what_bench_would_say(shape: str) -> None:
    """The rule is the stricter half of the test that verdicts rest on."""
    random = np.random.default_rng(4)
    decided = 0
    for count in (10, 20, 40):
        for _ in range(12):
            drawn = random.normal(0.3, 0.6 if shape == "wide" else 0.3, count)
            if shape == "ties":
                drawn *= random.random(count) < 0.6
            if shape == "skewed":
                drawn = np.where(random.random(count) < 0.85, 0.3, -0.6)
            drawn = np.clip(drawn, -1, 1)
            said = of(*(Question(one, one, one) for one in drawn)).state
            verdict = compare(np.zeros(count), drawn, resamples=100).verdict
            assert said == (verdict if verdict in ("better", "worse") else "impossible")
            decided += said == "better"
    assert decided > 5


def test_what_cannot_be_decided() -> None:
    assert of(*[OPEN] * 3).state == "impossible"
    assert of(*[OPEN] * 6, given_=0).state == "early"
    assert of(*[WON] * 4, *[LOST] * 4, OPEN).state == "impossible"
    assert of().state == "impossible"


def test_about_so_many_more() -> None:
    leads = [question(-1, 0.5, 1)] * 5 + [question(-1, -0.2, 1)]
    found = of(*leads, *[OPEN] * 30, given_=24, left=100)
    assert (found.state, found.better, found.worse, found.equal) == ("more", 5, 1, 30)
    values = np.array([0.5] * 5 + [-0.2])
    added = next(n for n in range(1, 31) if chance_below_zero(values, (6 + n) / 6, -1.0) <= 0.05)
    assert found.more == added * 24 // 6
    assert of(*leads, *[OPEN] * 30, given_=24, left=5).more == 5, "no more than there are"
    assert of(*leads, *[OPEN] * 2, given_=24).state == "too few"
    even = [question(-1, 0.5, 1)] * 6 + [question(-1, -0.5, 1)] * 6
    assert of(*even, *[OPEN] * 40, given_=24).state == "too few"
    assert of(*leads[: LEAST_LEADS - 1], *[OPEN] * 9).state == "early"


def test_words_have_the_names_and_the_numbers() -> None:
    found = Outlook("more", 9, 10, 3, 24, 1100, 12)
    words = found.words("new", "old")
    assert words.startswith("So far new against old: better on 9 questions, worse on 3, equal so far on 10. ")
    assert "about 12 more judgements" in words
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
    for query, unit in draw(st.lists(st.sampled_from(pairs), max_size=4, unique=True)):
        del qrels[query][unit]
    return runs[0], runs[1], qrels


@settings(max_examples=40)
@given(small_cases())
def test_no_choice_of_grades_contradicts_what_is_called_decided(case: tuple[Run, Run, Qrels]) -> None:
    new, old, qrels = case
    open_ = [(query, unit) for query, grades in qrels.items() for unit in UNITS if unit not in grades]
    found = outlook_of(new, old, qrels, open_, alpha=LOOSE)
    ends = set()
    for grades in itertools.product((0, 1, 2), repeat=len(open_)):
        full = {query: dict(known) for query, known in qrels.items()}
        for (query, unit), grade in zip(open_, grades, strict=True):
            full[query][unit] = grade
        ends.add(outlook_of(new, old, full, alpha=LOOSE).state)
    assert ends <= {"better", "worse", "impossible"}, "with everything judged nothing is open"
    if found.state in ("better", "worse", "impossible"):
        assert ends == {found.state}


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


LISTS = st.permutations(UNITS).flatmap(lambda order: st.integers(0, 4).map(lambda n: order[:n]))


@given(
    LISTS,
    LISTS,
    st.dictionaries(st.sampled_from([*UNITS, "elsewhere"]), GRADES),
    st.dictionaries(st.sampled_from(UNITS), GRADES),
)
def test_the_extremes_hold_all_that_can_come(
    new: list[str], old: list[str], known: dict[str, int], rest: dict[str, int]
) -> None:
    rest = {unit: grade for unit, grade in rest.items() if unit in {*new, *old}}
    places = len({*new, *old})
    before = question_of(new, old, known, 2, holes=places)
    after = question_of(new, old, {**rest, **known}, 2, holes=places - len(rest.keys() - known.keys()))
    assert before.low - 1e-9 <= after.low <= after.now + 1e-9 <= after.high + 2e-9 <= before.high + 3e-9
    every = question_of(new, old, {**dict.fromkeys([*new, *old], 0), **known}, 2, holes=0)
    assert every.low == pytest.approx(every.now) == pytest.approx(every.high), "nothing is open"


@given(LISTS, LISTS, st.dictionaries(st.sampled_from([*UNITS, "elsewhere"]), GRADES, min_size=1))
def test_a_difference_is_that_of_ndcg(new: list[str], old: list[str], grades: dict[str, int]) -> None:
    runs = [{"q": {unit: -float(rank) for rank, unit in enumerate(units)}} for units in (new, old)]
    values = [float(evaluate({"q": grades}, run, ["nDCG@10"])["nDCG@10"].iloc[0]) for run in runs]
    expected = 0.0 if np.isnan(values[0]) else values[0] - values[1]
    assert question_of(new, old, grades, 2, holes=3).now == pytest.approx(expected, abs=1e-9)


def test_only_results_that_are_ranked_differently_count() -> None:
    new: Run = {"q": {"a": 3.0, "b": 2.0, "c": 1.0}}
    old: Run = {"q": {"b": 3.0, "a": 2.0, "c": 1.0}}
    found = outlook_of(new, old, {"q": {"a": 1}})
    assert (found.given, found.left, found.better) == (1, 1, 1)
    assert outlook_of(new, old, {"q": {"a": 1, "b": 3}}).worse == 1
