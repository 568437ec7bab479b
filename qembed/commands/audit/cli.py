"""``qembed audit``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qembed.shell import shell_line
from qembed.terminal.options import SOURCE, AdvancedCommand, Form, key_options, output_options
from qembed.terminal.output import grid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qembed.store.audit.findings import AuditFinding
    from qembed.store.audit.report import AuditReport, Check
    from qembed.terminal.output import Column

SCHEMA = "qembed.audit/1"
SHOWN = 3
"""Findings of each kind that are shown to people; ``--all`` shows all."""


@click.command(cls=AdvancedCommand, short_help="Check a file of embeddings.")
@SOURCE
@click.option(
    "--dimension", type=click.IntRange(min=1), metavar="N", help="Dimension that every vector must have."
)
@click.option(
    "--normalized/--not-normalized",
    default=None,
    help="Whether vectors must have norm 1.  [default: as in the manifest, else judged from the vectors]",
)
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option("--all", "show_all", is_flag=True, help="List every finding, not only the first of each kind.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@key_options
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    embeddings: Path | str,
    dimension: int | None,
    normalized: bool | None,
    strict: bool,
    show_all: bool,
    quiet: bool,
    text_key: str | None,
    id_key: str | None,
    form: Form | None,
) -> None:
    """Check a file of embeddings, whichever tool wrote it.

    EMBEDDINGS is a file (JSON lines, Parquet or npy; one shard stands for all), the folder with the only
    *_embeddings file, an export of Qdrant (the JSON of a scroll), or a collection on a server
    (qdrant://HOST/COLLECTION). The audit checks lines, dimensions, NaN and Inf, norms, ids, metadata, texts
    and their hashes. It reports texts with two vectors and vectors of two texts. Where a manifest or summary
    lies beside the file, it also checks what they recorded. The file is read once, in little memory.

    Exit code 0: sound (warnings are allowed). Exit code 3: there are errors.

    \b
    Examples:
      qembed audit out/
      qembed audit vectors.jsonl --dimension 768 --normalized
      qembed audit out/ --strict --json | jq .counts
      qembed audit qdrant://localhost/docs
    """
    from rich.text import Text

    from qembed.index.server.source import embeddings_of
    from qembed.store import Keys
    from qembed.store.audit.report import EXAMPLES, audit
    from qembed.terminal.output import console, print_json, print_rows
    from qembed.terminal.progress import make_progress

    progress = make_progress(quiet=quiet)
    try:
        with embeddings_of(embeddings, Keys(text=text_key, id=id_key), progress) as found:
            report = audit(
                found,
                dimension=dimension,
                expect_normalized=normalized,
                examples=None if show_all else EXAMPLES,
                progress=progress,
            )
    finally:
        progress.close()
    if form == "json":
        print_json(as_document(report, strict=strict))
    elif form:
        print_rows(columns(report), report.findings, form)
    else:
        out = console()
        for part in render(report, strict=strict, shown=None if show_all else SHOWN):
            out.print(part, soft_wrap=isinstance(part, Text))  # paths and commands stay whole, to be copied
    if not report.sound(strict=strict):
        ctx.exit(3)


def as_document(report: AuditReport, *, strict: bool = False) -> dict[str, Any]:
    """The report as one JSON document; docs/audit.md lists its keys."""
    manifest = report.manifest
    return {
        "schema": SCHEMA,
        "sound": report.sound(strict=strict),
        "strict": strict,
        "file": report.name,
        "read_as": report.read_as,
        "format": report.format,
        "files": list(report.files),
        "bytes": report.bytes,
        "sha256": report.sha256,
        "seconds": round(report.seconds, 3),
        "records_per_second": round(report.records / report.seconds, 1),
        "records": report.records,
        "bad_lines": report.bad_lines,
        "dimension": report.dimension,
        "norms": report.norms,
        "normalized": report.normalized,
        "collection": manifest.collection if manifest else None,
        "model": manifest.model if manifest else None,
        "summary": str(report.summary) if report.summary else None,
        "errors": report.errors,
        "warnings": report.warnings,
        "checks": list(report.checks),
        "counts": report.counts,
        "findings": list(report.findings),
    }


def columns(report: AuditReport) -> list[Column[AuditFinding]]:
    """Columns of a finding in CSV and Markdown."""
    from qembed.terminal.output import Column, quantity

    return [
        Column("severity", lambda found: found.severity),
        Column("kind", lambda found: found.kind),
        Column("of_this_kind", lambda found: report.counts[found.kind], quantity),
        Column("place", lambda found: _place(report, found)),
        Column("lines", lambda found: " ".join(map(str, found.lines)), detail=True),
        Column("reason", lambda found: found.reason),
    ]


def render(
    report: AuditReport, *, strict: bool = False, shown: int | None = SHOWN
) -> Iterator[RenderableType]:
    """The report for people, part by part; ``shown`` findings of each kind, all that were kept when None."""
    from rich.text import Text

    yield Text(report.name, style="bold")
    yield grid(_facts(report), indent=2)
    yield Text()
    yield grid([(_title(check), _outcome(check)) for check in report.checks], indent=0)
    for kind, count in report.counts.items():
        yield Text()
        kept = [finding for finding in report.findings if finding.kind == kind]
        yield from _examples(report, kept[:shown], count)
    yield Text()
    yield from _verdict(report, strict)


def _facts(report: AuditReport) -> list[tuple[Any, Any]]:
    from qembed.terminal.output import duration, file_size, quantity

    dimension = f" of {report.dimension:,} dimensions" if report.dimension else ""
    rate = quantity(report.records / report.seconds)
    parts = len(report.lines_before)
    form = f" in {parts} shards" if parts > 1 else ""
    read_as = [("read as", report.read_as)] if report.read_as else []
    rows = [
        *read_as,
        ("records", quantity(report.records) + dimension + form),
        ("size", f"{file_size(report.bytes)}, read in {duration(report.seconds)} ({rate} records/s)"),
    ]
    if report.norms:
        norms = report.norms
        rows.append(("norms", f"min {norms.min:.4f}, mean {norms.mean:.4f}, max {norms.max:.4f}"))
    if report.manifest:
        model = report.manifest.model
        rows.append(("model", ", ".join(str(model[key]) for key in ("id", "dtype") if model.get(key))))
    return rows


def _title(check: Check) -> str:
    from qembed.store.audit.findings import CHECKS

    return CHECKS[check.name]


def _outcome(check: Check) -> Any:
    from rich.text import Text

    note = f": {check.note}" if check.note else ""
    if check.outcome == "problems":
        return Text(_counted(check.errors, check.warnings) + note, style="red" if check.errors else "yellow")
    if check.outcome == "not checked":
        return Text(check.outcome + note, style="dim")
    return Text.assemble(("ok", "green"), note)


def _examples(report: AuditReport, kept: list[AuditFinding], count: int) -> Iterator[Any]:
    from rich.text import Text

    kind, severity = kept[0].kind, kept[0].severity
    style = "bold red" if severity == "error" else "bold yellow"
    number = _counted(count, 0) if severity == "error" else _counted(0, count)
    yield Text.assemble((kind, style), f" ({number})")
    yield grid([(_place(report, finding), finding.reason) for finding in kept], indent=2)
    if count > len(kept):
        yield Text(f"  and {count - len(kept):,} more (--all lists them)", style="dim")


def _place(report: AuditReport, finding: AuditFinding) -> str:
    if not finding.lines:
        return "file"
    first = ", ".join(_line(report, line) for line in finding.lines[:2])
    plural = "s" if len(finding.lines) > 1 else ""
    return f"{report.unit}{plural} {first}" + (", ..." if len(finding.lines) > 2 else "")


def _line(report: AuditReport, line: int) -> str:
    """``7``, or in the second of several shards ``2:7``."""
    part, number = report.place(line)
    return f"{part + 1}:{number:,}" if len(report.lines_before) > 1 else f"{number:,}"


def _verdict(report: AuditReport, strict: bool) -> Iterator[Any]:
    from rich.text import Text

    from qembed.store.audit.findings import KINDS

    records = f"{report.records:,} records"
    if report.sound(strict=strict):
        extra = f", with {_counted(0, report.warnings)}" if report.warnings else ""
        yield Text.assemble(("sound", "bold green"), f": {records}{extra}.")
        if report.manifest:
            yield Text(f"next: {shell_line('qembed', 'search', report.name, 'QUESTION')}")
        return
    number = _counted(report.errors, report.warnings)
    why = "" if report.errors else " (--strict)"
    yield Text.assemble((f"{number} in {records}", "bold red"), f"{why}: do not use this file yet. Next:")
    severities = {finding.kind: finding.severity for finding in report.findings}
    serious = [kind for kind in report.counts if strict or severities[kind] == "error"]
    for remedy in dict.fromkeys(KINDS[kind].remedy for kind in serious):
        yield Text(f"- {remedy}")


def _counted(errors: int, warnings: int) -> str:
    counted = ((errors, "error"), (warnings, "warning"))
    return ", ".join(f"{number:,} {name}{'s' * (number != 1)}" for number, name in counted if number)
