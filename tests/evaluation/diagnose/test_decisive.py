"""What decides a comparison comes first."""

from __future__ import annotations

from math import log2

from hypothesis import given
from hypothesis import strategies as st

from qembed.evaluation.diagnose.decisive import Unjudged, pulls, unjudged_results
from qembed.records import Run

RUNS = st.lists(
    st.fixed_dictionaries({"q": st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1, 1), max_size=8)}),
    min_size=1,
    max_size=3,
)


def test_what_only_one_system_has_at_the_top_comes_first() -> None:
    one: Run = {"q": {"a": 3.0, "b": 2.0, "c": 1.0}}
    other: Run = {"q": {"b": 3.0, "x": 2.0, "c": 1.0}}
    found = unjudged_results([one, other], {"q": {}})
    assert found == [
        Unjudged("q", "a", 1, 1.0, 1.0),
        Unjudged("q", "x", 2, round(1 / log2(3), 6), round(1 / log2(3), 6)),
        Unjudged("q", "b", 1, round(1 - 1 / log2(3), 6), round(1 - 1 / log2(3), 6)),
        Unjudged("q", "c", 3, 0.0, 0.0),
    ]


def test_what_is_judged_or_beyond_the_cutoff_is_left_out() -> None:
    run: Run = {"q": {"a": 3.0, "b": 2.0, "c": 1.0}, "other": {"z": 1.0}}
    assert [one.unit for one in unjudged_results([run], {"q": {"a": 0}}, cutoff=2)] == ["b"]
    assert unjudged_results([run], {"q": {"a": 0, "b": 1}}, cutoff=2) == []


@given(RUNS)
def test_equal_runs_differ_nowhere_and_order_is_by_what_could_change(runs: list[Run]) -> None:
    found = unjudged_results(runs, {"q": {}})
    worth = [(one.could_decide, one.could_change) for one in found]
    assert worth == sorted(worth, reverse=True)
    assert all(decide <= change for decide, change in worth)
    assert {one.unit for one in found} == set().union(*(run["q"] for run in runs))
    assert all(one.could_change == 0 for one in unjudged_results([runs[0], runs[0]], {"q": {}}))


def test_the_headline_is_decided_before_the_other_systems() -> None:
    """What only BM25 has could change much, but not the comparison of the two that matter."""
    new: Run = {"q": {"a": 3.0, "b": 2.0}}
    words: Run = {"q": {"w": 3.0, "a": 2.0}}
    old: Run = {"q": {"b": 3.0, "a": 2.0}}
    found = unjudged_results([new, old, words], {"q": {}}, pair=(0, 1))
    assert [(one.unit, one.could_decide > 0) for one in found] == [("b", True), ("a", True), ("w", False)]
    assert found[-1].could_change == 1


def test_pulls_are_the_differences_of_the_discounts() -> None:
    assert pulls(["a", "b"], ["x", "b"]) == {"a": 1.0, "x": -1.0}
    assert pulls(["a"], ["a"]) == {}


@given(RUNS)
def test_the_order_of_systems_does_not_matter(runs: list[Run]) -> None:
    assert unjudged_results(runs, {"q": {}}) == unjudged_results(runs[::-1], {"q": {}})
