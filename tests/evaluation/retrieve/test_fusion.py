"""Reciprocal rank fusion: the paper's formula, and what must hold whatever the runs are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.errors import Mismatch, UsageError
from qembed.evaluation.retrieve.fusion import reciprocal_rank_fusion
from qembed.evaluation.retrieve.ordering import ranked

items = st.sampled_from([f"c:{number}" for number in range(12)])
runs = st.lists(st.dictionaries(items, st.integers(-3, 3).map(float)), max_size=5)


def test_by_hand() -> None:
    """a is 1st and 3rd, b 2nd and 1st, c 2nd in one run only (its tie with d goes by id), d the same 3rd."""
    fused = reciprocal_rank_fusion([{"a": 9, "b": 8}, {"b": 0.9, "c": 0.5, "a": 0.2}])
    assert fused == {
        "b": pytest.approx(1 / 62 + 1 / 61),
        "a": pytest.approx(1 / 61 + 1 / 63),
        "c": pytest.approx(1 / 62),
    }
    assert list(fused) == ["b", "a", "c"]


def test_ties_within_a_run_go_by_id() -> None:
    assert reciprocal_rank_fusion([{"b": 1, "a": 1}], k=0) == {"a": 1, "b": 0.5}


def test_weights() -> None:
    fused = reciprocal_rank_fusion([{"a": 1}, {"b": 1}], k=9, weights=[1, 3])
    assert fused == {"b": pytest.approx(0.3), "a": pytest.approx(0.1)}
    assert list(fused) == ["b", "a"]


@given(runs)
def test_it_is_the_sum_of_the_formula(given_runs: list[dict[str, float]]) -> None:
    fused = reciprocal_rank_fusion(given_runs)
    assert set(fused) == {item for run in given_runs for item in run}
    for item, score in fused.items():
        ranks = [ranked(run).index(item) + 1 for run in given_runs if item in run]
        assert score == pytest.approx(sum(1 / (60 + rank) for rank in ranks), rel=1e-12)
    assert list(fused) == ranked(fused)


@given(runs, st.randoms())
def test_the_order_of_the_runs_does_not_matter(given_runs: list[dict[str, float]], random: object) -> None:
    """To the last bit, or ties would go by the order of systems."""
    shuffled = list(given_runs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    fused, again = reciprocal_rank_fusion(given_runs), reciprocal_rank_fusion(shuffled)
    assert list(fused.items()) == list(again.items())


@given(runs, st.floats(0.01, 100))
def test_scales_of_scores_do_not_matter(given_runs: list[dict[str, float]], factor: float) -> None:
    scaled = [{item: score * factor for item, score in run.items()} for run in given_runs]
    assert reciprocal_rank_fusion(scaled) == reciprocal_rank_fusion(given_runs)


@given(st.dictionaries(items, st.integers(-3, 3).map(float)), st.integers(1, 4))
def test_runs_that_agree_stay_as_they_are(run: dict[str, float], count: int) -> None:
    assert list(reciprocal_rank_fusion([run] * count)) == ranked(run)


@given(runs, items)
def test_one_run_more_never_lowers_a_score(given_runs: list[dict[str, float]], item: str) -> None:
    before = reciprocal_rank_fusion(given_runs)
    after = reciprocal_rank_fusion([*given_runs, {item: 1.0}])
    assert after[item] > before.get(item, 0)
    assert all(after[other] == score for other, score in before.items() if other != item)


def test_nothing() -> None:
    assert reciprocal_rank_fusion([]) == {}
    assert reciprocal_rank_fusion([{}, {}]) == {}


@pytest.mark.parametrize(
    ("k", "weights", "words"),
    [
        (-1, None, "k is -1"),
        (math.nan, None, "k is nan"),
        (math.inf, None, "k is inf"),
        (60, [1.0], "2 runs, but 1 weights"),
        (60, [1.0, 0.0], "not all above 0"),
        (60, [1.0, -1.0], "not all above 0"),
        (60, [1.0, math.nan], "not all above 0"),
        (60, [1.0, math.inf], "not all above 0"),
    ],
)
def test_settings_without_sense(k: float, weights: list[float] | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        reciprocal_rank_fusion([{"a": 1}, {"b": 1}], k=k, weights=weights)


def test_a_score_that_is_no_number() -> None:
    with pytest.raises(Mismatch, match="'a' is not a number"):
        reciprocal_rank_fusion([{"a": math.nan}])
