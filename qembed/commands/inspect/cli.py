"""``qembed inspect``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qembed.terminal.options import INPUT, AdvancedCommand, Form, corpus_options, output_options

if TYPE_CHECKING:
    from qembed.commands.inspect.inspect import Inspection
    from qembed.corpus.statistics import Holdings
    from qembed.terminal.output import Column

_FINDINGS_SHOWN = 10


@click.command(cls=AdvancedCommand, short_help="What a folder of chunks holds.")
@INPUT
@click.option(
    "-m", "--model", help="Count tokens and truncation with this model's tokenizer (no weights needed)."
)
@click.option("--revision", metavar="COMMIT", help="Commit, tag or branch of the model on the hub.")
@corpus_options
@click.option(
    "--groups",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    metavar="N",
    help="Most groups of duplicates to show.",
)
@click.option("--strict", is_flag=True, help="Exit with 3 if there is any finding.")
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    input: Path,
    model: str | None,
    revision: str | None,
    groups: int,
    strict: bool,
    form: Form | None,
    **choices: Any,
) -> None:
    """Describe the chunks below INPUT.

    Per subdirectory: files, chunks, unique texts and characters; with --model also tokens, and how many of
    them the model would truncate. Then the largest groups of identical texts, and everything that cannot be
    read.

    \b
    Examples:
      qembed inspect chunks/
      qembed inspect chunks/ --model minilm
      qembed inspect chunks/ --model minilm --json | jq .total.tokens
    """
    from qembed.commands.inspect.inspect import inspect
    from qembed.corpus import CorpusOptions
    from qembed.terminal.output import print_json, print_rows
    from qembed.terminal.progress import make_progress

    inspection = inspect(
        input,
        CorpusOptions(**choices),
        model=model,
        revision=revision,
        groups_shown=groups,
        progress=make_progress(),
    )
    if form == "json":
        print_json(asdict(inspection))
    elif form:
        print_rows(columns(inspection), rows(inspection, form), form)
        _say_findings(inspection)
    else:
        show(inspection)
    if (strict and inspection.findings) or inspection.duplicate_ids:
        ctx.exit(3)


def columns(inspection: Inspection) -> list[Column[tuple[str, Holdings]]]:
    """Columns of a subdirectory in CSV and Markdown; with tokens where a model counts them."""
    from qembed.terminal.output import Column, quantity

    figures = ["files", "chunks", "unique_texts"]
    figures += [f"characters.{name}" for name in ("total", "p50", "p95", "max")]
    if inspection.model:
        figures += [f"tokens.lengths.{name}" for name in ("total", "p50", "p95", "max")]
        figures += ["tokens.truncated_chunks", "tokens.tokens_lost"]
    name: Column[tuple[str, Holdings]] = Column("subdirectory", itemgetter(0))
    return [name, *(Column(_heading(path), _figure(path), quantity) for path in figures)]


def _heading(path: str) -> str:
    """``tokens.lengths.p50`` is ``tokens_p50``."""
    group, _, last = path.replace(".lengths", "").partition(".")
    if last == "total":
        return group
    return f"{group}_{last}" if last in ("p50", "p95", "max") else last or group


def _figure(path: str) -> Callable[[tuple[str, Holdings]], Any]:
    get = attrgetter(path)
    return lambda named: None if path.startswith("tokens") and named[1].tokens is None else get(named[1])


def rows(inspection: Inspection, form: Form) -> list[tuple[str, Holdings]]:
    """Every subdirectory; in CSV without the total, so that columns can be added up."""
    named = list(inspection.subdirectories.items())
    return [*named, ("total", inspection.total)] if form == "md" and len(named) > 1 else named


def _say_findings(inspection: Inspection) -> None:
    from qembed.report.words import plural
    from qembed.terminal.output import aside

    if inspection.duplicate_ids:
        aside(f"Ids are not unique; embed would stop: {inspection.duplicate_ids}")
    if inspection.findings:
        aside(f"{plural(len(inspection.findings), 'finding')}; --json lists all")


def show(inspection: Inspection) -> None:
    """Print the inspection, for people."""
    from rich.markup import escape

    from qembed.terminal.output import console, quantity, share

    out, total = console(), inspection.total
    out.print("[bold]Chunks[/bold] (p50, p95 and max in characters)")
    out.print(_characters_table(inspection))
    if inspection.model:
        out.print(f"[bold]Tokens[/bold] as {escape(inspection.model)} counts them")
        out.print(_tokens_table(inspection))
    copies = total.chunks - total.unique_texts
    out.print(
        f"{quantity(copies)} of {quantity(total.chunks)} chunks ({share(copies, total.chunks)}) "
        "repeat another chunk's text exactly."
        if copies
        else "No two chunks have the same text."
    )
    _show_groups(inspection)
    if total.tokens and inspection.max_tokens:
        reads = f"{escape(str(inspection.model))} reads {quantity(inspection.max_tokens)} tokens per chunk"
        out.print(
            f"{reads}: {share(total.tokens.truncated_chunks, total.chunks)} of the chunks are truncated, "
            f"{share(total.tokens.tokens_lost, total.tokens.lengths.total)} of the tokens are lost."
            if total.tokens.truncated_chunks
            else f"{reads}: no chunk is truncated."
        )
    elif not inspection.model:
        out.print("Add --model MODEL (e.g. minilm) for tokens and truncation.")
    _show_findings(inspection)


def _characters_table(inspection: Inspection) -> Any:
    from qembed.terminal.output import quantity, share, table

    rows = table(
        *("subdirectory", ">files", ">chunks", ">unique", ">dup", ">p50", ">p95", ">max"),
    )
    for name, held in _named(inspection):
        sizes = held.characters
        numbers = (held.files, held.chunks, held.unique_texts)
        duplicates = share(held.chunks - held.unique_texts, held.chunks)
        lengths = (sizes.p50, sizes.p95, sizes.max)
        rows.add_row(name, *map(quantity, numbers), duplicates, *map(quantity, lengths))
    return rows


def _tokens_table(inspection: Inspection) -> Any:
    from qembed.terminal.output import quantity, share, table

    rows = table(
        *("subdirectory", ">tokens", ">p50", ">p95", ">max", ">truncated", ">lost"),
    )
    for name, held in _named(inspection):
        if held.tokens is None:
            continue
        sizes = held.tokens.lengths
        cut = (
            f"{quantity(held.tokens.truncated_chunks)} {share(held.tokens.truncated_chunks, held.chunks):>4}"
        )
        lost = share(held.tokens.tokens_lost, sizes.total)
        rows.add_row(name, *map(quantity, (sizes.total, sizes.p50, sizes.p95, sizes.max)), cut, lost)
    return rows


def _named(inspection: Inspection) -> list[tuple[str, Holdings]]:
    from rich.markup import escape

    named = [(escape(name), held) for name, held in inspection.subdirectories.items()]
    return [*named, ("[bold]total[/bold]", inspection.total)] if len(named) > 1 else named


def _show_groups(inspection: Inspection) -> None:
    from rich.markup import escape

    from qembed.terminal.output import console, quantity, table
    from qembed.terminal.snippet import snippet

    if not inspection.duplicate_groups:
        return
    rows = table(">copies", "text, largest groups first")
    for group in inspection.duplicate_groups:
        rows.add_row(quantity(group.copies), escape(snippet(group.text, characters=140) or "(no words)"))
    console().print(rows)


def _show_findings(inspection: Inspection) -> None:
    from qembed.terminal.output import console, quantity

    out = console()
    if inspection.duplicate_ids:
        out.print(f"Ids are not unique; embed would stop: {inspection.duplicate_ids}", markup=False)
    if not inspection.findings:
        out.print("No findings: every file and chunk can be read.")
        return
    out.print(f"{quantity(len(inspection.findings))} findings (the parts that they name are skipped):")
    for finding in inspection.findings[:_FINDINGS_SHOWN]:
        out.print(f"  {finding}", markup=False)
    if len(inspection.findings) > _FINDINGS_SHOWN:
        out.print(f"  and {quantity(len(inspection.findings) - _FINDINGS_SHOWN)} more; --json lists all")
