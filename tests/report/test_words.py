"""Numbers as a reader sees them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.report import words


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.38, "0.380"),
        (-0.0371, "−0.037"),
        (-0.0001, "0.000"),
        (1234.5, "1,234.500"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_number(value: float | None, shown: str) -> None:
    assert words.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0611, "+0.061"), (-0.0611, "−0.061"), (0.0, "0.000"), (0.0001, "0.000"), (None, "–")],
)
def test_signed(value: float | None, shown: str) -> None:
    assert words.signed(value) == shown


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9))
def test_what_is_shown_is_the_number(value: float) -> None:
    plain = words.number(value).replace(words.MINUS, "-").replace(",", "")
    assert float(plain) == pytest.approx(value, abs=5.1e-4)
    assert words.signed(value).lstrip("+") == words.number(value)


def test_intervals() -> None:
    assert words.interval(-0.01, 0.02, sign=True) == "−0.010 to +0.020"
    assert words.interval(0.325, 0.436) == "0.325 to 0.436"
    assert words.interval(None, 0.1) == words.interval(math.nan, 0.1) == "–"


def test_units() -> None:
    assert words.milliseconds(35.94) == "35.9"
    assert words.milliseconds(288.1) == "288"
    assert words.percent(0.6938, 0) == "69 %"
    assert words.p_value(0.0004) == "< 0.001"
    assert words.p_value(0.0402) == "0.040"
    assert words.duration(59.94) == "59.9 s"
    assert words.duration(605) == "10 min 05 s"
    assert words.duration(7260) == "2 h 01 min"
    assert words.file_size(1_113_502) == "1.11 MB"
    assert words.plural(1, "query", "queries") == "1 query"
    assert words.plural(1200, "query", "queries") == "1,200 queries"
    assert words.listed(["a", "b", "c"]) == "a, b and c"


def test_what_is_less_than_all_is_never_100_percent() -> None:
    assert words.percent(0.9996, 0) == "99 %"
    assert words.percent(0.9999) == "99.9 %"
    assert words.percent(1.0, 0) == "100 %"


@pytest.mark.parametrize(
    ("value", "cell"),
    [("=1+1", "'=1+1"), ("@a", "'@a"), ("-x", "'-x"), ("a=b", "a=b"), (-0.5, -0.5), (None, None)],
)
def test_a_formula_is_a_text(value: Any, cell: Any) -> None:
    assert words.no_formula(value) == cell
