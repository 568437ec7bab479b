"""Ticks: round, over the whole axis, whole where things are counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.report.drawing.data import Axis

VALUES = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)
KINDS = st.sampled_from(["whole", "number", "signed", "share"])


@given(st.lists(VALUES, min_size=1, max_size=20), KINDS)
def test_ticks_hold_all_values(values: list[float], kind: str) -> None:
    axis = Axis("", min(values), max(values), kind)  # type: ignore[arg-type]
    ticks = axis.ticks()
    slack = 1e-9 * max(1, *map(abs, values))
    assert ticks[0] <= min(values) + slack
    assert ticks[-1] >= max(values) - slack
    assert ticks == sorted(set(ticks))
    assert 2 <= len(ticks) <= 8
    labels = [label for _, label in axis.labels()]
    assert len(set(labels)) == len(labels)


@given(st.lists(st.floats(0.002, 1e8), min_size=1, max_size=20))
def test_logarithmic_ticks_are_1_2_5(values: list[float]) -> None:
    axis = Axis("", min(values), max(values), "log")
    ticks = axis.ticks()
    assert ticks[0] <= min(values) * (1 + 1e-6)
    assert ticks[-1] >= max(values) * (1 - 1e-6)
    assert {f"{tick:.6e}"[0] for tick in ticks} <= {"1", "2", "5"}
    assert 1 <= len(axis.labels()) <= 12


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_what_is_counted_has_whole_ticks(one: int, other: int) -> None:
    axis = Axis("", min(one, other), max(one, other), "whole")
    assert all(tick == round(tick) for tick in axis.ticks())
    assert not any("." in label for _, label in axis.labels())


@pytest.mark.parametrize(
    ("axis", "labels"),
    [
        (Axis("", 0.523, 0.596), ["0.52", "0.54", "0.56", "0.58", "0.6"]),
        (Axis("", -0.1, 0.1, "signed"), ["−0.1", "−0.05", "0", "+0.05", "+0.1"]),
        (Axis("", 0, 1, "share"), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        (Axis("", 0, 1, "whole"), ["0", "1"]),
        (Axis("", 0, 0, "whole"), ["0", "1"]),
        (Axis("", 150, 250, "log"), ["100", "200", "500"]),
        (Axis("", 3, 1900, "log"), ["10", "100", "1,000"]),
    ],
)
def test_labels(axis: Axis, labels: list[str]) -> None:
    assert [label for _, label in axis.labels()] == labels
