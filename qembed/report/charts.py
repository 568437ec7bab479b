"""The charts of a bench, each with the same in words and the table behind it.

Nothing is measured here: what is stored is arranged, binned and counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from qembed.evaluation.diagnose.frontier import advice
from qembed.evaluation.diagnose.waterfall import STAGES
from qembed.report.chart import Chart
from qembed.report.distributions import length_charts, score_charts
from qembed.report.stored import StoredBench, subdirectory_of
from qembed.report.tables import Cell, Table, cells, counted, numeric
from qembed.report.words import interval, number, percent, signed

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
_MOST_SUBDIRECTORIES = 30
_NO_INTERVAL = {"low": None, "high": None, "label": "", "chosen": False}


def bench_charts(bench: StoredBench) -> list[Chart]:
    """All charts that the stored bench has data for, in the order of the page."""
    made = [
        _quality_and_depth(bench),
        _waterfall(bench),
        *_differences(bench),
        *score_charts(bench),
    ]
    made += [*length_charts(bench), _subdirectories(bench)]
    return [chart for chart in made if chart is not None]


def _quality_and_depth(bench: StoredBench) -> Chart | None:
    frontiers = bench.document["frontiers"]
    if not frontiers:
        return None
    series = []
    rows = []
    words = []
    for name, found in frontiers.items():
        points = []
        for point in found["points"]:
            chosen = point["depth"] == found["chosen"]
            points.append({**_point(point["depth"], point["quality"], ""), "chosen": chosen})
            quality = point["quality"]
            rows.append(
                [
                    Cell(bench.labels[name]),
                    counted(point["depth"]),
                    numeric(quality["mean"]),
                    Cell(interval(quality["low"], quality["high"])),
                    numeric(point["ceiling"]),
                    Cell("chosen" if chosen else ""),
                ]
            )
        series.append({"name": bench.labels[name], "at": bench.names.index(name), "points": points})
        best = next(point for point in found["points"] if point["depth"] == found["best"])
        words.append(
            f"{bench.labels[name]} is highest at depth {found['best']} ({number(best['quality']['mean'])}). "
            + advice(
                best=found["best"],
                chosen=found["chosen"],
                too_shallow=found["too_shallow"],
                falls_after=found["falls_after"],
            )
        )
    first = next(iter(frontiers.values()))
    ceiling = [{**_NO_INTERVAL, "x": point["depth"], "y": point["ceiling"]} for point in first["points"]]
    series.append({"name": "best order of the same candidates", "at": 0, "points": ceiling})
    head = ["System", ">Depth", f">{bench.primary}", ">95 % interval", ">best order", "Choice"]
    return Chart(
        "depths",
        "points",
        "Quality against rerank depth",
        " ".join(words),
        {"series": series, "x": "candidates reranked", "y": bench.primary, "unit": "candidates"},
        Table("Quality by rerank depth", head, rows),
        wide=True,
    )


def _point(time: float, estimate: dict[str, Any], label: str) -> dict[str, Any]:
    return {
        "x": time,
        "y": estimate["mean"],
        "low": estimate["low"],
        "high": estimate["high"],
        "label": label,
        "chosen": False,
    }


def _waterfall(bench: StoredBench) -> Chart | None:
    found = bench.document["waterfalls"]
    if not found:
        return None
    order = ["found", *(stage for stage in STAGES if stage != "found")]
    stages = [stage for stage in order if any(fall["shares"].get(stage, 0) > 0 for fall in found.values())]
    cutoff = next(iter(found.values()))["k"]
    parts = [
        {
            "name": stage,
            "words": STAGE_WORDS[stage],
            "values": [fall["shares"].get(stage, 0) for fall in found.values()],
        }
        for stage in stages
    ]
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
    return Chart(
        "waterfall",
        "stacked",
        f"Where relevant {bench.document['eval_set']['level']}s were lost (recall@{cutoff})",
        " ".join(words),
        {"systems": [bench.labels[name] for name in found], "parts": parts},
        Table("Share of what is relevant, by where it ended up", head, rows),
        wide=True,
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
    for at, (name, pairs) in enumerate(changes.items(), start=1):
        won, lost = sum(value > 0 for _, value in pairs), sum(value < 0 for _, value in pairs)
        yield Chart(
            f"difference-{at}",
            "difference",
            f"{bench.labels[name]} against {bench.labels[first]}, query by query",
            f"{bench.primary} is higher on {won} queries, lower on {lost}, "
            f"the same on {len(pairs) - won - lost}."
            + (f" Largest gain {signed(pairs[0][1])}, largest loss {signed(pairs[-1][1])}." if pairs else ""),
            {
                "queries": [query for query, _ in pairs],
                "values": [round(value, 4) for _, value in pairs],
                "at": at,
                "y": f"change in {bench.primary}",
            },
            _difference_table(bench, changes) if at == 1 else None,
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


def _subdirectories(bench: StoredBench) -> Chart | None:
    level = bench.document["eval_set"]["level"]
    relevant: defaultdict[str, Counter[str]] = defaultdict(Counter)
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for fate in bench.fates:
        place = subdirectory_of(fate.unit, level)
        relevant[fate.system][place] += 1
        found[fate.system][place] += fate.stage == "found"
    totals = max(relevant.values(), key=lambda counts: counts.total(), default=Counter())
    if len(totals) < 2:
        return None
    places = sorted(totals, key=lambda place: (-totals[place], place))[:_MOST_SUBDIRECTORIES]
    systems = [name for name in bench.names if name in relevant]
    shares = {
        name: [
            found[name][place] / relevant[name][place] if relevant[name][place] else None for place in places
        ]
        for name in systems
    }
    cutoff = next(iter(bench.document["waterfalls"].values()))["k"]
    rows = [
        [
            Cell(place),
            counted(totals[place]),
            *(Cell(percent(shares[name][i]), shares[name][i]) for name in systems),
        ]
        for i, place in enumerate(places)
    ]
    first = shares[systems[0]]
    order = sorted(range(len(places)), key=lambda i: first[i] or 0.0)
    return Chart(
        "subdirectories",
        "grouped",
        f"Found among the first {cutoff}, by subdirectory",
        f"Of what is relevant, {bench.labels[systems[0]]} finds least in {places[order[0]]} "
        f"({percent(first[order[0]], 0)}) and most in {places[order[-1]]} ({percent(first[order[-1]], 0)}).",
        {
            "places": [f"{place} ({totals[place]})" for place in places],
            "series": [
                {"name": bench.labels[name], "at": bench.names.index(name), "values": shares[name]}
                for name in systems
            ],
        },
        Table(
            "Share found",
            ["Subdirectory", ">relevant", *(f">{bench.labels[name]}" for name in systems)],
            rows,
            True,
        ),
        wide=True,
    )
