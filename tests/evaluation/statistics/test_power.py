"""How many queries it takes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from qembed.evaluation.statistics import power
from qembed.evaluation.statistics.mean import Sample


def spread_out(queries, spread=0.3, mean=0.0):
    """Normal quantiles: a sample whose mean and standard deviation are as given."""
    values = stats.norm.ppf((np.arange(queries) + 0.5) / queries)
    values = mean + spread * (values - values.mean()) / values.std(ddof=1)
    return Sample(values, np.ones(queries), -1.0, 1.0)


@pytest.mark.parametrize("queries", [300, 1000])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_the_detectable_difference_is_found_with_80_percent_power(queries, alpha):
    """Against the noncentral t distribution, where t decides alone."""
    difference = power.detectable_difference(spread_out(queries), alpha=alpha)
    shift = difference / 0.3 * math.sqrt(queries)
    critical = stats.t.ppf(1 - alpha / 2, queries - 1)
    reached = stats.nct.sf(critical, queries - 1, shift) + stats.nct.cdf(-critical, queries - 1, shift)
    assert reached == pytest.approx(0.8, abs=0.015)


def test_a_larger_family_detects_less():
    sample = spread_out(100)
    found = [power.detectable_difference(sample, alpha=0.05 / family) for family in (1, 3, 5, 10)]
    assert found == sorted(found)
    assert found[-1] > 1.2 * found[0]


def test_queries_that_do_not_differ_detect_only_what_the_rule_of_three_allows():
    nothing = Sample(np.zeros(100), np.ones(100), -1.0, 1.0)
    # (1 + d)^-100 = .05
    assert power.detectable_difference(nothing) == pytest.approx(0.05 ** (-1 / 100) - 1, abs=1e-6)


@settings(max_examples=25)
@given(difference=st.floats(0.02, 0.5), spread=st.floats(0.02, 0.4), alpha=st.sampled_from([0.05, 0.01]))
def test_the_needed_queries_are_the_least_that_suffice(difference, spread, alpha):
    sample = spread_out(40, spread)
    queries = power.queries_for_difference(difference, sample, alpha=alpha)
    assert queries is not None
    assert power.queries_for_difference(-difference, sample, alpha=alpha) == pytest.approx(queries, abs=1)
    more = power.queries_for_difference(difference * 0.9, sample, alpha=alpha)
    assert more is not None
    assert more >= queries


@pytest.mark.parametrize("queries", [150, 500])
def test_as_many_queries_as_there_are_show_the_detectable_difference(queries):
    sample = spread_out(queries)
    difference = power.detectable_difference(sample)
    assert power.queries_for_difference(difference, sample) == pytest.approx(queries, rel=0.02)


def test_queries_for_equivalence():
    """Normal theory for no difference: (z(.95) + z(.9))^2 (spread / margin)^2."""
    sample = spread_out(400, 0.2)
    normal = (stats.norm.ppf(0.95) + stats.norm.ppf(0.9)) ** 2 * 20**2
    queries = power.queries_for_equivalence(0, sample, margin=0.01)
    assert queries == pytest.approx(normal, rel=0.08)  # the bound asks for a little more
    assert power.queries_for_equivalence(0.005, sample, margin=0.01) > queries
    assert power.queries_for_equivalence(0.01, sample, margin=0.01) is None
    nothing = Sample(np.zeros(50), np.ones(50), -1.0, 1.0)
    assert power.queries_for_equivalence(0.0, nothing, margin=0.01) == 299  # ln .05 / ln .99


def test_no_number_of_queries_helps():
    sample = spread_out(40)
    assert power.queries_for_difference(0, sample) is None
    assert power.queries_for_difference(1e-7, sample) is None
    assert power.queries_for_equivalence(0, sample, margin=0) is None
    one = Sample(np.array([0.2]), np.ones(1), -1.0, 1.0)
    assert math.isnan(power.detectable_difference(one))
    assert power.queries_needed(one, margin=0.01, alpha=0.05, alpha_equivalence=0.05) is None


def test_the_range_is_of_the_ends_of_the_80_percent_interval():
    sample = spread_out(50, 0.3, mean=0.08)
    reach = stats.t.ppf(0.9, 49) * 0.3 / math.sqrt(50)
    found = power.queries_needed(sample, margin=0.01, alpha=0.05, alpha_equivalence=0.05)
    ends = [power.queries_for_difference(0.08 + end, sample) for end in (reach, -reach)]
    assert found == tuple(ends)
    assert ends[0] < power.queries_for_difference(0.08, sample) < ends[1]


def test_a_difference_that_may_be_nothing_promises_no_number():
    sample = spread_out(50, 0.3, mean=0.02)
    assert power.queries_needed(sample, margin=0.01, alpha=0.05, alpha_equivalence=0.05) is None


def test_within_the_margin_it_is_equivalence_that_is_asked_for():
    sample = spread_out(60, 0.02, mean=0.001)
    found = power.queries_needed(sample, margin=0.01, alpha=0.05, alpha_equivalence=0.05)
    assert found is not None
    assert found[0] >= 299
    assert found[0] < found[1]
