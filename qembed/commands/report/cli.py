"""``qembed report``: pages for people who read results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import click

from qembed.terminal.options import REPORTS, AdvancedCommand
from qembed.terminal.output import put, say

PATH = click.Path(path_type=Path)


@click.command("report", cls=AdvancedCommand, short_help="One HTML page per bench.")
@click.argument("bench", type=PATH, required=False)
@click.option(
    "--compare", "pair", nargs=2, type=PATH, metavar="A B", help="Compare two stored benches, from A to B."
)
@click.option("--index", "reports", type=PATH, metavar="FOLDER", help="List the stored benches in a folder.")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    help="File to write; - is stdout.  [default: report.html beside bench.json; Markdown goes to stdout]",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["html", "md", "junit", "github", "json", "csv"]),
    default="html",
    show_default=True,
    help="A page, or Markdown for a pull request. For CI: junit has a test case per gate; github prints "
    "annotations, and adds the Markdown to $GITHUB_STEP_SUMMARY. --compare takes json and csv.",
)
@click.option(
    "--embeddings",
    type=PATH,
    multiple=True,
    metavar="PATH",
    help="Embeddings whose run is shown too; repeatable.  [default: those of the bench, if still there]",
)
@click.option(
    "--check",
    "checks",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="Output of audit --json or verify --json to show too; repeatable.",
)
@click.option(
    "--links",
    metavar="ADDRESS",
    help="Address of the corpus's pages, with {page} for the id: https://example.org/{page}.",
)
def command(
    bench: Path | None,
    pair: tuple[Path, Path] | None,
    reports: Path | None,
    output: Path | None,
    format_: Literal["html", "md", "junit", "github", "json", "csv"],
    embeddings: tuple[Path, ...],
    checks: tuple[Path, ...],
    links: str | None,
) -> None:
    """Turn a stored bench into one HTML file: verdict, systems, charts, queries, judging, provenance.

    BENCH is a folder that `qembed bench` wrote, or a folder of such folders, of which the newest is used
    (default: reports/). The file needs no network and no other file, so you can mail it. Reviewers can judge
    results in it; merge their judgements with `qembed evalset merge-judgements`. No score is computed here.

    \b
    Examples:
      qembed report
      qembed report reports/0001_python_api -o page.html
      qembed report reports/0002_handbook --format md
      qembed report reports/0002_handbook --format junit -o bench.xml
      qembed report --compare reports/0001_handbook reports/0002_handbook
      qembed report --index reports/
    """
    from qembed.commands.report.report import (
        REPORT,
        ReportOptions,
        compare_reports,
        index_reports,
        make_report,
    )

    if sum((bench is not None, bool(pair), reports is not None)) > 1:
        raise click.UsageError("a bench, --compare or --index: one of them")
    if links is not None and "{page}" not in links:
        raise click.UsageError("--links needs {page} in the address, where the page's id goes")
    if reports is not None:
        if format_ != "html":
            raise click.UsageError("--index is a page: leave --format out")
        _write(index_reports(reports), output or reports / "index.html")
    elif pair:
        if format_ in ("junit", "github"):
            raise click.UsageError(f"--format {format_} is about one bench, not about --compare")
        text = compare_reports(*pair, format=format_)  # type: ignore[arg-type]
        _write(text, output or (Path("compare.html") if format_ == "html" else None))
    elif format_ in ("json", "csv"):
        raise click.UsageError(
            "a bench is stored as JSON and CSV already: bench.json and per_query.csv beside it"
        )
    else:
        options = ReportOptions(embeddings=embeddings, checks=checks, links=links)
        folder, text = make_report(bench or REPORTS, options, format=format_)  # type: ignore[arg-type]
        _write(text, output or (folder / REPORT if format_ == "html" else None))
        summary = os.environ.get("GITHUB_STEP_SUMMARY") if format_ == "github" else None
        if summary:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(make_report(folder, options, format="md")[1])


def _write(text: str, output: Path | None) -> None:
    from qembed.commands.report.report import write_page
    from qembed.terminal.output import file_size

    if output is None or str(output) == "-":
        if text.lstrip().startswith("<"):
            put(text)
        else:
            say(text, nl=not text.endswith("\n"))
        return
    write_page(output, text)
    say(f"Wrote {output} ({file_size(len(text.encode()))})", err=True)
