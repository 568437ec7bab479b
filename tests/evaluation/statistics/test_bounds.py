"""Gaffke's bound: chances by hand, against Clopper and Pearson, and against drawn weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qembed.evaluation.statistics.bounds import chance_below_zero


@pytest.mark.parametrize("value", [1e-6, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("count", [1, 6, 100])
def test_equal_values_against_one(value, count):
    """P(value * (E_1 + ... + E_n) < E_0) = (1 + value)^-n, the transform of a gamma variable."""
    found = chance_below_zero(np.full(count, value), extra=-1.0)
    assert found == pytest.approx((1 + value) ** -count, abs=1e-7)


@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (3, 20), (5, 6), (0, 144), (100, 300), (3, 2000)])
def test_of_zeros_and_ones_it_is_the_bound_of_clopper_and_pearson(successes, trials):
    values = np.repeat([1.0, 0.0], [successes, trials - successes])
    upper = stats.beta.ppf(0.975, successes + 1, trials - successes)
    assert chance_below_zero(upper - values, extra=upper - 1) == pytest.approx(0.025, abs=1e-7)


def test_copies_are_a_larger_sample():
    values = np.array([0.3, -0.2, 0.05, 0.0, 0.1])
    three = chance_below_zero(np.tile(values, 3), extra=-1.0)
    assert chance_below_zero(values, copies=3, extra=-1.0) == pytest.approx(three, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_drawn_weights_give_the_same(seed):
    generator = np.random.default_rng(seed)
    values = generator.beta(0.3, 1, 30) - 0.2
    weights = generator.exponential(size=(100_000, 31))
    drawn = np.mean(weights @ np.append(values, -1.0) < 0)
    assert chance_below_zero(values, extra=-1.0) == pytest.approx(drawn, abs=0.006)


@given(
    values=st.lists(st.floats(-1, 1, width=16), min_size=1, max_size=40),
    extra=st.floats(-1, 1),
    copies=st.sampled_from([0.5, 1.0, 7.0]),
)
def test_what_always_holds(values, extra, copies):
    sample = np.array(values, dtype=np.float64)
    found = chance_below_zero(sample, copies, extra)
    assert 0 <= found <= 1
    if (sample >= 0).all() and extra >= 0:
        assert found == 0
    elif (sample <= 0).all() and extra <= 0:
        assert found == 1
    else:
        assert found + chance_below_zero(-sample, copies, -extra) == pytest.approx(1, abs=1e-7)
        assert chance_below_zero(sample - 0.01, copies, extra) >= found - 1e-7
        assert chance_below_zero(sample * 0.001, copies, extra * 0.001) == pytest.approx(found, abs=1e-6)
