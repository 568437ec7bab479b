"""How compared runs look in a terminal, and as rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from qembed.terminal.output import Column, aside, console, print_rows, quantity, table
from qembed.terminal.quality import comparison_columns, estimate_columns, verdict_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qembed.commands.compare.compare import Compared, RunComparison
    from qembed.terminal.options import Form


def print_runs(found: RunComparison, form: Form) -> None:
    """Print every run on every measure; what is left out is said on stderr."""
    print_rows(list(_columns(found)), found.runs, form)
    aside(*_notes(found))


def show(found: RunComparison) -> None:
    """Print the runs, their verdicts, and what is left out."""
    from rich.text import Text

    out = console()
    out.print(
        Text(
            f"{found.qrels}: {quantity(found.answerable)} of {quantity(found.queries)} queries have an "
            "answer",
            style="bold",
        )
    )
    for note in _notes(found):
        out.print(Text(f"note: {note}", style="yellow"))
    out.print()
    out.print(_quality(found))
    out.print(Text(f"against {found.runs[0].name}, {found.measures[0]}", style="bold"))
    out.print(_verdicts(found))


def _notes(found: RunComparison) -> Iterator[str]:
    for one in found.runs:
        if one.missing:
            yield f"{one.name} does not answer {len(one.missing):,} of the judged queries; each counts 0"
        if one.unknown:
            yield f"{one.name} answers {len(one.unknown):,} queries that are not judged; they are left out"
        if one.measured.pool is not None and one.measured.pool.doubtful and one.measured.holes is not None:
            low, high = one.measured.holes
            yield f"{one.name}: whatever the unjudged results are, it differs by {low:+.3f} to {high:+.3f}"
    if found.findings:
        more = f" and {len(found.findings) - 1:,} more" if len(found.findings) > 1 else ""
        yield f"{found.findings[0]}{more}"


def _columns(found: RunComparison) -> Iterator[Column[Compared]]:
    yield Column("run", lambda one: one.name)
    for at, measure in enumerate(map(str, found.measures)):
        yield from _measure(measure, detail=at > 0, compared=measure in found.runs[1].measured.comparisons)


def _measure(measure: str, *, detail: bool, compared: bool) -> Iterator[Column[Compared]]:
    yield from estimate_columns(measure, lambda one: one.measured.estimates[measure], detail=detail)
    if compared:
        yield from comparison_columns(
            measure, lambda one: one.measured.comparisons.get(measure), detail=detail
        )


def _quality(found: RunComparison) -> RenderableType:
    from rich.text import Text

    primary, *others = map(str, found.measures)
    heads = (f">{name.replace('@', chr(10) + '@')}" for name in (primary, *others))
    first, *rest = heads
    made = table("run", first, ">95 %\ninterval", *rest)
    for one in found.runs:
        estimate = one.measured.estimates[primary]
        made.add_row(
            Text(one.name),
            _number(estimate.mean),
            "-" if estimate.low != estimate.low else f"{estimate.low:.3f}-{estimate.high:.3f}",
            *(_number(one.measured.estimates[name].mean) for name in others),
        )
    return made


def _verdicts(found: RunComparison) -> RenderableType:
    primary = str(found.measures[0])
    rows = ((one.name, one.measured.comparisons[primary], one.measured.pool) for one in found.runs[1:])
    return verdict_table("run", rows)


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"
