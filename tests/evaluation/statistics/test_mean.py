"""Interval and p of a mean: against scipy, and that they agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qembed.evaluation.statistics.mean import Sample, clopper_pearson

DIFFERENCES = st.lists(
    st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]) | st.floats(-1, 1, width=16), min_size=2, max_size=40
)


def sample(values):
    values = np.asarray(values, dtype=np.float64)
    return Sample(values, np.ones(len(values)), -1.0, 1.0)


def test_many_queries_have_the_interval_and_p_of_student():
    values = np.random.default_rng(0).normal(0.03, 0.3, 400)
    found = sample(values)
    test = stats.ttest_1samp(values, 0)
    assert found.p() == pytest.approx(test.pvalue)
    assert found.ends(0.05) == pytest.approx(tuple(test.confidence_interval(0.95)))
    one_sided = stats.ttest_1samp(values, 0).confidence_interval(0.90)
    low, high = found.ends(0.05, one_sided=True)
    assert found.ends(0.05)[0] < low < one_sided.low
    assert one_sided.high < high < found.ends(0.05)[1]


def test_queries_that_all_lose_a_little_do_not_show_that_the_mean_is_below_0():
    """One query in ten that was not drawn may gain nine times as much."""
    found = sample(np.full(20, -0.05))
    assert found.p() == pytest.approx(1.05**-20, abs=1e-7)
    low, high = found.ends(0.05)
    assert low == pytest.approx(0.95 * 0.05 ** (1 / 20) - 1, abs=1e-6)
    assert high == pytest.approx(1 - 1.05 * 0.05 ** (1 / 20), abs=1e-6)


def test_no_difference_at_all_is_the_rule_of_three():
    """Of n queries none differs: at 95 % at most 3 / n of all do, by 1."""
    low, high = sample(np.zeros(100)).ends(0.05)
    assert high == pytest.approx(1 - 0.05 ** (1 / 100), abs=1e-6) == pytest.approx(0.03, abs=0.001)
    assert low == pytest.approx(-high)


def test_groups_of_equal_queries_are_their_first():
    values = np.random.default_rng(1).normal(0.1, 0.2, 30).clip(-1, 1)
    groups = Sample(values * 4, np.full(30, 4.0), -1.0, 1.0)
    assert groups.p() == pytest.approx(sample(values).p())
    assert groups.ends(0.05) == pytest.approx(sample(values).ends(0.05), abs=1e-6)


def test_the_error_of_unequal_groups_is_that_of_a_ratio():
    """The cluster-robust variance of a regression on a constant, with the factor G / (G - 1)."""
    sums, sizes = np.array([0.4, 0.1, 0.9, 0.0, 0.3]), np.array([2.0, 1.0, 3.0, 1.0, 2.0])
    mean = sums.sum() / sizes.sum()
    residuals = sums - mean * sizes
    expected = math.sqrt(5 / 4 * (residuals**2).sum()) / sizes.sum()
    assert Sample(sums, sizes, 0.0, 1.0).error == pytest.approx(expected)


@given(values=DIFFERENCES, alpha=st.sampled_from([0.2, 0.05, 0.005]))
def test_p_and_interval_agree(values, alpha):
    found = sample(values)
    low, high = found.ends(alpha)
    close = 1e-6
    assert -1 <= low <= found.mean + close
    assert found.mean - close <= high <= 1
    if found.p() < alpha - close:
        assert low > -close if found.mean > 0 else high < close
        assert (low > 0) != (high < 0) or min(abs(low), abs(high)) < close
    elif found.p() > alpha + close:
        assert low <= close
        assert high >= -close


@given(values=DIFFERENCES)
def test_the_other_way_round(values):
    found, turned = sample(values), sample(values).turned()
    assert turned.p() == pytest.approx(found.p(), abs=1e-9)
    low, high = found.ends(0.05)
    assert turned.ends(0.05) == pytest.approx((-high, -low), abs=1e-6)


@given(values=DIFFERENCES, alpha=st.sampled_from([0.2, 0.05, 0.005]))
def test_a_smaller_alpha_has_a_wider_interval(values, alpha):
    one, other = sample(values).ends(alpha), sample(values).ends(alpha / 2)
    assert other[0] <= one[0] + 1e-6
    assert other[1] >= one[1] - 1e-6


@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (7, 20), (20, 20), (1, 2)])
def test_clopper_pearson_is_that_of_scipy(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert clopper_pearson(successes, trials, 0.95) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("trials", [5, 20, 50])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.95])
def test_a_proportion_is_covered_at_every_share(share, trials):
    """Exactly: over all outcomes, by their chances."""
    outcomes = np.arange(trials + 1)
    held = [low <= share <= high for low, high in (clopper_pearson(int(k), trials, 0.95) for k in outcomes)]
    assert stats.binom.pmf(outcomes, trials, share)[held].sum() >= 0.95
