"""How deep to rerank."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qembed.evaluation.diagnose.frontier import advice, depths_within, frontier

QUERIES = 400
RANDOM = np.random.default_rng(3)
BASE = RANDOM.uniform(0, 1, QUERIES)


def test_the_smallest_depth_that_is_non_inferior_to_all_others() -> None:
    noise = RANDOM.normal(0, 0.02, QUERIES)
    values = {0: BASE, 10: BASE + 0.2 + noise, 20: BASE + 0.201 + noise, 50: BASE + 0.05}
    found = frontier("nDCG@10", values, values, {10: 5.0}, margin=0.02)
    assert (found.best, found.chosen, found.falls_after, found.too_shallow) == (20, 10, 20, (0,))
    assert [point.depth for point in found.points] == [0, 10, 20, 50]
    assert [point.milliseconds for point in found.points] == [None, 5.0, None, None]
    assert found.points[0].to_best.verdict == "better"
    assert found.points[2].to_best.difference == 0
    for point in found.points:
        assert point.quality.mean == pytest.approx(values[point.depth].mean())
        assert point.quality.low < point.quality.mean < point.quality.high
    deepest = frontier("nDCG@10", {0: BASE, 10: BASE + 0.2 + noise}, values, {}, margin=0.02)
    assert (deepest.best, deepest.chosen, deepest.falls_after) == (10, 10, None)


def test_low_power_chooses_no_depth() -> None:
    """Neither depth is shown to be better than the other, which is no reason to take the smaller one."""
    noise = np.random.default_rng(4).normal(0, 0.3, QUERIES)
    values = {0: BASE, 10: BASE + noise - noise.mean() + 0.005}
    found = frontier("nDCG@10", values, values, {}, margin=0.01)
    assert found.points[0].to_best.verdict == "cannot tell"
    assert (found.best, found.chosen, found.falls_after, found.too_shallow) == (10, None, None, ())


def test_no_reranking_is_chosen_where_nothing_is_worth_more() -> None:
    noise = RANDOM.normal(0, 0.02, QUERIES)
    values = {0: BASE, 10: BASE + noise - noise.mean() + 0.001}
    found = frontier("nDCG@10", values, values, {}, margin=0.02)
    assert (found.best, found.chosen) == (10, 0)


def test_a_depth_that_any_other_may_beat_is_not_chosen() -> None:
    """50 has the highest mean and is too noisy to be told from 0; 10 is better than 0 beyond doubt."""
    noise = np.random.default_rng(7).normal(0, 0.5, QUERIES)
    values = {0: BASE, 10: BASE + 0.03, 50: BASE + 0.035 + noise - noise.mean()}
    found = frontier("nDCG@10", values, values, {}, margin=0.02)
    assert found.points[0].to_best.verdict == "cannot tell"
    assert (found.best, found.chosen) == (50, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chosen": 0, "best": 10}, "No depth is worth more than no reranking at all."),
        ({"chosen": 10}, "Rerank 10: no depth is worth more."),
        ({"chosen": 20, "falls_after": 20}, "Rerank 20: no depth is worth more. Deeper than 20 is worse."),
        ({}, "These queries cannot tell which depth is enough; the highest mean is at 50."),
        (
            {"best": 0},
            "These queries cannot tell which depth is enough; the highest mean is without reranking.",
        ),
        (
            {"too_shallow": (0, 5)},
            "These queries cannot tell which depth is enough; the highest mean is at 50. "
            "Shown to be worse than 50: 0, 5.",
        ),
    ],
)
def test_advice(changes: dict[str, Any], words: str) -> None:
    found: dict[str, Any] = {"best": 50, "chosen": None, "too_shallow": (), "falls_after": None}
    assert advice(**(found | changes)) == words


def test_depths_are_a_family_and_settings_are_passed_on() -> None:
    noise = np.random.default_rng(7).normal(0, 0.1, QUERIES)
    values = {depth: BASE + depth / 200 + (noise - noise.mean()) * depth for depth in (0, 1, 2, 3)}
    found = frontier("MRR", values, values, {}, margin=0.02, resamples=300, seed=4)
    comparison = found.points[0].to_best
    assert found.best == 3
    assert (comparison.resamples, comparison.seed, comparison.margin) == (300, 4, 0.02)
    alone = frontier("MRR", {0: BASE, 3: values[3]}, values, {}, margin=0.02, resamples=300, seed=4)
    assert 0.01 < comparison.p < 0.5
    assert comparison.p_adjusted > comparison.p
    assert alone.points[0].to_best.p_adjusted == alone.points[0].to_best.p


def test_equal_means_take_the_smaller_depth() -> None:
    found = frontier("MRR", {0: BASE, 10: BASE, 20: BASE}, {0: BASE, 10: BASE, 20: BASE}, {}, margin=0.01)
    assert (found.best, found.chosen) == (0, 0)


def test_queries_without_a_value_are_left_out() -> None:
    values = np.append(BASE, np.nan)
    found = frontier("MRR", {0: values, 10: values}, {0: values, 10: values}, {}, margin=0.0)
    assert found.points[0].quality.n == QUERIES
    assert found.points[0].ceiling == pytest.approx(BASE.mean())


def test_depths_within() -> None:
    assert depths_within((50, 10, 100, 200), 60) == (10, 50, 60)
    assert depths_within((5,), 60) == (5,)
