"""``qembed corpus``: make folders of chunks."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qembed.shell import shell_line
from qembed.terminal.options import CommandGroup, Form, Function, compose, output_options
from qembed.terminal.output import say

if TYPE_CHECKING:
    from qembed.commands.corpus.from_markdown import MarkdownCorpus, PageCounts
    from qembed.commands.corpus.from_package import PackageCorpus, PackageCounts


@click.group(cls=CommandGroup, short_help="Make chunks from Markdown or Python packages.")
def command() -> None:
    """Make folders of chunks to embed.

    \b
    Examples:
      qembed corpus from-package click rich -o python_api
      qembed corpus from-markdown README.md docs/ -o handbook
    """


def source_options(function: Function) -> Function:
    """Options of every command that makes chunks."""
    return compose(
        function,
        click.option(
            "-o",
            "--output",
            required=True,
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder to make.",
        ),
        click.option("--model", default="minilm", show_default=True, help="Model whose tokenizer counts."),
        click.option(
            "--max-tokens",
            type=int,
            metavar="N",
            help="Most tokens of a chunk.  [default: what the model reads]",
        ),
        click.option("--force", is_flag=True, help="Replace earlier output in a folder that is not empty."),
    )


@command.command("from-package", short_help="Make chunks from installed Python packages.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@source_options
@click.option("--collection", default="python_api", show_default=True, help="First part of every chunk id.")
@click.option("--undocumented", is_flag=True, help="Also functions, classes and methods without a docstring.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="MODULE",
    help="Treat a module as private: keep only what public modules re-export of it. Repeatable.",
)
@output_options
def from_package(
    names: tuple[str, ...],
    output: Path,
    collection: str,
    model: str,
    max_tokens: int | None,
    undocumented: bool,
    exclude: tuple[str, ...],
    force: bool,
    form: Form | None,
) -> None:
    """Make chunks from the API documentation of installed Python packages.

    NAME is the import name (sklearn, not scikit-learn). One chunk, or a few, for each public module, class,
    function, method, and documented attribute: its path and signature, then its docstring. No code of the
    packages runs.

    \b
    Examples:
      qembed corpus from-package click rich -o python_api
      qembed corpus from-package pandas --exclude pandas.core -o pandas_api
      qembed embed python_api -o out --model minilm
    """
    from qembed.commands.corpus.from_package import corpus_from_package
    from qembed.terminal.output import print_json

    made = corpus_from_package(
        names,
        output,
        collection=collection,
        model=model,
        max_tokens=max_tokens,
        undocumented=undocumented,
        exclude=exclude,
        force=force,
        on_package=lambda name: say(f"reading {name} ...", err=True) if sys.stderr.isatty() else None,
    )
    if form == "json":
        print_json(_as_document(made))
    else:
        _print_packages(made, form)


def _as_document(made: PackageCorpus) -> dict[str, Any]:
    return {
        "output": str(made.output),
        "collection": made.collection,
        "model": made.model,
        "max_tokens": made.max_tokens,
        "packages": made.packages,
        "findings": made.findings,
    }


def _print_packages(made: PackageCorpus, form: Form | None) -> None:
    from qembed.terminal.output import Column, print_rows, quantity

    columns: list[Column[PackageCounts]] = [
        Column("package", lambda package: package.name),
        Column("version", lambda package: package.version),
        Column("entries", lambda package: package.entries, quantity),
        Column("chunks", lambda package: package.chunks, quantity),
        Column("tokens", lambda package: package.tokens, quantity),
        Column("files", lambda package: len(package.files), quantity),
        Column("seconds", lambda package: package.seconds, "{:.1f}".format),
    ]
    print_rows(columns, made.packages, form)
    beside = form is not None
    say(f"{made.output}: chunks of at most {made.max_tokens} tokens as {made.model} counts them", err=beside)
    over_limit = sum(package.over_limit for package in made.packages)
    if over_limit:
        say(f"{over_limit} chunks are longer: their name alone reaches the limit", err=beside)
    for kind, count in sorted(Counter(finding.kind for finding in made.findings).items()):
        first = next(finding for finding in made.findings if finding.kind == kind)
        say(f"{count} x {kind}, e.g. {first.place}: {first.reason}", err=True)
    embed = shell_line(
        "qembed", "embed", made.output, "-o", "out", "--collection", made.collection, "--model", made.model
    )
    say(f"next: {embed}", err=True)


@command.command("from-markdown", short_help="Make chunks from Markdown files.")
@click.argument(
    "inputs", nargs=-1, required=True, metavar="FILE_OR_FOLDER...", type=click.Path(path_type=Path)
)
@source_options
@click.option("--collection", help="First part of every chunk id.  [default: the output's name]")
@output_options
def from_markdown(
    inputs: tuple[Path, ...],
    output: Path,
    collection: str | None,
    model: str,
    max_tokens: int | None,
    force: bool,
    form: Form | None,
) -> None:
    """Make chunks from Markdown files: one per section, or a few where it is long.

    Every chunk begins with the titles above it. Front matter becomes metadata. A section is named by its
    anchor, so its id stays when others are added; the page id that an eval set judges is
    {subdirectory}/{page}#{anchor}. A folder is searched for .md, .markdown and .mdx.

    \b
    Examples:
      qembed corpus from-markdown README.md docs/ -o handbook
      qembed embed handbook -o out --model minilm
    """
    from qembed.commands.corpus.from_markdown import corpus_from_markdown
    from qembed.terminal.output import print_json

    made = corpus_from_markdown(
        inputs,
        output,
        collection=collection or output.resolve().name,
        model=model,
        max_tokens=max_tokens,
        force=force,
    )
    if form == "json":
        print_json({**_as_markdown(made), "pages": made.pages})
    else:
        _print_pages(made, form)


def _as_markdown(made: MarkdownCorpus) -> dict[str, Any]:
    return {
        "output": str(made.output),
        "collection": made.collection,
        "model": made.model,
        "max_tokens": made.max_tokens,
        "empty": made.empty,
        "notes": made.notes,
    }


def _print_pages(made: MarkdownCorpus, form: Form | None) -> None:
    from qembed.terminal.output import Column, print_rows, quantity

    columns: list[Column[PageCounts]] = [
        Column("page", lambda page: page.name),
        Column("sections", lambda page: page.sections, quantity),
        Column("chunks", lambda page: page.chunks, quantity),
        Column("tokens", lambda page: page.tokens, quantity),
    ]
    print_rows(columns, made.pages, form)
    chunks = sum(page.chunks for page in made.pages)
    say(
        f"{made.output}: {quantity(chunks)} chunks of at most {made.max_tokens} tokens as {made.model} "
        "counts them",
        err=form is not None,
    )
    for path in made.empty:
        say(f"{path}: no text", err=True)
    for path, note in made.notes.items():
        say(f"{path}: {note}", err=True)
    embed = shell_line("qembed", "embed", made.output, "-o", "out", "--model", made.model)
    say(f"next: {embed}", err=True)
