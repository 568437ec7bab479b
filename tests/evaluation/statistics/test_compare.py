"""Estimates, comparisons and verdicts."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from qembed.errors import Mismatch, UsageError
from qembed.evaluation.statistics.compare import (
    compare,
    compare_family,
    compare_pairs,
    holm,
    mean_interval,
    sentence,
)

VALUES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1, width=16), min_size=6, max_size=40)
PAIRS = VALUES.flatmap(
    lambda values: st.tuples(
        st.just(values),
        st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=len(values), max_size=len(values)),
    )
)


def drawn(queries, seed=0, ties=0.5, mean=0.05):
    """Differences of which a share is 0."""
    generator = np.random.default_rng(seed)
    return np.where(generator.random(queries) < ties, 0, generator.normal(mean, 0.2, queries))


# One mean


def test_an_interval_holds_its_mean_and_is_always_the_same():
    values = np.random.default_rng(3).beta(2, 1, 60)
    estimate = mean_interval(values)
    assert estimate.mean == pytest.approx(values.mean())
    assert estimate.low < estimate.mean < estimate.high
    assert estimate.n == 60
    assert mean_interval(values) == estimate
    inner = mean_interval(values, confidence=0.8)
    assert estimate.low < inner.low < inner.high < estimate.high


def test_queries_without_a_value_are_left_out():
    values = [0.1, math.nan, 0.9, 0.4, math.nan]
    assert mean_interval(values) == mean_interval([0.1, 0.9, 0.4])
    assert mean_interval(pd.Series(values)) == mean_interval(values)


def test_values_that_are_all_0_or_1_have_the_interval_of_clopper_and_pearson():
    expected = stats.binomtest(19, 20).proportion_ci(0.95, method="exact")
    estimate = mean_interval([1.0] * 19 + [0.0])
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    always = mean_interval([1.0] * 20)
    assert (always.low, always.high) == pytest.approx((0.025 ** (1 / 20), 1))


def test_constant_values_may_differ_where_nobody_asked():
    estimate = mean_interval([0.1] * 7)
    assert estimate.mean == pytest.approx(0.1)
    assert estimate.low == pytest.approx(0.1 * 0.05 ** (1 / 7), abs=1e-6)
    assert estimate.high == pytest.approx(1 - 0.9 * 0.05 ** (1 / 7), abs=1e-6)


def test_one_value_has_no_interval_and_none_has_no_mean():
    one = mean_interval([0.3])
    assert (one.mean, one.n) == (0.3, 1)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    none = mean_interval([math.nan])
    assert none.n == 0
    assert math.isnan(none.mean)


@given(values=VALUES)
def test_an_interval_lies_within_what_values_can_be(values):
    estimate = mean_interval(values)
    assert 0 <= estimate.low <= estimate.mean + 1e-6
    assert estimate.mean - 1e-6 <= estimate.high <= 1


def test_groups_widen_an_interval():
    values = np.repeat(np.random.default_rng(3).beta(2, 1, 20), 4)
    groups = np.repeat(np.arange(20), 4).tolist()
    alone, grouped = mean_interval(values), mean_interval(values, groups=groups)
    assert grouped.mean == pytest.approx(alone.mean)
    assert grouped.high - grouped.low > 1.8 * (alone.high - alone.low)
    assert grouped.n == 80
    with_gaps = mean_interval([*values, math.nan], groups=[*groups, "other"])
    assert (with_gaps.low, with_gaps.high) == pytest.approx((grouped.low, grouped.high))


# Holm


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(1e-4, 1), min_size=1, max_size=12))
def test_holm_between_no_correction_and_bonferroni_in_the_same_order(p):
    adjusted = holm(p)
    for one, corrected in zip(p, adjusted, strict=True):
        assert one <= corrected <= min(1, len(p) * one) + 1e-12
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


# Comparisons


@settings(max_examples=40)
@given(pair=PAIRS)
def test_the_other_way_round(pair):
    one, other = (compare(*sides, resamples=300) for sides in (pair, pair[::-1]))
    turned = {"better": "worse", "worse": "better"}
    assert other.difference == pytest.approx(-one.difference, abs=1e-12)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-6)
    assert other.p == pytest.approx(one.p, abs=1e-9)
    assert (other.wins, other.ties, other.losses) == (one.losses, one.ties, one.wins)
    assert other.verdict == turned.get(one.verdict, one.verdict)
    assert (other.queries_needed is None) == (one.queries_needed is None)


@given(pair=PAIRS)
def test_what_always_holds(pair):
    found = compare(*pair, resamples=300)
    close = 1e-6
    assert found.wins + found.ties + found.losses == found.n == len(pair[0])
    assert found.difference == pytest.approx(found.system - found.baseline, abs=1e-12)
    assert found.low <= found.inner_low + close
    assert found.inner_low <= found.difference + close
    assert found.difference <= found.inner_high + close
    assert found.inner_high <= found.high + close
    assert 0 < found.p == found.p_adjusted <= 1
    assert (found.queries_needed is not None) <= (found.verdict == "cannot tell")
    assert found.queries_needed is None or found.n < found.queries_needed[0] <= found.queries_needed[1]
    if found.verdict == "equivalent":
        assert abs(found.difference) <= found.margin
    if found.verdict == "better":
        assert found.p <= 0.05
    if found.verdict != "equivalent":
        assert (found.low >= 0 or found.high <= 0) == (found.verdict != "cannot tell")


@settings(max_examples=40)
@given(pair=PAIRS, shift=st.floats(-1, 1))
def test_what_both_have_in_common_does_not_matter(pair, shift):
    one = compare(*pair, resamples=300)
    moved = compare(*(np.array(side) + shift for side in pair), resamples=300)
    assert moved.p == pytest.approx(one.p, abs=1e-8)
    assert (moved.low, moved.high) == pytest.approx((one.low, one.high), abs=1e-6)


def test_the_same_values_are_equivalent_once_the_rule_of_three_allows_it():
    values = np.random.default_rng(0).random(300)
    found = compare(values, values)
    assert found.verdict == "equivalent"
    assert (found.difference, found.p, found.effect_size) == (0, 1, 0)
    assert (found.wins, found.ties, found.losses) == (0, 300, 0)
    assert compare(values, values, margin=0).verdict == "cannot tell"
    fewer = compare(values[:298], values[:298])
    assert (fewer.verdict, fewer.queries_needed) == ("cannot tell", (299, 299))
    assert -fewer.inner_low == pytest.approx(fewer.inner_high) == pytest.approx(3 / 298, rel=0.01)


def test_better_and_worse():
    baseline = np.random.default_rng(1).random(100)
    found = compare(baseline, baseline + drawn(100, mean=0.3))
    assert found.verdict == "better"
    assert found.effect_size == pytest.approx(drawn(100, mean=0.3).mean() / drawn(100, mean=0.3).std(ddof=1))
    assert compare(baseline, baseline - drawn(100, mean=0.3)).verdict == "worse"


def test_a_real_difference_within_the_margin_is_equivalent():
    baseline = np.random.default_rng(1).random(2000)
    system = baseline + 0.003 + np.random.default_rng(2).normal(0, 0.01, 2000)
    assert compare(baseline, system).verdict == "equivalent"
    assert compare(baseline, system).p < 0.05
    assert compare(baseline, system, margin=0.001).verdict == "better"


def test_equivalence_is_decided_on_the_inner_interval():
    baseline = np.zeros(400)
    system = np.random.default_rng(5).normal(0, 0.2, 400)
    found = compare(baseline, system)
    inner, outer = (
        max(map(abs, ends)) for ends in ((found.inner_low, found.inner_high), (found.low, found.high))
    )
    assert inner < outer
    assert compare(baseline, system, margin=(inner + outer) / 2).verdict == "equivalent"
    assert compare(baseline, system, margin=inner * 0.99).verdict == "cannot tell"


@pytest.mark.parametrize("queries", range(20))
def test_verdicts_from_few_queries_are_marked(queries):
    found = compare(np.zeros(queries), np.ones(queries))
    assert found.small
    assert found.verdict == ("better" if queries >= 5 else "cannot tell")
    assert found.n == queries
    assert "only" in sentence(found, "nDCG@10") or queries == 0
    assert not compare(np.zeros(20), np.ones(20)).small


def test_few_queries_that_all_gain_a_little_are_not_enough():
    found = compare(np.zeros(6), np.array([0.1, 0.2, 0.1, 0.3, 0.2, 0.1]))
    assert found.p_randomisation == 2 / 64
    assert found.p > 0.3
    assert found.verdict == "cannot tell"


def test_every_query_differs_by_the_same_amount():
    found = compare(np.zeros(20), np.full(20, 0.25))
    assert found.verdict == "better"
    assert found.p == pytest.approx(1.25**-20, abs=1e-7)
    assert 0 < found.low < 0.25 < found.high
    assert math.isnan(found.effect_size)


def test_queries_without_a_value_on_either_side_are_left_out_pairwise():
    baseline = np.array([math.nan, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    system = np.array([0.9, 0.2, math.nan, 0.4, 0.6, 0.7, 0.7, 0.9])
    keep = [1, 3, 4, 5, 6, 7]
    assert compare(baseline, system) == compare(baseline[keep], system[keep])


def test_a_family_pays_for_its_size():
    baseline = np.random.default_rng(0).random(50)
    systems = {str(seed): baseline + drawn(50, seed, mean=0.1) for seed in range(5)}
    systems["partial"] = np.where(np.arange(50) < 30, systems["0"], math.nan)
    family = compare_family(systems, baseline)
    assert list(family) == list(systems)
    adjusted = holm([found.p for found in family.values()])
    for (name, found), corrected in zip(family.items(), adjusted, strict=True):
        alone = compare(baseline, systems[name])
        assert found.p_adjusted == corrected >= found.p == alone.p
        assert (found.family, alone.family) == (6, 1)
        assert found.low <= alone.low
        assert found.high >= alone.high
        assert found.detectable_difference > alone.detectable_difference
        assert (found.inner_low, found.inner_high) == (alone.inner_low, alone.inner_high)
    assert family["partial"].n == 30
    assert compare_family({}, baseline) == {}


@settings(max_examples=25)
@given(
    shifts=st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=6),
    queries=st.integers(20, 60),
    seed=st.integers(0, 99),
)
def test_no_interval_contradicts_its_verdict(shifts, queries, seed):
    generator = np.random.default_rng(seed)
    baseline = generator.random(queries)
    systems = {
        str(at): baseline + generator.normal(shift, 0.2, queries).clip(-1, 1)
        for at, shift in enumerate(shifts)
    }
    for found in compare_family(systems, baseline, resamples=100, margin=0).values():
        assert (found.low >= 0 or found.high <= 0) == (found.verdict in ("better", "worse"))
        assert (found.p_adjusted <= 0.05) == (found.verdict in ("better", "worse"))


def test_where_holm_goes_on_and_bonferroni_does_not_the_interval_ends_at_0():
    baseline = np.zeros(200)
    clear = np.random.default_rng(0).normal(0.2, 0.2, 200)
    noise = np.random.default_rng(1).normal(0, 0.2, 200)
    narrow = 0.03 + noise - noise.mean()  # p = .036: below .05, above .05 / 2
    family = compare_family({"clear": clear, "narrow": narrow}, baseline)
    assert 0.025 < family["narrow"].p < 0.05
    assert family["narrow"].verdict == "better"
    assert family["narrow"].low == 0
    assert family["clear"].low > 0


def test_pairs_have_baselines_of_their_own():
    one, other = np.random.default_rng(0).random((2, 40))
    found = compare_pairs({"a": (one, other), "b": (other, one)})
    assert found["a"].difference == pytest.approx(-found["b"].difference)
    assert found["a"].family == 2


def test_copies_of_queries_are_no_new_evidence():
    baseline, system = np.zeros(30), np.random.default_rng(2).normal(0.12, 0.3, 30)
    groups = np.tile(np.arange(30), 4).tolist()
    alone = compare(baseline, system)
    copied = compare(np.tile(baseline, 4), np.tile(system, 4), groups=groups)
    ignored = compare(np.tile(baseline, 4), np.tile(system, 4))
    assert (alone.verdict, copied.verdict, ignored.verdict) == ("cannot tell", "cannot tell", "better")
    assert copied.p == pytest.approx(alone.p)
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high), abs=1e-6)
    assert (copied.n, copied.groups, ignored.groups) == (120, 30, None)
    assert compare(baseline, system, groups=[0] * 15 + [*range(1, 16)]).small


def test_labels_for_every_query():
    with pytest.raises(Mismatch, match="2 groups for 3 queries"):
        compare([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], groups=["a", "b"])


def test_sums_in_another_order_are_ties():
    found = compare(np.full(8, 0.3), np.full(8, 0.1 + 0.2))
    assert (found.ties, found.p, found.difference) == (8, 1, 0)


def test_frames_of_the_same_queries():
    index = pd.Index(["a", "b"], name="query_id")
    compare(pd.Series([0.1, 0.2], index), pd.Series([0.1, 0.2], index))
    with pytest.raises(Mismatch, match="other queries"):
        compare(pd.Series([0.1, 0.2], index), pd.Series([0.1, 0.2], index[::-1]))


@pytest.mark.parametrize(
    ("baseline", "system", "reason"),
    [
        ([0.1, 0.2], [0.1], "are 1, those of the baseline 2"),
        ([0.1, math.inf], [0.1, 0.2], "the baseline have an infinite"),
        ([0.1, 0.2], [0.1, -math.inf], "infinite"),
        ([[0.1, 0.2]], [0.1, 0.2], "2 dimensions"),
    ],
)
def test_values_that_cannot_be_compared(baseline, system, reason):
    with pytest.raises(Mismatch, match=reason) as caught:
        compare(baseline, system)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "settings",
    [{"confidence": 95}, {"confidence": 0.5}, {"margin": -0.1}, {"margin": math.nan}, {"resamples": 10}],
    ids=str,
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(UsageError) as caught:
        compare([0.1, 0.2], [0.2, 0.3], **settings)
    assert caught.value.remedy
