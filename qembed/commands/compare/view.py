"""How compared runs look in a terminal, and as rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qembed.terminal.output import Column, aside, console, print_rows, quantity
from qembed.terminal.quality import about_judges, limits, measured_columns, quality_table, verdict_table
from qembed.terminal.stored import stored_words

if TYPE_CHECKING:
    from qembed.commands.compare.compare import RunComparison
    from qembed.terminal.options import Form


def print_runs(found: RunComparison, folder: Path | None, form: Form) -> None:
    """Print every run on every measure; what is left out, and the folder, are said on stderr."""
    columns = measured_columns(map(str, found.measures), found.runs, lambda one: one.measured)
    print_rows([Column("run", lambda one: one.name), *columns], found.runs, form)
    aside(*_notes(found), *stored_words(folder))


def show(found: RunComparison, folder: Path | None) -> None:
    """Print the runs, their verdicts, what is left out, and where it was written."""
    from rich.text import Text

    out = console()
    basis = f"{quantity(found.answerable)} of {quantity(found.queries)} queries have an answer"
    out.print(Text.assemble((found.judgements.card.name, "bold"), f": {basis}; judged in {found.qrels}"))
    for note in _notes(found):
        out.print(Text(f"note: {note}", style="yellow"))
    if found.judgements.card.synthetic:
        out.print(
            Text("SYNTHETIC: a program made these queries and nobody judged them.", style="bold yellow")
        )
    out.print()
    measures = [str(measure) for measure in found.measures]
    named = [(one.name, one.measured) for one in found.runs]
    out.print(quality_table("run", measures, [(name, numbers, []) for name, numbers in named]))
    out.print(Text(f"compared with {named[0][0]}, {measures[0]}", style="bold"))
    out.print(verdict_table("run", measures[0], named))
    judged_by = found.judgements.card.judged_by
    if found.judges is None and judged_by not in ("", "people"):
        out.print(Text(f"Judged by {judged_by}, not by people.", style="bold yellow"))
    unjudged = "unjudged.csv" if folder else ""
    for words in (*limits(measures[0], named, unjudged), *about_judges(found.judges, measures[0], named)):
        out.print(words)
    for line in stored_words(folder):
        out.print(Text(line), soft_wrap=True)


def _notes(found: RunComparison) -> Iterator[str]:
    for one in found.runs:
        if one.missing:
            yield f"{one.name} does not answer {len(one.missing):,} of the judged queries; each counts 0"
        if one.unknown:
            yield f"{one.name} answers {len(one.unknown):,} queries that are not judged; they are left out"
        if one.rises:
            yield (
                f"the scores of {one.name} rise from a query's first result to its last; higher counts as "
                "better, so the last come first: negate them if they are distances or ranks"
            )
        if one.tied:
            yield (
                f"{one.name}: {one.tied:,} queries have equal scores on top, which are ordered by id; other "
                "tools may order them otherwise"
            )
        if one.own:
            yield (
                f"{one.name}: {len(one.own):,} queries are documents of the corpus; each one's own document "
                "is left out of its results, as BEIR's ignore_identical_ids does"
            )
    same = found.same_ids
    if same:
        yield (
            f"{same:,} queries have a result of their own id; if queries are documents, give --queries and "
            "--corpus: then each one's own document is left out"
        )
    if found.judgements.groups:
        count = len(set(found.judgements.groups.values()))
        yield (
            f"{len(found.judgements.groups):,} queries are in {count:,} groups, each drawn as one in every "
            "interval and test"
        )
    if found.findings:
        more = f" and {len(found.findings) - 1:,} more" if len(found.findings) > 1 else ""
        yield f"{found.findings[0]}{more}"
