"""Charts of how scores and lengths are spread. What is stored is binned and counted, nothing more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

from qembed.report.chart import Chart
from qembed.report.drawing.data import Axis, Key
from qembed.report.drawing.plots import columns, key, steps
from qembed.report.stored import StoredBench
from qembed.report.tables import Cell, Table, counted
from qembed.report.words import count, listed, number, percent

_SCORE_BINS = 24
_KINDS = {"relevant": 1, "not relevant": 2, "unjudged": 0}
"""Kind of result -> number of its colour and dashes."""


def score_charts(bench: StoredBench) -> Iterator[Chart]:
    """Scores of relevant, irrelevant and unjudged results, per system; one scale of shares for all."""
    spread = [found for at in range(len(bench.names)) if (found := _scores(bench, at)) is not None]
    most = max((share for one in spread for shares in one.shares.values() for share in shares), default=1.0)
    for one in spread:
        name = bench.names[one.at]
        shown = max(len(line["systems"].get(name, {"hits": []})["hits"]) for line in bench.queries)
        title, edges = f"Scores of {bench.labels[name]}", one.edges
        bins = [f"{number(low)} to {number(high)}" for low, high in pairwise(edges)]
        said = [
            f"{label}: "
            + ", ".join(f"{percent(shares[at])} of {kind}" for kind, shares in one.shares.items())
            for at, label in enumerate(bins)
        ]
        yield Chart(
            f"scores-{one.at}",
            title,
            f"Of the first {shown} results of each query. Medians: {listed(one.medians)}. The further apart "
            "relevant and not relevant lie, the better a score threshold works.",
            steps(
                title,
                edges,
                [(_KINDS[kind], shares) for kind, shares in one.shares.items()],
                Axis("score", edges[0], edges[-1]),
                Axis("share of each kind", 0, most, "share"),
                said,
            ),
            [
                Key(key(_KINDS[kind], "line"), f"{kind} ({count(sum(counts))})")
                for kind, counts in one.counts.items()
            ],
            Table(
                f"Results of {bench.labels[name]} by score",
                ["Score", *(f">{kind}" for kind in one.counts)],
                [
                    [Cell(label), *(counted(counts[at]) for counts in one.counts.values())]
                    for at, label in enumerate(bins)
                ],
            ),
        )


@dataclass(frozen=True, slots=True)
class _Scores:
    """Scores of one system in bins: counts, and shares of each kind."""

    at: int
    edges: list[float]
    counts: dict[str, list[int]]
    shares: dict[str, list[float]]
    medians: list[str]


def _scores(bench: StoredBench, at: int) -> _Scores | None:
    """None where there are no scores, or all are equal."""
    found: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    for line in bench.queries:
        for hit in line["systems"].get(bench.names[at], {"hits": []})["hits"]:
            grade = line["judged"].get(hit["unit"])
            kind = "unjudged" if grade is None else "relevant" if grade > 0 else "not relevant"
            found[kind].append(hit["score"])
    found = {kind: scores for kind, scores in found.items() if scores}
    everything = [score for scores in found.values() for score in scores]
    if not everything or min(everything) == max(everything):
        return None
    edges = _edges(min(everything), max(everything))
    counts = {kind: _binned(scores, edges) for kind, scores in found.items()}
    shares = {kind: [value / sum(binned) for value in binned] for kind, binned in counts.items()}
    medians = [f"{kind} {number(_middle(scores))}" for kind, scores in found.items()]
    return _Scores(at, edges, counts, shares, medians)


def length_charts(bench: StoredBench) -> Iterator[Chart]:
    """Texts by length, and which of them were truncated, per side; on one scale."""
    sides = bench.document["sides"]
    most = max((max(side["lengths"]["counts"]) for side in sides if side.get("lengths")), default=1)
    for at, side in enumerate(sides):
        found = side.get("lengths")
        if not found:
            continue
        edges, counts = found["edges"], found["counts"]
        labels = [f"{low + 1 if low else 0}–{high}" for low, high in pairwise(edges)]
        labels.append(f"over {edges[-1]}")
        limit = side["max_tokens"]
        title = "Length of texts" if len(sides) == 1 else f"Length of texts, {('new', 'baseline')[at]}"
        cut = (
            f" {count(side['texts_cut'])} of {count(side['texts'])} texts are longer and were truncated."
            if limit
            else ""
        )
        bars = [
            (
                value,
                "s1" if limit is None or low < limit else "s2",
                f"{label} tokens: {count(value)} texts",
                None,
            )
            for low, label, value in zip(edges, labels, counts, strict=True)
        ]
        every = max(1, (len(edges) - 1) // 4)
        whole = "texts" if limit is None else f"read whole (up to {count(limit)} tokens)"
        keys = [Key(key(1, "bar", "s1"), whole)]
        if any(value and colour == "s2" for value, colour, *_ in bars):
            keys.append(Key(key(2, "bar", "s2"), "truncated"))
        yield Chart(
            f"lengths-{at}",
            title,
            (f"The model reads {count(limit)} tokens." if limit else "What the model reads is not known.")
            + f"{cut} The longest has {count(found['longest'])} tokens.",
            columns(
                title,
                bars,
                Axis("texts", 0, most, "whole"),
                "tokens",
                names=[(place, count(edges[place])) for place in range(0, len(edges), every)],
            ),
            keys,
            Table(
                title.replace("Length of texts", "Texts by length"),
                ["Tokens", ">Texts"],
                [[Cell(label), counted(value)] for label, value in zip(labels, counts, strict=True)],
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
