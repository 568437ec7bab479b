"""``qembed quickstart``: run the usual commands, one after the other, on a small real collection."""

from __future__ import annotations

import shlex
from pathlib import Path
from time import perf_counter

import click

from qembed.terminal.options import AdvancedCommand

PACKAGES = ("click", "rich", "qdrant_client", "sentence_transformers", "filelock", "psutil", "tokenizers")
"""Dependencies of qembed whose API documentation is the collection of the eval set ``python_api``."""

EXCLUDE = "qdrant_client.grpc"
"""Generated code, documented in one-line entries that nobody searches for."""

QUESTIONS = (
    "how do I delete points that match a filter?",
    "ask the user for a password without showing it",
    "display a progress bar while looping",
)


@click.command(cls=AdvancedCommand, short_help="Try everything on a small collection, offline.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("quickstart"),
    show_default=True,
    help="Folder for all output.",
)
@click.option(
    "-m", "--model", default="minilm", show_default=True, help="Embedding model. minilm comes with qembed."
)
@click.pass_context
def command(ctx: click.Context, /, output: Path, model: str) -> None:
    """Make, inspect, embed, audit, measure and search a small real collection.

    It needs no GPU and no network, and takes two to five minutes on two cores. The collection is the API
    documentation of seven Python packages that qembed depends on. 160 judged questions measure how much BM25,
    fusion and reranking help. Each command is printed before it runs, so you can repeat it on your own data.

    \b
    Example:
      qembed quickstart
      qembed quickstart -o /tmp/first-light
    """
    packages = [*PACKAGES, "--exclude", EXCLUDE]
    chunks, vectors = str(output / "python_api"), str(output / "vectors")
    steps = [
        ("Make chunks from the documentation of installed packages",
         ["corpus", "from-package", *packages, "-o", chunks, "--model", model, "--force"]),
        ("Inspect the chunks", ["inspect", chunks, "--model", model, "--groups", "3"]),
        ("Embed them", ["embed", chunks, "-o", vectors, "--model", model, "--force"]),
        ("Audit the vectors", ["audit", vectors]),
        ("Measure the vectors against BM25, fusion and a reranker on judged questions",
         ["bench", vectors, "-e", "python_api", "-r", "maxsim:minilm", "--depth", "10,20,50",
          "--latency-queries", "10", "-o", str(output / "reports")]),
        ("Search", ["search", vectors, *QUESTIONS, "-k", "3"]),
    ]  # fmt: skip
    started = perf_counter()
    for number, (title, arguments) in enumerate(steps, start=1):
        click.secho(f"\n[{number}/{len(steps)}] {title}", bold=True)
        click.echo(f"$ {shlex.join(['qembed', *arguments])}\n")
        code = run_step(ctx, arguments)
        if code:
            click.echo(f"error: this step failed with exit code {code}; see the message above", err=True)
            ctx.exit(code)
    click.secho(f"\nDone in {perf_counter() - started:.0f} s. Everything is in {output}/", bold=True)
    click.echo(f"  {chunks}  the chunks")
    click.echo(f"  {vectors}  vectors (JSONL), summary, manifest")
    click.echo(f"  {output / 'reports'}  results of the bench")
    click.echo(f'Search more:      qembed search {vectors} "your question"')
    click.echo(f"Read the report:  qembed report {output / 'reports'}")
    click.echo(f"Your own chunks:  qembed embed FOLDER -o {output}/mine --model {model}")


def run_step(ctx: click.Context, arguments: list[str]) -> int:
    """Run one qembed command in this process and return its exit code."""
    group = ctx.find_root().command
    result = group.main(args=arguments, prog_name="qembed", standalone_mode=False)
    return result if isinstance(result, int) else 0
