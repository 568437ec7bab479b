"""``qembed quickstart``: the main job end to end, by running the commands that a user would."""

from __future__ import annotations

import shlex
from pathlib import Path
from time import perf_counter

import click

from qembed.terminal.options import AdvancedCommand

PACKAGES = ("click", "rich", "qdrant_client", "sentence_transformers", "filelock", "psutil", "tokenizers")
"""Installed with qembed; their API documentation is a real collection, and what ``python_api`` judges."""

EXCLUDE = "qdrant_client.grpc"
"""Generated one-line entries, which nobody asks about."""

QUESTIONS = (
    "how do I delete points that match a filter?",
    "ask the user for a password without showing it",
    "display a progress bar while looping",
)


@click.command(cls=AdvancedCommand, short_help="The main job end to end, offline.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("quickstart"),
    show_default=True,
    help="Folder for everything it makes.",
)
@click.option(
    "-m", "--model", default="minilm", show_default=True, help="The model; minilm needs no model hub."
)
@click.pass_context
def command(ctx: click.Context, /, output: Path, model: str) -> None:
    """Make, inspect, embed, audit, measure and search a real collection; no GPU and no model hub needed.

    The collection is the API documentation of seven packages that are installed with qembed; 160 judged
    questions measure what BM25, fusion and reranking are worth on it. Every step is a command that is shown
    before it runs, so that you can go on with it. Takes two to five minutes on two cores.

    \b
    Example:
      qembed quickstart
      qembed quickstart -o /tmp/first-light
    """
    packages = [*PACKAGES, "--exclude", EXCLUDE]
    chunks, vectors = str(output / "python_api"), str(output / "vectors")
    steps = [
        ("Make a folder of chunks from installed packages' documentation",
         ["corpus", "from-package", *packages, "-o", chunks, "--model", model, "--force"]),
        ("See what it holds", ["inspect", chunks, "--model", model, "--groups", "3"]),
        ("Turn every chunk into a vector", ["embed", chunks, "-o", vectors, "--model", model, "--force"]),
        ("Check the vectors", ["audit", vectors]),
        ("Measure: Qdrant alone against BM25, fusion and a reranker, on judged questions",
         ["bench", vectors, "-e", "python_api", "-r", "maxsim:minilm", "--depth", "10,20,50",
          "--latency-queries", "10", "-o", str(output / "reports")]),
        ("Search them", ["search", vectors, *QUESTIONS, "-k", "3"]),
    ]  # fmt: skip
    started = perf_counter()
    for number, (title, arguments) in enumerate(steps, start=1):
        click.secho(f"\n[{number}/{len(steps)}] {title}", bold=True)
        click.echo(f"$ {shlex.join(['qembed', *arguments])}\n")
        code = run_step(ctx, arguments)
        if code:
            click.echo(f"the step ended with exit code {code}", err=True)
            ctx.exit(code)
    click.secho(f"\nDone in {perf_counter() - started:.0f} s. Everything lies in {output}/", bold=True)
    click.echo(f"  {chunks}  the chunks")
    click.echo(f"  {vectors}  vectors (JSONL), summary, manifest")
    click.echo(f"  {output / 'reports'}  what the bench found")
    click.echo(f'Ask more:  qembed search {vectors} "your question"')
    click.echo(f"Your own:  qembed embed FOLDER -o {output}/mine --model {model}")


def run_step(ctx: click.Context, arguments: list[str]) -> int:
    """Run one command of the same program; returns its exit code."""
    group = ctx.find_root().command
    result = group.main(args=arguments, prog_name="qembed", standalone_mode=False)
    return result if isinstance(result, int) else 0
