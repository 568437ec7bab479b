"""How compared runs look in a terminal, and as rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from qembed.terminal.output import Column, aside, console, print_rows, quantity
from qembed.terminal.quality import limits, measured_columns, quality_table, verdict_table

if TYPE_CHECKING:
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
    measures = [str(measure) for measure in found.measures]
    named = [(one.name, one.measured) for one in found.runs]
    out.print(quality_table("run", measures, [(name, numbers, []) for name, numbers in named]))
    out.print(Text(f"compared with {named[0][0]}, {measures[0]}", style="bold"))
    out.print(verdict_table("run", measures[0], named))
    for words in limits(measures[0], named):
        out.print(words)


def _notes(found: RunComparison) -> Iterator[str]:
    for one in found.runs:
        if one.missing:
            yield f"{one.name} does not answer {len(one.missing):,} of the judged queries; each counts 0"
        if one.unknown:
            yield f"{one.name} answers {len(one.unknown):,} queries that are not judged; they are left out"
    if found.findings:
        more = f" and {len(found.findings) - 1:,} more" if len(found.findings) > 1 else ""
        yield f"{found.findings[0]}{more}"


def _columns(found: RunComparison) -> Iterator[Column[Compared]]:
    yield Column("run", lambda one: one.name)
    yield from measured_columns(map(str, found.measures), found.runs, lambda one: one.measured)
