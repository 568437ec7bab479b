"""Estimates, tests and verdicts: by hand, against scipy, and against simulated systems (as the benchmark)."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qembed.errors import Mismatch, UsageError
from qembed.evaluation.statistics import power
from qembed.evaluation.statistics.compare import compare, compare_family, holm, mean_interval, sentence
from qembed.evaluation.statistics.resampling import bca_levels, bootstrap_means, intervals, sign_flip_p

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
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


def test_an_interval_holds_its_mean_and_is_the_same_for_the_same_seed():
    values = np.random.default_rng(3).beta(2, 1, 60)
    estimate = mean_interval(values, seed=5)
    assert estimate.mean == pytest.approx(values.mean())
    assert estimate.low < estimate.mean < estimate.high
    assert estimate.n == 60
    assert mean_interval(values, seed=5) == estimate
    assert mean_interval(values, seed=6) != estimate
    inner = mean_interval(values, confidence=0.8, seed=5)
    assert estimate.low < inner.low < inner.high < estimate.high


def test_queries_without_a_value_are_left_out():
    values = [0.1, math.nan, 0.9, 0.4, math.nan]
    assert mean_interval(values) == mean_interval([0.1, 0.9, 0.4])
    assert mean_interval(pd.Series(values)) == mean_interval(values)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_constant_values(value):
    estimate = mean_interval([value] * 7)
    assert (estimate.mean, estimate.low, estimate.high) == pytest.approx((value, value, value), abs=1e-15)


def test_one_value_has_no_interval_and_none_has_no_mean():
    one = mean_interval([0.3])
    assert (one.mean, one.n) == (0.3, 1)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    none = mean_interval([math.nan])
    assert none.n == 0
    assert math.isnan(none.mean)


@given(values=VALUES)
def test_an_interval_lies_within_the_values(values):
    estimate = mean_interval(values, resamples=200)
    close = 1e-9
    assert min(values) - close <= estimate.low <= estimate.mean + close
    assert estimate.mean - close <= estimate.high <= max(values) + close


@pytest.mark.parametrize("seed", range(4))
def test_bca_is_that_of_scipy(seed):
    sample = np.random.default_rng(seed).beta(1, 4, 40)
    means = bootstrap_means(sample[:, None], resamples=20_000, seed=seed)[0]
    levels = bca_levels(sample, means, float(stats.norm.ppf(0.975)))
    assert levels is not None
    ours = sample.mean() + np.quantile(means, levels)
    theirs = stats.bootstrap(
        (sample,), np.mean, n_resamples=20_000, method="BCa", rng=seed
    ).confidence_interval
    assert ours == pytest.approx([theirs.low, theirs.high], abs=0.1 * sample.std() / math.sqrt(40))


def test_the_interval_is_the_wider_of_bca_and_percentile_at_students_reach():
    sample = drawn(30, ties=0.7)
    means = bootstrap_means(sample[:, None], resamples=5_000, seed=0)
    reach = stats.t.ppf(0.975, 29) * math.sqrt(30 / 29)
    levels = bca_levels(sample, means[0], reach)
    percentile = np.quantile(means[0], stats.norm.cdf([-reach, reach]))
    bca = np.quantile(means[0], levels)
    low, high = intervals(sample[:, None], means, 0.95)[:, 0] - sample.mean()
    assert low == pytest.approx(min(percentile[0], bca[0]))
    assert high == pytest.approx(max(percentile[1], bca[1]))


def test_bca_is_undefined_where_all_resamples_are_on_one_side():
    assert bca_levels(np.array([0.0, 1.0]), np.array([0.1, 0.2, 0.3]), 1.96) is None
    assert bca_levels(np.array([0.4, 0.4]), np.array([0.0, 0.0]), 1.96) is None


def test_resampled_means_are_means_of_the_sample_itself():
    sample = np.array([[0.0, 1.0], [1.0, 1.0], [5.0, 1.0]])
    means = bootstrap_means(sample, resamples=3_000, seed=1)
    assert means.shape == (2, 3_000)
    sums = (means[0] + sample[:, 0].mean()) * 3
    assert {round(total) for total in sums.tolist()} == {0, 1, 2, 3, 5, 6, 7, 10, 11, 15}
    assert np.allclose(sums, np.round(sums))
    assert (means[1] == 0).all()
    assert means[0].mean() == pytest.approx(0, abs=0.1)
    assert means[0].std() == pytest.approx(sample[:, 0].std() / math.sqrt(3), rel=0.05)


def test_blocks_change_only_the_draws():
    wide = np.random.default_rng(0).random((3_000, 1))
    means = bootstrap_means(wide, resamples=2_000, seed=0)
    assert means[0].std() == pytest.approx(wide.std() / math.sqrt(3_000), rel=0.1)


# The randomisation test


@pytest.mark.parametrize("seed", range(6))
def test_exact_p_is_that_of_scipy(seed):
    differences = drawn(9, seed, ties=0.2, mean=0.1).round(1)
    theirs = stats.permutation_test(
        (differences,), lambda x, axis: np.abs(np.mean(x, axis=axis)), permutation_type="samples",
        alternative="greater", n_resamples=np.inf, vectorized=True,
    )  # fmt: skip
    assert sign_flip_p(differences[:, None], resamples=10_000, seed=0)[0] == pytest.approx(theirs.pvalue)


def test_drawn_p_comes_close_to_the_exact_one():
    differences = drawn(15, 2, ties=0, mean=0.15)[:, None]
    exact = sign_flip_p(differences, resamples=2**15, seed=0)[0]
    assert sign_flip_p(differences, resamples=2**15 - 1, seed=0)[0] == pytest.approx(exact, abs=0.005)
    assert 0.01 < exact < 0.2


def test_queries_that_do_not_differ_play_no_part():
    differences = np.array([0.5, 0.25, 0.125, 1.0, 0.75, 0.3])
    padded = np.concatenate((differences, np.zeros(60)))
    assert sign_flip_p(padded[:, None], resamples=100, seed=0)[0] == 2 / 2**6


def test_p_is_never_zero():
    assert sign_flip_p(np.ones((500, 1)), resamples=999, seed=0)[0] == 1 / 1000
    assert sign_flip_p(np.ones((3, 1)), resamples=999, seed=0)[0] == 2 / 8
    assert sign_flip_p(np.zeros((3, 1)), resamples=999, seed=0)[0] == 1


def test_rounding_does_not_decide_which_sums_are_as_large():
    """0.1 + 0.2 is not 0.3 in binary: without a tolerance the observed sum would be rarer than it is."""
    tenths = np.array([1.0, 2, -3, 1, 2, 3])
    exact = sign_flip_p(tenths[:, None], resamples=100, seed=0)
    assert sign_flip_p(tenths[:, None] / 10, resamples=100, seed=0) == exact


def test_columns_are_tested_as_if_alone():
    columns = np.stack([drawn(40, seed) for seed in range(5)], axis=1)
    columns[:, 2] = 0
    columns[6:, 3] = 0
    together = sign_flip_p(columns, resamples=500, seed=3)
    alone = [sign_flip_p(columns[:, [column]], resamples=500, seed=3)[0] for column in range(5)]
    assert together.tolist() == alone


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


@given(pair=PAIRS)
def test_the_other_way_round(pair):
    one, other = (compare(*sides, resamples=300) for sides in (pair, pair[::-1]))
    turned = {"better": "worse", "worse": "better"}
    assert other.difference == pytest.approx(-one.difference, abs=1e-12)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-9)
    assert other.p == one.p
    assert (other.wins, other.ties, other.losses) == (one.losses, one.ties, one.wins)
    assert other.verdict == turned.get(one.verdict, one.verdict)
    assert other.queries_needed == one.queries_needed


@given(pair=PAIRS)
def test_what_always_holds(pair):
    found = compare(*pair, resamples=300)
    close = 1e-9
    assert found.wins + found.ties + found.losses == found.n == len(pair[0])
    assert found.difference == pytest.approx(found.system - found.baseline, abs=1e-12)
    assert found.low <= found.inner_low + close
    assert found.inner_low <= found.difference + close
    assert found.difference <= found.inner_high + close
    assert found.inner_high <= found.high + close
    assert 0 < found.p == found.p_adjusted <= 1
    assert (found.queries_needed is not None) <= (found.verdict == "cannot tell")
    assert found.queries_needed is None or found.queries_needed > found.n
    if found.verdict == "equivalent":
        assert abs(found.difference) <= found.margin
    if found.verdict == "better":
        assert found.low > 0
        assert found.p <= 0.05


@given(pair=PAIRS, shift=st.floats(-1, 1))
def test_what_both_have_in_common_does_not_matter(pair, shift):
    one = compare(*pair, resamples=300)
    moved = compare(*(np.array(side) + shift for side in pair), resamples=300)
    assert moved.verdict == one.verdict
    assert moved.p == one.p
    assert (moved.low, moved.high) == pytest.approx((one.low, one.high), abs=1e-9)


def test_the_same_values_are_equivalent():
    values = np.random.default_rng(0).random(20)
    found = compare(values, values)
    assert found.verdict == "equivalent"
    assert (found.difference, found.low, found.high, found.p, found.effect_size) == (0, 0, 0, 1, 0)
    assert (found.wins, found.ties, found.losses) == (0, 20, 0)
    assert compare(values, values, margin=0).verdict == "equivalent"


def test_better_and_worse():
    baseline = np.random.default_rng(1).random(100)
    found = compare(baseline, baseline + drawn(100, mean=0.3))
    assert found.verdict == "better"
    assert found.effect_size == pytest.approx(drawn(100, mean=0.3).mean() / drawn(100, mean=0.3).std(ddof=1))
    assert compare(baseline, baseline - drawn(100, mean=0.3)).verdict == "worse"


def test_a_real_difference_within_the_margin_is_equivalent():
    baseline = np.random.default_rng(1).random(400)
    system = baseline + 0.003 + np.random.default_rng(2).normal(0, 0.01, 400)
    assert compare(baseline, system).verdict == "equivalent"
    assert compare(baseline, system).p < 0.01
    assert compare(baseline, system, margin=0.001).verdict == "better"


def test_equivalence_is_decided_on_the_interval_of_90_percent():
    baseline = np.zeros(200)
    system = drawn(200, ties=0.5, mean=0)
    inner = max(map(abs, (compare(baseline, system).inner_low, compare(baseline, system).inner_high)))
    outer = max(map(abs, (compare(baseline, system).low, compare(baseline, system).high)))
    assert inner < outer
    assert compare(baseline, system, margin=(inner + outer) / 2).verdict == "equivalent"
    assert compare(baseline, system, margin=inner * 0.99).verdict == "cannot tell"


@pytest.mark.parametrize("queries", range(6))
def test_too_few_queries_for_any_verdict(queries):
    for system in (np.ones(queries), np.zeros(queries), np.linspace(0, 1, queries)):
        found = compare(np.zeros(queries), system)
        assert found.small
        assert found.verdict == "cannot tell"
        assert found.n == queries
        assert "too few" in sentence(found, "nDCG@10") or queries == 0


def test_six_queries_that_all_gain_are_enough():
    found = compare(np.zeros(6), np.array([0.1, 0.2, 0.1, 0.3, 0.2, 0.1]))
    assert not found.small
    assert found.p == 2 / 64
    assert found.verdict == "better"


def test_every_query_differs_by_the_same_amount():
    found = compare(np.zeros(10), np.full(10, 0.25))
    assert found.verdict == "better"
    assert (found.low, found.high) == (0.25, 0.25)
    assert math.isnan(found.effect_size)
    assert found.detectable_difference == 0


def test_queries_without_a_value_on_either_side_are_left_out_pairwise():
    baseline = np.array([math.nan, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    system = np.array([0.9, 0.2, math.nan, 0.4, 0.6, 0.7, 0.7, 0.9])
    keep = [1, 3, 4, 5, 6, 7]
    assert compare(baseline, system) == compare(baseline[keep], system[keep])


def test_a_family_shares_its_resamples_and_pays_for_its_size():
    baseline = np.random.default_rng(0).random(50)
    systems = {str(seed): baseline + drawn(50, seed, mean=0.1) for seed in range(5)}
    systems["partial"] = np.where(np.arange(50) < 30, systems["0"], math.nan)
    family = compare_family(systems, baseline)
    assert list(family) == list(systems)
    adjusted = holm([found.p for found in family.values()])
    for (name, found), corrected in zip(family.items(), adjusted, strict=True):
        alone = compare(baseline, systems[name])
        assert found.p_adjusted == corrected >= found.p == alone.p
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=1e-12)
    assert family["partial"].n == 30


def test_the_verdict_rests_on_the_corrected_p():
    baseline, system = np.zeros(6), np.array([0.1, 0.2, 0.1, 0.3, 0.2, 0.1])
    family = compare_family({"one": system, "two": system * 2}, baseline)
    assert family["one"].p == 2 / 64
    assert family["one"].verdict == "cannot tell"
    assert family["one"].queries_needed == 7
    assert compare_family({}, baseline) == {}


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


# How many queries


@pytest.mark.parametrize("queries", [10, 50, 400])
def test_the_detectable_difference_is_found_with_80_percent_power(queries):
    """Held against the noncentral t distribution, which the formula approximates."""
    difference = power.detectable_difference(0.3, queries)
    shift = difference / 0.3 * math.sqrt(queries)
    critical = stats.t.ppf(0.975, queries - 1)
    reached = stats.nct.sf(critical, queries - 1, shift) + stats.nct.cdf(-critical, queries - 1, shift)
    assert reached == pytest.approx(0.8, abs=0.01)


@given(difference=st.floats(0.005, 0.5), spread=st.floats(0.01, 0.5))
def test_the_needed_queries_are_the_least_that_suffice(difference, spread):
    queries = power.queries_for_difference(difference, spread)
    assert queries is not None
    assert power.detectable_difference(spread, queries) <= difference
    assert queries <= 2 or power.detectable_difference(spread, queries - 1) > difference
    assert power.queries_for_difference(-difference, spread) == queries


def test_queries_for_equivalence():
    """Normal theory for no difference: (z(.95) + z(.9))^2 (spread / margin)^2."""
    normal = (stats.norm.ppf(0.95) + stats.norm.ppf(0.9)) ** 2 * 20**2
    queries = power.queries_for_equivalence(0, 0.2, margin=0.01)
    assert queries == pytest.approx(normal, rel=0.01)
    assert power.queries_for_equivalence(0.005, 0.2, margin=0.01) > queries
    assert power.queries_for_equivalence(-0.005, 0.2, margin=0.01) == power.queries_for_equivalence(
        0.005, 0.2, margin=0.01
    )
    assert power.queries_for_equivalence(0.01, 0.2, margin=0.01) is None
    assert power.queries_for_equivalence(0.0, 0.0, margin=0.01) == 2


def test_no_number_of_queries_helps():
    assert power.queries_for_difference(0, 0.2) is None
    assert power.queries_for_difference(1e-9, 0.2) is None
    assert power.queries_for_equivalence(0, 0.2, margin=0) is None
    assert math.isnan(power.detectable_difference(0.2, 1))


def test_whichever_verdict_needs_fewer_queries():
    baseline = np.zeros(40)
    found = compare(baseline, drawn(40, 4, ties=0, mean=0.03), margin=0.05)
    assert found.verdict == "cannot tell"
    spread = float(drawn(40, 4, ties=0, mean=0.03).std(ddof=1))
    ways = [
        power.queries_for_difference(found.difference, spread),
        power.queries_for_equivalence(found.difference, spread, margin=0.05),
    ]
    assert found.queries_needed == min(queries for queries in ways if queries is not None)
    with_zero = compare(baseline, np.tile([0.1, -0.1], 20), margin=0)
    assert (with_zero.verdict, with_zero.queries_needed) == ("cannot tell", None)


def test_a_larger_family_needs_more_queries():
    baseline, system = np.zeros(40), drawn(40, 4, ties=0, mean=0.03)
    alone = compare(baseline, system, margin=0)
    family = compare_family({str(number): system for number in range(8)}, baseline, margin=0)
    spread = float(system.std(ddof=1))
    expected = power.queries_for_difference(alone.difference, spread, alpha=0.05 / 8)
    assert family["0"].queries_needed == expected > alone.queries_needed


# In words

FOUND = compare(np.zeros(150), drawn(150))


@pytest.mark.parametrize(
    ("changes", "names", "text"),
    [
        (
            {"verdict": "better", "difference": 0.061, "low": 0.034, "high": 0.088, "p_adjusted": 0.0004},
            (),
            "better: +0.061 nDCG@10 (0.034 to 0.088), p = 0.0004, 150 queries",
        ),
        (
            {"verdict": "worse", "difference": -0.061, "low": -0.088, "high": -0.034, "p_adjusted": 0.00001},
            ("maxsim", "vectors"),
            "worse than vectors: maxsim -0.061 nDCG@10 (-0.088 to -0.034), p < 0.0001, 150 queries",
        ),
        (
            {"verdict": "equivalent", "difference": -0.0001, "low": -0.004, "high": 0.004, "p_adjusted": 1.0},
            ("int8", "fp32"),
            "equivalent to fp32 within ±0.01: int8 0.000 nDCG@10 (-0.004 to 0.004), p = 1, 150 queries",
        ),
        (
            {
                "verdict": "cannot tell", "difference": 0.012, "low": -0.006, "high": 0.031,
                "p_adjusted": 0.1834, "queries_needed": 392,
            },
            ("maxsim", "vectors"),
            "cannot tell maxsim from vectors: +0.012 nDCG@10 (-0.006 to 0.031), p = 0.18, 150 queries; "
            "about 400 queries would be needed",
        ),
    ],
)  # fmt: skip
def test_sentences(changes, names, text):
    found = replace(FOUND, **({"queries_needed": None} | changes))
    assert sentence(found, "nDCG@10", *names) == text


def test_sentences_of_very_few_queries():
    assert sentence(compare([], []), "MRR") == "cannot tell: no query has a value of MRR for both"
    assert sentence(compare([0.1], [0.2]), "MRR") == (
        "cannot tell: +0.100 MRR, p = 1, 1 query, too few for any verdict"
    )


@pytest.mark.parametrize(
    ("queries", "said"), [(7, "7"), (26, "26"), (287, "290"), (391, "400"), (20_001, "21,000")]
)
def test_the_number_of_queries_is_rounded_up_to_what_is_known(queries, said):
    found = replace(FOUND, verdict="cannot tell", queries_needed=queries)
    assert sentence(found, "MRR").endswith(f"about {said} queries would be needed")


# Simulated systems


@pytest.fixture
def simulation(monkeypatch):
    """benchmarks/statistics_check.py; forgotten after the test."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("common", "statistics_check")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield import_module("statistics_check")
    for name in names:
        sys.modules.pop(name, None)


def test_equal_systems_are_rarely_told_apart(simulation):
    """150 trials: three standard errors of 5 % are 5.3 %."""
    shares = simulation.check("nDCG@10", 60, trials=150, resamples=500)
    assert shares.false_positives <= 0.107
    assert shares.wrong_verdicts <= 0.107
    assert shares.coverage >= 0.893
    assert shares.false_equivalence <= 0.107


GRADED = ("smooth", "nDCG@10", "MRR@10", "70 % ties", "one-sided")


@pytest.mark.slow
@pytest.mark.parametrize("queries", [100, 200])  # 50 queries, 70 % ties: 93.2 %, at the edge
@pytest.mark.parametrize("shape", [*GRADED, "hit@10"])
def test_false_positives_and_coverage_over_2000_trials(simulation, shape, queries):
    shares = simulation.check(shape, queries, trials=2_000, resamples=2_000)
    # All-or-nothing differences take few values, so an exact test stays below its level.
    assert (0.035 if shape in GRADED else 0) <= shares.false_positives <= 0.065
    assert shares.wrong_verdicts <= 0.065
    assert 0.93 <= shares.coverage <= 0.97
    assert shares.false_equivalence <= 0.065
