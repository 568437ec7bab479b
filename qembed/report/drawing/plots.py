"""The kinds of pictures that a page has: points, rows of points, parts of a whole, columns, steps. Pure.

Every point, bar and step has its numbers in words, which are read aloud and shown on hover and focus.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Literal

from markupsafe import Markup

from qembed.report.drawing.data import DASHES, SHAPES, Axis, Point, Row, Series
from qembed.report.drawing.picture import WIDTH, Picture, ink, styled
from qembed.report.words import percent

_NAMED_COLUMNS = 120
"""So many columns have names and links of their own; in between them they are too narrow to be hit."""


@styled
def scatter(label: str, series: Sequence[Series], x: Axis, y: Axis, *, names: Sequence[str] = ()) -> Markup:
    """Points with intervals, joined within a series.

    Args:
        label: Read aloud.
        series: What is drawn.
        x: Across.
        y: Up.
        names: Below the first and the last place across, instead of numbers.
    """
    picture = Picture(300, left=y.room())
    _axes(picture, x, y, names=names)
    taken = []
    for index, one in enumerate(series):
        colour, dx = ink(f"s{one.at % 6}"), 3 * (index - (len(series) - 1) / 2)
        shifted = _shifted(picture, dx if len(series) > 1 else 0)
        found = [(point.x, point.y) for point in one.points]
        picture.axes.plot(
            *zip(*found, strict=True),
            color=colour,
            linestyle=DASHES[one.at % 6],
            linewidth=1.5,
            transform=shifted,
        )
        for point in one.points:
            drawn = _whisker(picture, (point.x, point.x), (point.low, point.high), colour, shifted)
            if point.ring:
                drawn += picture.axes.plot(
                    point.x, point.y, "o", ms=17, mfc="none", mec=colour, transform=shifted
                )
            drawn += picture.axes.plot(
                point.x, point.y, SHAPES[one.at % 7], color=colour, ms=8, mec=ink("ground"), transform=shifted
            )
            picture.say(f"{one.name}: {point.said}", *drawn)
            at, up = picture.place(point.x, point.y)
            taken.append((at + dx - 6, up - 6, at + dx + 6, up + 6))
    for point in (point for one in series for point in one.points if point.label):
        _beside(picture, point, taken)
    return picture.markup(label)


@styled
def rows(label: str, found: Sequence[Row], x: Axis, *, band: float = 0, zero: bool = False) -> Markup:
    """A line per row with its points and intervals, all on one scale.

    Args:
        label: Read aloud.
        found: What is drawn.
        x: Across.
        band: Values up to this far from 0 are shaded.
        zero: Draw a line at 0.
    """
    heads = [18 + 15 * bool(row.words) for row in found]
    steps = [head + 14 * max(len(row.points), 1) + 8 for head, row in zip(heads, found, strict=True)]
    picture = Picture(sum(steps) + 42, left=20, right=24, top=0)
    _axes(picture, x, Axis("", 0, sum(steps)), plain=True)
    axes, height = picture.axes, sum(steps)
    axes.set_ylim(height, 0)
    top = 0.0
    for row, head, step in zip(found, heads, steps, strict=True):
        picture.words(0, top + 12, row.name, "text")
        if row.words:
            picture.words(0, top + 27, row.words, row.looks[0][0])
        inner = top + head + 2, top + step - 6
        if band:
            axes.fill([-band, band, band, -band], [inner[0], inner[0], inner[1], inner[1]], color=ink("band"))
        if zero:
            axes.plot([0, 0], inner, color=ink("text"), linewidth=1)
        for at, (point, (colour, shape)) in enumerate(zip(row.points, row.looks, strict=True)):
            place = top + head + 8 + 14 * at
            drawn = _whisker(picture, (point.low, point.high), (place, place), ink(colour), axes.transData)
            drawn += axes.plot(point.x, place, shape, color=ink(colour), ms=8, mec=ink("ground"))
            picture.say(f"{row.name}: {point.said}", *drawn)
        top += step
    return picture.markup(label)


@styled
def parts(label: str, found: Sequence[tuple[str, Sequence[tuple[float, str, int]]]]) -> Markup:
    """A bar per row whose parts are shares of 1: share, words and number of the colour."""
    picture = Picture(54 * len(found), left=4, right=4, top=0, bottom=0)
    axes = picture.axes
    axes.set(xlim=(0, 1), ylim=(54 * len(found), 0), xticks=[], yticks=[])
    for at, (name, shares) in enumerate(found):
        picture.words(0, 54 * at + 12, name, "text")
        left = 0.0
        for share, said, colour in shares:
            bar = axes.barh(
                54 * at + 26,
                share,
                16,
                left=left,
                color=ink(f"t{colour}"),
                edgecolor=ink("ground"),
                linewidth=1,
            )
            picture.say(f"{name}: {said}", *bar)
            if share >= 0.09:
                picture.words(
                    4 + (WIDTH - 8) * (left + share / 2), 54 * at + 47, percent(share, 0), anchor="center"
                )
            left += share
    return picture.markup(label)


@styled
def columns(
    label: str,
    values: Sequence[tuple[float, str, str, str | None]],
    y: Axis,
    title: str,
    *,
    names: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Bars side by side: value, colour, words and the query that a click opens.

    Args:
        label: Read aloud.
        values: From left to right.
        y: Up.
        title: What stands across.
        names: Place between the columns, counted in columns, and what stands below it.
    """
    picture = Picture(250, left=y.room())
    axes = picture.axes
    _axes(picture, Axis(title, 0, len(values)), y, places=names)
    named = list(range(len(values)))
    if len(values) > _NAMED_COLUMNS:
        ends = _NAMED_COLUMNS // 2
        named = named[:ends] + named[-ends:]
        for colour in dict.fromkeys(colour for _, colour, *_ in values):
            places = [at for at, (_, mine, *_) in enumerate(values) if mine == colour]
            whole = range(places[0], places[-1] + 2)
            one = [values[at][0] if values[at][1] == colour else 0 for at in whole[:-1]]
            axes.stairs(one, whole, fill=True, color=ink(colour), linewidth=0)
    for at in named:
        value, colour, said, query = values[at]
        bar = axes.bar(at + 0.5, value, 0.92 if len(values) < 60 else 1, color=ink(colour), linewidth=0)
        picture.say(said, *bar, query=query)
    axes.plot([0, len(values)], [0, 0], color=ink("quiet"), linewidth=1)
    return picture.markup(label)


@styled
def steps(
    label: str,
    edges: Sequence[float],
    series: Sequence[tuple[int, Sequence[float]]],
    x: Axis,
    y: Axis,
    said: Sequence[str],
) -> Markup:
    """Values per bin as steps, every bin whole.

    Args:
        label: Read aloud.
        edges: Edges of the bins, one more than there are bins.
        series: Number of colour and dashes, and a value per bin.
        x: Across; it begins and ends with the bins.
        y: Up.
        said: Per bin, its numbers in words.
    """
    picture = Picture(250, left=y.room())
    _axes(picture, x, y)
    picture.axes.set_xlim(edges[0], edges[-1])
    for at, values in series:
        picture.axes.stairs(
            values, edges[: len(values) + 1], color=ink(f"s{at % 6}"), linestyle=DASHES[at % 6], linewidth=1.8
        )
    low, high = picture.axes.get_ylim()
    for (left, right), words in zip(pairwise(edges), said, strict=True):
        bin_ = picture.axes.fill([left, right, right, left], [low, low, high, high], color=ink("s0"), alpha=0)
        picture.say(words, *bin_)
    return picture.markup(label)


@cache
@styled
def key(at: int, kind: Literal["mark", "line", "part", "bar"] = "mark", colour: str = "") -> Markup:
    """The sign of a series as it is drawn in its picture."""
    picture = Picture(20, width=32, left=0, right=0, top=0, bottom=0)
    axes = picture.axes
    axes.set(xlim=(0, 32), ylim=(20, 0), xticks=[], yticks=[])
    if kind in ("mark", "line"):
        axes.plot([0, 32], [10, 10], color=ink(f"s{at % 6}"), linestyle=DASHES[at % 6], linewidth=2)
    if kind == "mark":
        axes.plot(16, 10, SHAPES[at % 7], color=ink(f"s{at % 6}"), ms=9, mec=ink("ground"))
    if kind in ("part", "bar"):
        axes.barh(10, 16, 14, left=8, color=ink(colour or f"t{at}"), linewidth=0)
    return picture.markup("")


def _axes(
    picture: Picture,
    x: Axis,
    y: Axis,
    *,
    names: Sequence[str] = (),
    places: Sequence[tuple[float, str]] | None = None,
    plain: bool = False,
) -> None:
    """Limits, ticks, grid and titles; ``plain`` has no vertical ones."""
    axes = picture.axes
    across = x.ticks()
    if x.kind == "log":
        axes.set_xscale("log")
    if places is not None or names:
        axes.set_xlim(x.low, x.high)
        shown = places if places is not None else [(x.low, names[0]), (x.high, names[-1])]
        axes.set_xticks([at for at, _ in shown], [words for _, words in shown])
        if names:  # inward, so that they end with the axis
            first, last = axes.get_xticklabels()
            first.set_horizontalalignment("left")
            last.set_horizontalalignment("right")
    else:
        axes.set_xlim(across[0], across[-1])
        axes.set_xticks(*zip(*x.labels(), strict=True))
    axes.minorticks_off()
    if plain:
        axes.set_yticks([])
        axes.grid(axis="x", color=ink("line"), linewidth=1)
    else:
        up = y.ticks()
        axes.set_ylim(up[0], up[-1])
        axes.set_yticks(*zip(*y.labels(), strict=True))
        axes.grid(axis="both" if places is None else "y", color=ink("line"), linewidth=1)
        picture.words(0, 12, y.title)
    axes.set_axisbelow(True)
    picture.words(WIDTH - 4, picture.height - 4, x.title, anchor="right")


def _whisker(
    picture: Picture, x: tuple[Any, Any], y: tuple[Any, Any], colour: str, transform: Any
) -> list[Any]:
    """The interval of a point; nothing where it has none."""
    if None in (*x, *y):
        return []
    return picture.axes.plot(x, y, color=colour, linewidth=2, transform=transform)


def _shifted(picture: Picture, dx: float) -> Any:
    from matplotlib.transforms import ScaledTranslation

    return picture.axes.transData + ScaledTranslation(dx / 72, 0, picture.axes.figure.dpi_scale_trans)


def _beside(picture: Picture, point: Point, taken: list[tuple[float, float, float, float]]) -> None:
    """The label where nothing else stands; nowhere if there is no such place, for the words have it too."""
    x, y = picture.place(point.x, point.y)
    left, _ = picture.place(picture.axes.get_xlim()[0], point.y)
    wide = 8.0 * len(point.label)
    for dx, dy, anchor in ((7, -7, "left"), (7, 16, "left"), (-7, -7, "right"), (-7, 16, "right")):
        start = x + dx - wide * (anchor == "right")
        box = start, y + dy - 10, start + wide, y + dy + 2
        inside = box[0] > left and box[2] < WIDTH and box[1] > 24
        if inside and not any(_meet(box, other) for other in taken):
            picture.words(x + dx, y + dy, point.label, "text", anchor=anchor)
            taken.append(box)
            return


def _meet(one: Iterable[float], other: Iterable[float]) -> bool:
    (a, b, c, d), (e, f, g, h) = one, other
    return a < g and e < c and b < h and f < d
