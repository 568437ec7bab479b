"""Agreement of two judges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.evaluation.statistics.kappa import cohens_kappa

PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60)


def test_by_hand() -> None:
    """Cohen's kappa of the usual textbook table: 20 and 15 agree, 5 and 10 do not, of 50."""
    grades = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    found = cohens_kappa(grades)
    assert (found.items, found.agreement, found.kappa) == (50, 0.7, pytest.approx(0.4))
    # Fleiss, Cohen and Everitt: standard error 0.1270 for this table.
    assert (found.high - found.low) / 2 / 1.959964 == pytest.approx(0.1270, abs=5e-4)


def test_one_grade_only_says_nothing() -> None:
    assert math.isnan(cohens_kappa([(1, 1), (1, 1)]).kappa)


@given(PAIRS)
def test_bounds_and_symmetry(grades: list[tuple[int, int]]) -> None:
    found, other = cohens_kappa(grades), cohens_kappa([(b, a) for a, b in grades])
    assert found.agreement == pytest.approx(other.agreement)
    if not math.isnan(found.kappa):
        assert found.kappa == pytest.approx(other.kappa)
        assert found.low == pytest.approx(other.low)
        assert -1 <= found.low <= found.kappa <= found.high <= 1
        assert (found.kappa == pytest.approx(1)) == (found.agreement == 1)


def test_weighted_by_hand() -> None:
    """Squared weights 1, 3/4, 0: a table of three grades, computed from the definition."""
    grades = [(0, 0)] * 4 + [(1, 1)] * 3 + [(2, 2)] * 2 + [(0, 1)] * 2 + [(2, 0)]
    found = cohens_kappa(grades)
    # rows 6 3 3, columns 5 5 2, of 12; disagreement (i - j)^2: seen 2 * 1 + 1 * 4 of 12
    chance = sum(a * b * (i - j) ** 2 for i, a in enumerate((6, 3, 3)) for j, b in enumerate((5, 5, 2)))
    assert found.weighted == pytest.approx(1 - 6 / (chance / 12))
    assert found.agreement == 0.75
    assert found.agreement_low == pytest.approx(0.4281, abs=1e-4), "Clopper and Pearson, 9 of 12"
    near = cohens_kappa([*grades[:-1], (2, 1)])
    assert near.agreement == found.agreement
    assert near.weighted > found.weighted, "one grade apart is less than two"


@given(PAIRS)
def test_as_scikit_learn_has_it(grades: list[tuple[int, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    found = cohens_kappa(grades)
    if not math.isnan(found.kappa):
        columns = list(zip(*grades, strict=True))
        labels = sorted({grade for pair in grades for grade in pair})
        assert found.kappa == pytest.approx(metrics.cohen_kappa_score(*columns, labels=labels))
        if labels[-1] - labels[0] == len(labels) - 1:  # it weighs places, not grades
            theirs = metrics.cohen_kappa_score(*columns, labels=labels, weights="quadratic")
            assert found.weighted == pytest.approx(theirs)


def test_the_standard_error_is_that_of_a_simulation() -> None:
    random = np.random.default_rng(3)
    shares = np.array([0.30, 0.08, 0.02, 0.07, 0.22, 0.06, 0.03, 0.06, 0.16])
    cells = [(i, j) for i in range(3) for j in range(3)]
    drawn = [cohens_kappa([cells[at] for at in random.choice(9, size=200, p=shares)]) for _ in range(400)]
    for name in ("", "weighted_"):
        values = [getattr(one, name.rstrip("_") or "kappa") for one in drawn]
        half = np.mean([(getattr(one, f"{name}high") - getattr(one, f"{name}low")) / 2 for one in drawn])
        assert half / 1.959964 == pytest.approx(np.std(values), rel=0.12)


@given(PAIRS)
def test_two_grades_weigh_the_same(grades: list[tuple[int, int]]) -> None:
    found = cohens_kappa([(min(a, 1), min(b, 1)) for a, b in grades])
    if not math.isnan(found.kappa):
        assert (found.kappa, found.low, found.high) == pytest.approx(
            (found.weighted, found.weighted_low, found.weighted_high)
        )
