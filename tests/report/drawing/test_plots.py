"""Kinds of pictures: every point where its numbers are, nothing over another, nothing lost."""

from __future__ import annotations

import pytest
from drawn import marks, texts

from qembed.report.drawing.data import Axis, Point, Row, Series, look
from qembed.report.drawing.plots import columns, key, parts, rows, scatter, steps


def test_points_stand_at_their_numbers() -> None:
    points = [Point(x, y, f"{x}", y - 0.1, y + 0.1) for x, y in ((1, 0.2), (10, 0.5), (100, 0.8))]
    found = marks(str(scatter("", [Series("a", 0, points)], Axis("ms", 1, 100, "log"), Axis("y", 0, 1))))
    assert [mark.words for mark in found] == ["a: 1", "a: 10", "a: 100"]
    (x0, y0), (x1, y1), (x2, y2) = (mark.middle for mark in found)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.3), "a logarithm"
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.3)
    assert y0 > y1, "higher is up"
    for mark in found:
        _, top, _, bottom = mark.boxes[0]
        assert bottom - top == pytest.approx(2 / 3 * (y0 - y1), abs=0.3), "an interval of 0.2"


def test_the_one_to_take_has_a_ring() -> None:
    points = [Point(0, 0.1, "a"), Point(1, 0.2, "b", ring=True)]
    first, second = marks(str(scatter("", [Series("s", 1, points)], Axis("x", 0, 1), Axis("y", 0, 1))))
    assert len(second.boxes) == len(first.boxes) + 1


def test_a_label_without_room_is_left_out() -> None:
    """Two points in one place: the labels would stand on each other, at four places there is room."""
    points = [Point(1, 0.5, str(at), label="100") for at in range(9)]
    picture = str(scatter("", [Series("s", 1, points)], Axis("x", 0, 2), Axis("y", 0, 1)))
    assert 1 <= texts(picture).count("100") <= 4


def test_rows_have_one_scale_and_a_band() -> None:
    lines = [
        Row("first", [Point(-0.1, 0, "worse", -0.15, -0.05)], [("bad", "s")], "words"),
        Row("second", [Point(0.1, 0, "better", 0.05, 0.15), Point(0.0, 0, "same")], [look(1), look(9)]),
    ]
    picture = str(rows("", lines, Axis("difference", -0.2, 0.2, "signed"), band=0.01, zero=True))
    one, two, three = marks(picture)
    assert one.middle[0] + two.middle[0] == pytest.approx(2 * three.middle[0], abs=0.3)
    assert one.middle[1] < two.middle[1] < three.middle[1]
    assert set(one.inks) == {"var(--bad)"}
    assert set(three.inks) == {"var(--s3)"}
    assert picture.count('fill="var(--band)"') == 2, "one per row"
    assert "second" in texts(picture)


def test_parts_are_as_wide_as_their_shares() -> None:
    found = marks(
        str(parts("", [("a", [(0.25, "found", 0), (0.75, "missed", 1)]), ("b", [(1.0, "found", 0)])]))
    )
    widths = [mark.boxes[0][2] - mark.boxes[0][0] for mark in found]
    assert widths[1] == pytest.approx(3 * widths[0], rel=0.01)
    assert widths[2] == pytest.approx(4 * widths[0], rel=0.01)
    assert texts(str(parts("", [("a", [(0.04, "few", 0), (0.96, "many", 1)])]))) == ["a", "96 %"]


@pytest.mark.parametrize("count", [1, 85, 120, 1000])
def test_columns(count: int) -> None:
    """Each column begins at 0, none is lost; of very many, the outer ones can be opened."""
    values = [
        (1 - 2 * at / count, "s1" if 2 * at < count else "s2", f"q{at}", f"q{at}") for at in range(count)
    ]
    picture = str(columns("", values, Axis("change", -1, 1, "signed"), "queries"))
    found = marks(picture)
    assert len(found) == min(count, 120)
    assert [found[0].words, found[-1].words] == ["q0", f"q{count - 1}"]
    assert found[0].href == "#q=q0"
    zero = found[0].boxes[0][3]
    for mark in found:
        assert zero == pytest.approx(mark.boxes[0][3 if mark.inks == ["var(--s1)"] else 1], abs=0.2)
    assert len(picture) < 40_000


def test_no_bin_is_half() -> None:
    said = ["0 to 1", "1 to 2", "2 to 3"]
    found = marks(
        str(steps("", [0, 1, 2, 3], [(0, [0.2, 0.5, 0.3])], Axis("x", 0, 3), Axis("y", 0, 0.5), said))
    )
    widths = [mark.boxes[0][2] - mark.boxes[0][0] for mark in found]
    assert widths == pytest.approx([widths[0]] * 3, abs=0.2)
    assert [mark.words for mark in found] == said


@pytest.mark.parametrize("kind", ["mark", "line", "part", "bar"])
def test_signs_of_a_legend_differ(kind: str) -> None:
    signs = {str(key(at, kind)) for at in range(6)}
    assert len(signs) == 6
    assert all('aria-hidden="true"' in sign for sign in signs)
