"""The two pictures that stand first: paired differences against 0, and quality against time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from qembed.evaluation.statistics.verdict import Comparison
from qembed.report.asked import depths, turned
from qembed.report.chart import Chart
from qembed.report.drawing.data import Axis, Key, Point, Row, Series
from qembed.report.drawing.plots import key, rows, scatter
from qembed.report.names import is_baseline
from qembed.report.stored import StoredBench, comparison_of
from qembed.report.tables import Cell, Table, cells, numeric
from qembed.report.words import MARKS, TONES, interval, known, milliseconds, number, signed


def bench_forest(bench: StoredBench) -> Chart | None:
    """Every system against the first row, and new against existing embeddings. None for one system."""
    first = bench.labels[bench.names[0]]
    found = []
    for system in bench.systems[1:]:
        name, comparison = system["name"], comparison_of(system["comparisons"][bench.primary])
        if is_baseline(system):
            found.append((f"{first} against existing", turned(comparison)))
        else:
            found.append((bench.labels[name], comparison))
    return forest(f"Difference in {bench.primary} against {first}", found) if found else None


def forest(title: str, found: Sequence[tuple[str, Comparison]]) -> Chart:
    """A forest plot of comparisons.

    Args:
        title: What it shows.
        found: Label and comparison per line.
    """
    margin = found[0][1].margin
    lines, table = [], []
    for label, one in found:
        span = f" ({interval(one.low, one.high, sign=True)})" if known(one.low) else ""
        words = f"{signed(one.difference)}{span}"
        low, high = (one.low, one.high) if known(one.low) else (None, None)
        said = f"{one.verdict}, {words}"
        verdict = Cell(one.verdict, mark=MARKS[one.verdict], tone=TONES[one.verdict])
        lines.append(
            Row(
                label,
                [Point(one.difference, 0, said, low, high)],
                [(TONES[one.verdict], "s")],
                f"{MARKS[one.verdict]} {one.verdict}  {words}",
            )
        )
        table.append(
            [
                Cell(label),
                Cell(signed(one.difference), one.difference),
                Cell(interval(one.low, one.high, sign=True), one.low),
                verdict,
            ]
        )
    ends = [end for _, one in found for end in (one.low, one.high, one.difference) if known(end)]
    across = Axis("difference", min(-margin, *ends), max(margin, *ends), "signed")
    return Chart(
        "forest",
        title,
        "Line: 95 % interval, corrected for several comparisons. "
        f"Shaded: up to {margin:g}, too small to matter.",
        rows(title, lines, across, band=margin, zero=True),
        table=Table(title, ["System", ">difference", ">95 % interval", "Verdict"], table),
    )


def quality_and_time(bench: StoredBench) -> Chart | None:
    """Every system and every rerank depth by median time and measure; None where nothing was timed."""
    series = list(_series(bench))
    if not series:
        return None
    points = [point for one in series for point in one.points]
    ends = [end for point in points for end in (point.y, point.low, point.high) if end is not None]
    times = [point.x for point in points]
    best = max(points, key=lambda point: point.y)
    words = f"The highest, {number(best.y)}, takes {milliseconds(best.x)} ms per query."
    if any(point.label for point in points):
        words += " A line joins the depths of one reranker; the number is how many results it reranks."
    head = ["System", "Depth", ">ms per query", f">{bench.primary}", ">95 % interval"]
    table = [
        [*cells(one.name, point.label or "–"), numeric(point.x, 1), numeric(point.y), Cell(_span(point))]
        for one in series
        for point in one.points
    ]
    return Chart(
        "pareto",
        "Quality against time",
        words,
        scatter(
            "Quality against time",
            series,
            Axis("milliseconds per query, logarithmic", min(times), max(times), "log"),
            Axis(bench.primary, min(ends), max(ends)),
        ),
        [Key(key(one.at), one.name) for one in series],
        Table("Quality and time", head, table, True),
    )


def _series(bench: StoredBench) -> Iterator[Series]:
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
            _point(
                base + (costs[point["depth"]] or 0.0), point["quality"], str(point["depth"]), bench.primary
            )
            for point in bench.document["frontiers"].get(name, {"points": []})["points"]
            if costs.get(point["depth"]) is not None
        ]
        alone = _point(times[name], system["estimates"][bench.primary], "", bench.primary)
        yield Series(bench.labels[name], at, found or [alone])


def _point(time: float, estimate: dict[str, Any], label: str, measure: str) -> Point:
    time = max(time, 0.01)
    low, high = estimate["low"], estimate["high"]
    span = f" ({interval(low, high)})" if known(low) else ""
    depth = f"{label} results, " if label else ""
    said = f"{depth}{measure} {number(estimate['mean'])}{span}, {milliseconds(time)} ms"
    return Point(time, estimate["mean"], said, low, high, label)


def _span(point: Point) -> str:
    return interval(point.low, point.high) if known(point.low) else "no interval"
