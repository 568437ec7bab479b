"""The paired randomisation test: by hand and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from qembed.evaluation.statistics.compare import compare
from qembed.evaluation.statistics.randomisation import sign_flip_p


def drawn(queries, seed=0, ties=0.5, mean=0.05):
    """Differences of which a share is 0."""
    generator = np.random.default_rng(seed)
    return np.where(generator.random(queries) < ties, 0, generator.normal(mean, 0.2, queries))


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


def test_thousands_of_queries_that_differ_do_not_overflow():
    """2.0 ** 1024 is more than a float64 holds."""
    differences = drawn(3_000, ties=0, mean=0.001)[:, None]
    assert 0 < sign_flip_p(differences, resamples=200, seed=0)[0] <= 1


def test_groups_change_sides_as_a_whole():
    """Four groups of three queries that all gain: 2 of 2^4 sign patterns are as extreme, not 2 of 2^12."""
    found = compare(np.zeros(12), np.full(12, 0.25), groups=[at // 3 for at in range(12)])
    assert found.p_randomisation == 2 / 2**4
    assert compare(np.zeros(12), np.full(12, 0.25)).p_randomisation == 2 / 2**12
    assert math.isclose(found.difference, 0.25)
