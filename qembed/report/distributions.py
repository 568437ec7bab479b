"""Charts of how scores and lengths are spread. What is stored is binned and counted, nothing more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil, floor, log10

from qembed.report.chart import Chart
from qembed.report.stored import StoredBench
from qembed.report.tables import Cell, Table, counted
from qembed.report.words import count, listed, number

_SCORE_BINS = 24


def score_charts(bench: StoredBench) -> Iterator[Chart]:
    """Scores of relevant, irrelevant and unjudged results, per system."""
    for at, name in enumerate(bench.names):
        found: dict[str, list[float]] = {"relevant": [], "not relevant": [], "unjudged": []}
        for line in bench.queries:
            for hit in line["systems"].get(name, {"hits": []})["hits"]:
                grade = line["judged"].get(hit["unit"])
                kind = "unjudged" if grade is None else "relevant" if grade > 0 else "not relevant"
                found[kind].append(hit["score"])
        everything = [score for scores in found.values() for score in scores]
        if not everything or min(everything) == max(everything):
            continue
        edges = _edges(min(everything), max(everything))
        binned = {kind: _binned(scores, edges) for kind, scores in found.items() if scores}
        shown = max(len(line["systems"].get(name, {"hits": []})["hits"]) for line in bench.queries)
        medians = [f"{kind} {number(_middle(scores))}" for kind, scores in found.items() if scores]
        rows = [
            [
                Cell(f"{number(edges[i])} to {number(edges[i + 1])}"),
                *(counted(counts[i]) for counts in binned.values()),
            ]
            for i in range(len(edges) - 1)
        ]
        yield Chart(
            f"scores-{at}",
            "histogram",
            f"Scores of {bench.labels[name]}",
            f"Of the first {shown} results of each query. Medians: {listed(medians)}. The further apart "
            "relevant and not relevant lie, the better a score threshold works.",
            {
                "edges": edges,
                "series": [{"name": kind, "counts": counts} for kind, counts in binned.items()],
                "x": "score",
                "y": "share of each kind",
            },
            Table(
                f"Results of {bench.labels[name]} by score", ["Score", *(f">{kind}" for kind in binned)], rows
            ),
        )


def length_charts(bench: StoredBench) -> Iterator[Chart]:
    """Texts by length, and which of them were truncated, per side."""
    for at, side in enumerate(bench.document["sides"]):
        found = side.get("lengths")
        if not found:
            continue
        edges, counts = found["edges"], found["counts"]
        labels = [f"{low + 1 if low else 0}–{high}" for low, high in pairwise(edges)]
        labels.append(f"over {edges[-1]}")
        limit = side["max_tokens"]
        one = len(bench.document["sides"]) == 1
        title = "Length of texts" if one else f"Length of texts, {('new', 'baseline')[at]}"
        cut = (
            f" {count(side['texts_cut'])} of {count(side['texts'])} texts are longer and were truncated."
            if limit
            else ""
        )
        yield Chart(
            f"lengths-{at}",
            "lengths",
            title,
            (f"The model reads {count(limit)} tokens." if limit else "What the model reads is not known.")
            + f"{cut} The longest has {count(found['longest'])} tokens.",
            {"edges": edges, "labels": labels, "counts": counts, "limit": limit, "x": "tokens", "y": "texts"},
            Table(
                title.replace("Length of texts", "Texts by length"),
                ["Tokens", ">Texts"],
                [[Cell(label), counted(value)] for label, value in zip(labels, counts, strict=False)],
            ),
        )


def _edges(low: float, high: float) -> list[float]:
    """Round numbers from below ``low`` to above ``high``."""
    rough = (high - low) / _SCORE_BINS
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = floor(low / step), ceil(high / step)
    return [round(step * at, 10) for at in range(first, max(last, first + 1) + 1)]


def _binned(scores: Sequence[float], edges: Sequence[float]) -> list[int]:
    counts = [0] * (len(edges) - 1)
    step = edges[1] - edges[0]
    for score in scores:
        counts[min(max(int((score - edges[0]) / step), 0), len(counts) - 1)] += 1
    return counts


def _middle(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
