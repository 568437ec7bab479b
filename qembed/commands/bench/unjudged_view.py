"""How a bench of questions that nobody has judged looks in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qembed.commands.bench.systems_view import about_words, facts, latencies, unread
from qembed.commands.bench.view import show_parts
from qembed.shell import shell_line
from qembed.terminal.output import quantity, table
from qembed.terminal.quality import figure, interval

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qembed.commands.bench.result import BenchResult


def show_unjudged(result: BenchResult, folder: Path | None) -> None:
    """Print agreement, times, and what to do next."""
    show_parts(_parts(result, folder), folder)


def _parts(result: BenchResult, folder: Path | None) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text.assemble(
        (result.eval_set.card.name, "bold"), f": {quantity(len(result.qrels))} questions, not judged yet"
    )
    for finding in result.findings:
        yield Text(f"note: {finding}", style="yellow")
    for name, side in zip(("vectors", "baseline"), result.sides, strict=False):
        yield facts(side, name)
    yield Text()
    if result.agreements:
        yield Text(f"agreement with {result.rows[0].system.name} (not quality)", style="bold")
        yield _agreement(result)
        yield from _differ_most(result)
    yield from about_words(result.rows)
    if any(row.latency for row in result.rows):
        yield from latencies(result.rows)
    yield from unread(result.rows)
    merge = ("merge-judgements", "my_set", "qrels.tsv", "--bench", folder or "REPORT")
    decisive = sum(one.could_decide > 0 for one in result.unjudged)
    yield Text("Which system is better, only judgements can tell.", style="bold")
    yield Text(
        f"{quantity(decisive)} of {quantity(len(result.unjudged))} results among the first ten can decide "
        f"{' against '.join(result.headline)}; the report lists them first:"
    )
    for command in (
        "qembed report        # judge in the browser, then export qrels.tsv",
        shell_line("qembed", "evalset", *merge),
        "qembed bench ... -e my_set   # as before, instead of --queries",
    ):
        yield Text(f"  {command}", no_wrap=True)


def _agreement(result: BenchResult) -> RenderableType:
    from rich.text import Text

    cutoffs = list(dict.fromkeys(k for found in result.agreements.values() for k in found.overlaps))
    made = table(
        "system", *(f">same in\nfirst {k}" for k in cutoffs), ">rank-biased\noverlap", ">95 %\ninterval"
    )
    for name, found in result.agreements.items():
        shares = (f"{found.overlaps[k].mean:.0%}" if k in found.overlaps else "" for k in cutoffs)
        made.add_row(Text(name), *shares, figure(found.rbo.mean), interval(found.rbo))
    return made


def _differ_most(result: BenchResult) -> Iterator[RenderableType]:
    """The questions on which the most different pair of systems that are not BM25 differs most."""
    from rich.text import Text

    kinds = {row.system.name: row.system.kind for row in result.rows}
    named = [name for name in result.agreements if kinds[name] != "bm25"] or list(result.agreements)
    name = min(named, key=lambda one: result.agreements[one].rbo.mean)
    yield Text(f"Questions on which {name} differs most:")
    for query, value in result.agreements[name].least:
        yield Text(f"  {value:.2f}  {result.eval_set.queries[query]}")
    yield Text()
