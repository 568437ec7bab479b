"""Agreement of two judges."""

from __future__ import annotations

import math

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
