"""Reranking keeps the candidates and changes their order; the best order bounds every other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.retrieve.pools import best_order, first, rerank_run, reranked

ITEMS = [f"i{number:02d}" for number in range(15)]
RUNS = st.dictionaries(st.sampled_from(ITEMS), st.floats(-5, 5), min_size=1)
ALL_SCORES = st.fixed_dictionaries({item: st.floats(-20, 20) for item in ITEMS})


def test_head_in_the_new_order_and_tail_as_it_was() -> None:
    candidates = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}
    assert ranked(reranked(candidates, {"a": -4.0, "b": 2.0, "c": -9.0, "d": 99.0}, 3)) == [
        "b",
        "a",
        "c",
        "d",
    ]


@given(candidates=RUNS, scores=ALL_SCORES, depth=st.integers(0, 20))
def test_the_same_candidates(candidates: dict[str, float], scores: dict[str, float], depth: int) -> None:
    found, before = ranked(reranked(candidates, scores, depth)), ranked(candidates)
    assert set(found[:depth]) == set(before[:depth])
    assert found[depth:] == before[depth:]
    assert found[:depth] == ranked({item: scores[item] for item in before[:depth]})


def test_what_could_not_be_scored_stands_between_head_and_tail() -> None:
    scores = {"a": float("-inf"), "b": 1.0, "c": float("-inf")}
    found = reranked({"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}, scores, 3)
    assert ranked(found) == ["b", "a", "c", "d"]
    assert all(score > float("-inf") for score in found.values())


def test_what_could_not_be_scored_keeps_its_order() -> None:
    lowest = float("-inf")
    assert ranked(reranked({"z": 0.9, "a": 0.8, "m": 0.7}, {"z": lowest, "a": lowest, "m": 2.0}, 3)) == [
        "m",
        "z",
        "a",
    ]


def test_depth_zero_and_nothing_to_rerank() -> None:
    assert reranked({"a": 1.0}, {}, 0) == {"a": 1.0}
    assert rerank_run({"q": {}}, {}, 5) == {"q": {}}


def test_the_best_order() -> None:
    run = ["a", "b", "hole", "deeper"]
    candidates = {"a", "b", "hole"}
    for grades in ({"b": 2, "a": 0, "never found": 2, "deeper": 3}, {"b": 1, "a": 0, "hole": -2}):
        assert ranked(best_order(run, candidates, grades)) == ["b", "a", "hole", "deeper"]
    assert ranked(best_order(run, set(), {"b": 2})) == run


def test_first() -> None:
    assert first({"q": {"a": 1.0, "b": 1.0, "c": 2.0}}, 2) == {"q": {"c": 2.0, "a": 1.0}}
