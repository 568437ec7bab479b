"""The charts of a bench, each with the same in words and the table behind it.

Nothing is measured here: what is stored is arranged, binned and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qembed.evaluation.diagnose.frontier import advice
from qembed.evaluation.diagnose.waterfall import STAGES
from qembed.report.chart import Chart, system_keys
from qembed.report.distributions import length_charts, score_charts
from qembed.report.drawing.data import Axis, Key, Point, Series
from qembed.report.drawing.plots import columns, key, parts, scatter
from qembed.report.stored import StoredBench, comparison_of
from qembed.report.subdirectories import subdirectory_chart
from qembed.report.tables import Cell, Table, cells, counted, numeric, record_words
from qembed.report.words import NONE, interval, number, percent, signed

STAGE_WORDS = {
    "found": "found among the first results",
    "cut": "missed, and its text was truncated when it was embedded",
    "missed": "not among the candidates",
    "index": "lost by the approximate index",
    "depth": "beyond the rerank depth",
    "demoted": "pushed out by the reranker",
    "not lifted": "seen by the reranker and not lifted",
    "below": "a candidate, ranked too low",
}

_MOST_LETTERS = 60
"""Beginning of a query that the name of its bar has."""


def bench_charts(bench: StoredBench) -> list[Chart]:
    """All charts that the stored bench has data for, in the order of the page."""
    made = [
        _quality_and_depth(bench),
        _waterfall(bench),
        *_differences(bench),
        *score_charts(bench),
    ]
    made += [*length_charts(bench), subdirectory_chart(bench)]
    return [chart for chart in made if chart is not None]


def _quality_and_depth(bench: StoredBench) -> Chart | None:
    frontiers = bench.document["frontiers"]
    if not frontiers:
        return None
    series = [
        Series(bench.labels[name], bench.names.index(name), [*_depths(found, bench.primary)])
        for name, found in frontiers.items()
    ]
    first = next(iter(frontiers.values()))["points"]
    ceiling = [
        Point(point["depth"], point["ceiling"], f"depth {point['depth']}, {number(point['ceiling'])}")
        for point in first
    ]
    series.append(Series("best order of the same candidates", 0, ceiling))
    ends = [end for one in series for point in one.points for end in (point.y, point.low, point.high)]
    reached = [end for end in ends if end is not None]
    return Chart(
        "depths",
        "Quality against rerank depth",
        " ".join(_depth_words(bench)),
        scatter(
            "Quality against rerank depth",
            series,
            Axis("candidates reranked", 0, max(point["depth"] for point in first), "whole"),
            Axis(bench.primary, min(reached), max(reached)),
        ),
        [*system_keys(bench, frontiers), Key(key(0), "best order of the same candidates")],
        _depth_table(bench),
    )


def _depths(found: dict[str, Any], measure: str) -> Iterator[Point]:
    for point in found["points"]:
        quality, depth = point["quality"], point["depth"]
        span = interval(quality["low"], quality["high"])
        said = f"depth {depth}, {measure} {number(quality['mean'])} ({span})"
        ring = depth == found["chosen"]
        yield Point(
            depth, quality["mean"], said + ", chosen" * ring, quality["low"], quality["high"], ring=ring
        )


def _depth_words(bench: StoredBench) -> Iterator[str]:
    for name, found in bench.document["frontiers"].items():
        best = next(point for point in found["points"] if point["depth"] == found["best"])
        yield (
            f"{bench.labels[name]} is highest at depth {found['best']} ({number(best['quality']['mean'])}). "
            + advice(
                best=found["best"],
                chosen=found["chosen"],
                too_shallow=found["too_shallow"],
                falls_after=found["falls_after"],
            )
        )
        if found["chosen"] is not None:
            yield "A ring marks that depth."


def _depth_table(bench: StoredBench) -> Table:
    rows = []
    for name, found in bench.document["frontiers"].items():
        for point in found["points"]:
            quality, gain = point["quality"], point["gain"]
            rows.append(
                [
                    Cell(bench.labels[name]),
                    counted(point["depth"]),
                    numeric(quality["mean"]),
                    Cell(interval(quality["low"], quality["high"])),
                    Cell(signed(gain["difference"]), gain["difference"]) if gain else Cell(NONE, 0),
                    Cell(interval(gain["low"], gain["high"], sign=True) if gain else NONE),
                    numeric(point["ceiling"]),
                    Cell("chosen" if point["depth"] == found["chosen"] else ""),
                ]
            )
    head = ["System", ">Depth", f">{bench.primary}", ">95 % interval", ">gain", ">95 % interval of the gain"]
    note = (
        "Gain: against no reranking; its interval is corrected over the depths. On the first screen, the "
        "gain of the deepest has the interval of its system, which is corrected over the systems."
    )
    return Table("Quality by rerank depth", [*head, ">best order", "Choice"], rows, note=note)


def _waterfall(bench: StoredBench) -> Chart | None:
    found = bench.document["waterfalls"]
    if not found:
        return None
    order = ["found", *(stage for stage in STAGES if stage != "found")]
    stages = [stage for stage in order if any(fall["shares"].get(stage, 0) > 0 for fall in found.values())]
    cutoff = next(iter(found.values()))["k"]
    title = f"Where relevant {bench.document['eval_set']['level']}s were lost (recall@{cutoff})"
    rows = [
        [
            Cell(bench.labels[name]),
            *(Cell(percent(fall["shares"].get(stage, 0)), fall["shares"].get(stage, 0)) for stage in stages),
        ]
        for name, fall in found.items()
    ]
    words, first = [], next(iter(found))
    for name, fall in found.items():
        lost = {stage: share for stage, share in fall["shares"].items() if stage != "found" and share > 0}
        worst = max(lost, key=lambda stage: lost[stage], default=None)
        more = f"; most others: {STAGE_WORDS[worst]} ({percent(lost[worst], 0)})" if worst else ""
        words.append(
            f"{bench.labels[name]}: {percent(fall['shares']['found'], 0)} found"
            f"{more if name == first else ''}."
        )
    head = ["System", *(f">{stage}" for stage in stages)]
    shares = [
        (bench.labels[name], [(fall["shares"].get(stage, 0), stage) for stage in stages])
        for name, fall in found.items()
    ]
    return Chart(
        "waterfall",
        title,
        " ".join(words),
        parts(
            title,
            [
                (
                    name,
                    [
                        (share, f"{percent(share)} {STAGE_WORDS[stage]}", order.index(stage))
                        for share, stage in own
                        if share
                    ],
                )
                for name, own in shares
            ],
        ),
        [Key(key(order.index(stage), "part"), STAGE_WORDS[stage]) for stage in stages],
        Table("Share of what is relevant, by where it ended up", head, rows),
    )


def _differences(bench: StoredBench) -> Iterator[Chart]:
    first, *others = bench.names
    base = bench.values.get(first, {})
    changes: dict[str, list[tuple[str, float]]] = {}
    for name in others:
        pairs = []
        for query, values in bench.values.get(name, {}).items():
            new, old = values[bench.primary], base.get(query, {}).get(bench.primary)
            if new is not None and old is not None:
                pairs.append((query, new - old))
        changes[name] = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
    systems = {system["name"]: system for system in bench.systems}
    texts = {line["query_id"]: line["text"] for line in bench.queries}
    most = max((abs(value) for pairs in changes.values() for _, value in pairs), default=0.0)
    for at, (name, pairs) in enumerate(changes.items(), start=1):
        if not pairs:
            continue
        found = comparison_of(systems[name]["comparisons"][bench.primary])
        title = f"{bench.labels[name]} against {bench.labels[first]}, query by query"
        bars = [
            (
                value,
                "s1" if value > 0 else "s2",
                f"{signed(value)}, {query}: {texts.get(query, '')[:_MOST_LETTERS]}",
                query,
            )
            for query, value in pairs
        ]
        yield Chart(
            f"difference-{at}",
            title,
            f"{record_words(found)}. "
            f"Largest gain {signed(pairs[0][1])}, largest loss {signed(pairs[-1][1])}.",
            columns(
                title,
                bars,
                Axis(f"change in {bench.primary}", -most, most, "signed"),
                "queries, sorted by change",
            ),
            table=_difference_table(bench, changes) if at == 1 else None,
            right=at,
        )


def _difference_table(bench: StoredBench, changes: dict[str, list[tuple[str, float]]]) -> Table:
    by_system = {name: dict(pairs) for name, pairs in changes.items()}
    texts = {line["query_id"]: line["text"] for line in bench.queries}
    rows = [
        [
            *cells(query, texts[query]),
            *(Cell(signed(by_system[name].get(query)), by_system[name].get(query)) for name in changes),
        ]
        for query in texts
        if any(query in found for found in by_system.values())
    ]
    return Table(
        f"Change in {bench.primary} against {bench.labels[bench.names[0]]}",
        ["Query", "Text", *(f">{bench.labels[name]}" for name in changes)],
        rows,
        sortable=True,
    )
