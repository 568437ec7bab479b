"""How a bench looks in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qembed.commands.bench.judging_view import outlook, waiting
from qembed.commands.bench.systems_view import (
    about_queries,
    about_words,
    facts,
    latencies,
    milliseconds,
    unread,
)
from qembed.evaluation.eval_sets.findings import severity
from qembed.evaluation.systems.rows import judged_without_answer
from qembed.terminal.output import console, quantity, table
from qembed.terminal.quality import about_judges, figure, interval, limits, quality_table, verdict_table
from qembed.terminal.stored import stored_words

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qembed.commands.bench.result import BenchResult
    from qembed.evaluation.diagnose.frontier import Frontier
    from qembed.evaluation.systems.gating import Gated

_STAGES = {
    "cut": ("truncated", "missed, and half or more of its texts are truncated"),
    "missed": ("missed", "not among the candidates of an exact search"),
    "index": ("index", "missed by the approximate index only"),
    "depth": ("depth", "beyond the rerank depth"),
    "below": ("below", "a candidate, ranked too low"),
    "not lifted": ("not lifted", "reranked, still too low"),
    "demoted": ("demoted", "pushed out by the reranker"),
}
"""Header and meaning of each stage at which a relevant item is lost."""


def show(result: BenchResult, folder: Path | None) -> None:
    """Print a bench: what it rests on, the table, verdicts, depths, losses, gates, where it was written."""
    show_parts(_parts(result), folder)


def show_parts(parts: Iterable[RenderableType], folder: Path | None) -> None:
    """Print the parts of a bench, and where it was written."""
    from rich.text import Text

    out = console()
    for part in parts:
        out.print(part, soft_wrap=isinstance(part, Text) and part.no_wrap is True)
    for words in stored_words(folder):
        out.print(Text(words), soft_wrap=True)


def _parts(result: BenchResult) -> Iterator[RenderableType]:
    from rich.text import Text

    yield from _basis(result)
    yield Text()
    yield _scores(result)
    yield from about_words(result.rows)
    for system in (row.system for row in result.rows if row.system.info.get("weights_note")):
        yield Text(f"{system.name}: {system.info['id']}, {system.info['weights_note']}\n")
    if len(result.rows) > 1:
        named = [(row.system.name, row) for row in result.rows]
        yield Text(f"compared with {named[0][0]}, {result.measures[0]}", style="bold")
        yield verdict_table("system", str(result.measures[0]), named)
        yield from limits(str(result.measures[0]), named, "unjudged.csv")
        yield from about_judges(result.judges, str(result.measures[0]), named)
        yield from outlook(result)
        yield Text()
    if any(row.latency for row in result.rows):
        yield from latencies(result.rows)
    from qembed.evaluation.diagnose.frontier import advice

    for name, found in result.frontiers.items():
        yield Text(f"depth of {name}, {found.measure}", style="bold")
        yield _depths(found)
        yield Text(
            advice(
                best=found.best,
                chosen=found.chosen,
                too_shallow=found.too_shallow,
                falls_after=found.falls_after,
            )
        )
        yield Text()
    yield from unread(result.rows)
    yield Text(
        f"where relevant items were lost, in percent (found is recall@{_cutoff(result)})", style="bold"
    )
    yield from _losses(result)
    if result.answerability:
        yield _answerability(result)
    if result.gates:
        yield Text("gates", style="bold")
        for gated in result.gates:
            yield from _gate(gated)
        yield Text()


def _basis(result: BenchResult) -> Iterator[RenderableType]:
    from rich.text import Text

    card = result.eval_set.card
    answered = [any(grade > 0 for grade in grades.values()) for grades in result.qrels.values()]
    pool = f", pooled to depth {card.pool_depth}" if card.pool_depth else ""
    yield Text.assemble(
        (card.name, "bold"),
        f": {quantity(sum(answered))} of {quantity(len(answered))} judged queries have a relevant result; "
        f"{card.level}s are judged{pool}",
    )
    yield from waiting(result)
    for found in result.findings:
        if found.kind == "bundled-instead":
            yield Text(f"note: {found.reason}")
    yield from about_queries(result)
    if card.synthetic:
        yield Text("SYNTHETIC: a program made these queries and nobody judged them.", style="bold yellow")
    for name, side, absent in zip(("vectors", "baseline"), result.sides, result.absent, strict=False):
        yield facts(side, name)
        if side.own:
            yield Text(
                f"note: {len(side.own):,} queries are chunks of {name}; each one's own chunk is left out "
                "of its results, as BEIR's ignore_identical_ids does"
            )
        if absent:
            lost = f"{absent:,} relevant item{'s are' if absent > 1 else ' is'}"
            yield Text(f"note: {lost} not in {name}; no search can find them", style="yellow")
    errors = [finding for finding in result.findings if severity(finding) == "error"]
    if errors:
        more = f" and {len(errors) - 1:,} more" if len(errors) > 1 else ""
        yield Text(f"note: {errors[0]}{more} (qembed evalset check)", style="yellow")


def _scores(result: BenchResult) -> RenderableType:
    made = quality_table(
        "system",
        [str(measure) for measure in result.measures],
        (
            (row.system.name, row, ["-" if row.latency is None else milliseconds(row.latency.p50)])
            for row in result.rows
        ),
        [">p50\nms"],
    )
    if result.ceilings:
        depth = max(result.ceilings)
        made.add_row(
            f"best order of the first {depth}",
            figure(result.ceilings[depth]),
            *([""] * (len(result.measures) + 1)),
            style="dim",
        )
    return made


def _depths(found: Frontier) -> RenderableType:
    made = table(
        ">depth",
        f">{found.measure}",
        ">95 % interval",
        ">gain",
        ">best order",
        ">ms",
        "against the best depth",
    )
    for point in found.points:
        marks = [
            word for word, depth in (("best", found.best), ("chosen", found.chosen)) if depth == point.depth
        ]
        against = "" if point.depth == found.best else _behind(point.to_best)
        made.add_row(
            str(point.depth),
            figure(point.quality.mean),
            interval(point.quality),
            "" if point.gain is None else f"{point.gain.difference:+.3f}",
            figure(point.ceiling),
            "0" if point.depth == 0 else milliseconds(point.milliseconds),
            ", ".join([*marks, *([against] if against else [])]),
        )
    return made


def _behind(found: Any) -> str:
    """A depth against the best one: ``found`` is the best against it."""
    if found.verdict == "better":
        return f"worse by {found.difference:.3f}"
    if found.verdict == "equivalent":
        return f"equivalent within {found.margin:g}"
    return f"{found.difference:.3f} behind, not certain"


def _losses(result: BenchResult) -> Iterator[RenderableType]:
    from rich.text import Text

    present = [
        stage
        for stage in _STAGES
        if any(found.shares[stage] > 0 for found in result.waterfalls.values())  # type: ignore[index]
    ]
    made = table("system", ">found", *(f">{_STAGES[stage][0]}" for stage in present))
    for name, found in result.waterfalls.items():
        made.add_row(
            Text(name),
            f"{100 * found.shares['found']:.1f}",
            *(f"{100 * found.shares[stage]:.1f}" for stage in present),  # type: ignore[index]
        )
    yield made
    if present:
        meanings = "; ".join(f"{header}: {meaning}" for header, meaning in map(_STAGES.__getitem__, present))
        yield Text(f"{meanings}.\n", style="dim")


def _answerability(result: BenchResult) -> RenderableType:
    from rich.text import Text

    systems = {row.system.name: row.system for row in result.rows}
    first, value = next(iter(result.answerability.items()))
    best, most = max(result.answerability.items(), key=lambda item: item[1])
    without = len(judged_without_answer(systems[first], result.qrels))
    return Text(
        f"For {without} queries nothing that was judged is relevant, their first result included. The score "
        f"of the first result tells them from the others with an AUC of {value:.2f} ({first}), at most "
        f"{most:.2f} ({best}); 0.5 is chance.\n"
    )


def _gate(gated: Gated) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    passed = gated.result.passed
    yield Text.assemble(
        ("holds  " if passed else "FAILS  ", "bold green" if passed else "bold red"),
        f"{gated.result.gate.text}  ({gated.system})",
    )
    yield Padding(Text(gated.result.words), (0, 0, 0, 9), expand=False)


def _cutoff(result: BenchResult) -> int:
    return next(iter(result.waterfalls.values())).k
