"""The two pictures that stand first: paired differences against 0, and quality against time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from qembed.report.asked import depths, turned
from qembed.report.names import is_baseline
from qembed.report.stored import StoredBench, comparison_of
from qembed.report.svg import Drawing, Scale, tick_label
from qembed.report.tables import Cell, Table, cells, numeric
from qembed.report.words import MARKS, TONES, interval, known, milliseconds, number, signed

_ROW, _AXIS, _HEIGHT = 28, 22, 300


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of a forest plot."""

    label: str
    picture: Markup
    words: str
    verdict: str

    @property
    def tone(self) -> str:
        """Class of the verdict's colour."""
        return TONES[self.verdict]

    @property
    def mark(self) -> str:
        """The verdict's sign."""
        return MARKS[self.verdict]


@dataclass(frozen=True, slots=True)
class Forest:
    """A forest plot: a table with a drawing per line, all of one scale.

    Attributes:
        caption: What it shows.
        lines: One per comparison.
        axis: Below the drawings.
        margin: Differences in the shaded band do not matter.
    """

    caption: str
    lines: tuple[Difference, ...]
    axis: Markup
    margin: float


def bench_forest(bench: StoredBench) -> Forest | None:
    """Every system against the first row, and new against existing embeddings. None for one system."""
    found = [
        (bench.labels[system["name"]], comparison_of(system["comparisons"][bench.primary]))
        for system in bench.systems[1:]
    ]
    first = bench.labels[bench.names[0]]
    existing = {bench.labels[system["name"]] for system in bench.systems if is_baseline(system)}
    found = [
        (f"{first} against existing", turned(comparison)) if label in existing else (label, comparison)
        for label, comparison in found
    ]
    return forest(f"Difference in {bench.primary} against {first}", found) if found else None


def forest(caption: str, found: list[tuple[str, Any]]) -> Forest:
    """A forest plot of comparisons.

    Args:
        caption: What it shows.
        found: Label and comparison per line.
    """
    margin = found[0][1].margin
    ends = [end for _, one in found for end in (one.low, one.high, one.difference) if known(end)]
    scale = Scale.around([0.0, margin, -margin, *ends], 6, 94)
    lines = []
    for label, one in found:
        span = f" ({interval(one.low, one.high, sign=True)})" if known(one.low) else ""
        lines.append(Difference(label, _one(one, scale, margin), signed(one.difference) + span, one.verdict))
    axis = Drawing(_AXIS)
    for tick in scale.ticks():
        axis.text(scale(tick), 14, ("+" if tick > 0 else "") + tick_label(tick), anchor="middle")
    return Forest(caption, tuple(lines), axis.markup(""), margin)


def _one(found: Any, scale: Scale, margin: float) -> Markup:
    drawing = Drawing(_ROW)
    middle, tone = _ROW / 2, TONES[found.verdict]
    drawing.bar(scale(-margin), 0, scale(margin), _ROW, "band")
    drawing.line(scale(0), 0, scale(0), _ROW, "zero")
    if known(found.low):
        drawing.line(scale(found.low), middle, scale(found.high), middle, f"whisker {tone}")
    drawing.mark(scale(found.difference), middle, f"fill {tone}", 3)
    return drawing.markup("")


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend."""

    picture: Markup
    label: str


@dataclass(frozen=True, slots=True)
class Pareto:
    """Quality against time."""

    picture: Markup
    keys: tuple[Key, ...]
    words: str
    table: Table


def quality_and_time(bench: StoredBench) -> Pareto | None:
    """Every system and every rerank depth by median time and measure; None where nothing was timed."""
    series = list(_series(bench))
    if not series:
        return None
    points = [point for _, _, found in series for point in found]
    x = Scale.around([point.x for point in points], 9, 95, log=True)
    ends = [end for point in points for end in (point.y, *point.span)]
    y = Scale.around(ends, _HEIGHT - 30, 24)
    drawing = Drawing(_HEIGHT + 16)
    for tick in y.ticks():
        drawing.line(9, y(tick), 97, y(tick), "grid")
        drawing.text(8, y(tick) + 4, tick_label(tick), anchor="end")
    for tick in x.ticks():
        drawing.line(x(tick), 24, x(tick), _HEIGHT - 30, "grid")
        drawing.text(x(tick), _HEIGHT - 12, tick_label(tick), anchor="middle")
    drawing.text(0, 12, bench.primary)
    drawing.text(97, _HEIGHT + 6, "milliseconds per query, logarithmic", anchor="end")
    for label, at, found in series:
        for before, after in pairwise(found):
            drawing.line(x(before.x), y(before.y), x(after.x), y(after.y), f"join s{at % 6}")
        for point in found:
            for low, high in pairwise(point.span):
                drawing.line(x(point.x), y(low), x(point.x), y(high), f"whisker s{at % 6}")
            drawing.mark(x(point.x), y(point.y), f"fill s{at % 6}", at, f"{label}{point.said(bench.primary)}")
            drawing.text(x(point.x), y(point.y) - 8, point.label, "depth", dx=7)
    keys = [Key(_key(at), label) for label, at, _ in series]
    best = max(points, key=lambda point: point.y)
    words = f"The highest, {number(best.y)}, takes {milliseconds(best.x)} ms per query."
    if any(point.label for point in points):
        words += " A line joins the depths of one reranker; the number is how many results it reranks."
    head = ["System", "Depth", ">ms per query", f">{bench.primary}", ">95 % interval"]
    rows = [
        [*cells(label, point.label or "–"), numeric(point.x, 1), numeric(point.y), Cell(_span(point))]
        for label, _, found in series
        for point in found
    ]
    table = Table("Quality and time", head, rows, True)
    return Pareto(drawing.markup("Quality against time; the numbers are below"), tuple(keys), words, table)


@dataclass(frozen=True, slots=True)
class _Point:
    x: float
    y: float
    span: tuple[float, ...]
    label: str

    def said(self, measure: str) -> str:
        depth = f", {self.label} results" if self.label else ""
        return f"{depth}: {measure} {number(self.y)} ({_span(self)}), {milliseconds(self.x)} ms"


def _span(point: _Point) -> str:
    return interval(*point.span) if point.span else "no interval"


def _series(bench: StoredBench) -> Iterator[tuple[str, int, list[_Point]]]:
    times = {
        system["name"]: system["latency_ms"]["total"]["p50"]
        for system in bench.systems
        if system["latency_ms"]["total"]
    }
    for at, system in enumerate(bench.systems):
        name = system["name"]
        if name not in times or system["estimates"][bench.primary]["mean"] is None:
            continue
        base = times.get(name.rpartition(" > ")[0], 0.0)
        costs = {depth.depth: depth.milliseconds for depth in depths(bench, name)}
        found = [
            _point(base + (costs[point["depth"]] or 0.0), point["quality"], str(point["depth"]))
            for point in bench.document["frontiers"].get(name, {"points": []})["points"]
            if costs.get(point["depth"]) is not None
        ]
        yield bench.labels[name], at, found or [_point(times[name], system["estimates"][bench.primary], "")]


def _point(time: float, estimate: dict[str, Any], label: str) -> _Point:
    span = (estimate["low"], estimate["high"]) if known(estimate["low"]) else ()
    return _Point(max(time, 0.01), estimate["mean"], span, label)


def _key(at: int) -> Markup:
    drawing = Drawing(16)
    drawing.line(0, 8, 100, 8, f"join s{at % 6}")
    drawing.mark(50, 8, f"fill s{at % 6}", at)
    return drawing.markup("")
