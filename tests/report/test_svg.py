"""Scales, ticks and elements of drawings."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.report.svg import Drawing, Scale, tick_label

VALUES = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)


@given(st.lists(VALUES, min_size=1, max_size=20), st.booleans())
def test_a_scale_holds_its_values_and_ticks(values: list[float], log: bool) -> None:
    if log:
        values = [abs(value) + 1e-3 for value in values]
    scale = Scale.around(values, 10, 90, log=log)
    slack = 1e-4 * (scale.high - scale.low)
    assert all(scale.low - slack <= value <= scale.high + slack for value in values)
    places = [scale(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(10 <= place <= 90 for place in places)
    ticks = scale.ticks()
    assert ticks == sorted(set(ticks))
    assert all(scale.low - slack <= tick <= scale.high + slack for tick in ticks)
    assert len(ticks) <= 16


def test_ends_are_round() -> None:
    scale = Scale.around([0.523, 0.596], 0, 100)
    assert (scale.low, scale.high) == pytest.approx((0.52, 0.6))
    assert scale.ticks() == pytest.approx([0.52, 0.54, 0.56, 0.58, 0.6])
    assert Scale.around([3, 1900], 0, 100, log=True).ticks() == [
        *(2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
    ]


def test_downward() -> None:
    assert Scale(0, 1, 100, 0)(0.25) == 75


@pytest.mark.parametrize(("value", "label"), [(0.05, "0.05"), (-0.1, "−0.1"), (1000, "1,000"), (0, "0")])
def test_labels(value: float, label: str) -> None:
    assert tick_label(value) == label


def test_elements_are_escaped_and_have_no_style() -> None:
    drawing = Drawing(20)
    drawing.text(1, 2, "<script>&", anchor="end", dx=3)
    drawing.bar(5, 0, 2, 10, "band", title="</title><b>")
    drawing.mark(50, 5, "fill", 7, title='"quoted"')
    drawing.line(0, 0, 1, 1, "grid")
    markup = str(drawing.markup('a "label"'))
    root = ElementTree.fromstring(markup)
    assert [child.tag for child in root] == ["text", "rect", "svg", "line"]
    assert root[0].text == "<script>&"
    assert root[1].attrib["x"] == "2.00%"
    assert root.attrib["aria-label"] == 'a "label"'
    assert "style" not in markup
