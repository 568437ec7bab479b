"""``qembed quickstart``: run the usual commands, one after the other, on a small real collection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import click

from qembed.shell import shell_line
from qembed.terminal.options import AdvancedCommand
from qembed.terminal.output import say

PACKAGES = ("click", "rich", "qdrant_client", "sentence_transformers", "filelock", "psutil", "tokenizers")
"""Dependencies of qembed whose API documentation is the collection of the eval set ``python_api``."""

EXCLUDE = "qdrant_client.grpc"
"""Generated code, documented in one-line entries that nobody searches for."""

BUNDLED, PUBLISHED = "maxsim:minilm", "msmarco"
"""Rerankers: one of the model that comes with qembed, and one that is fetched."""

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
    fusion and reranking help. Where `qembed models fetch msmarco` has been run, that reranker is measured
    too; quickstart itself downloads nothing. Each command is printed before it runs, so you can repeat it on
    your own data.

    \b
    Example:
      qembed quickstart
      qembed quickstart -o /tmp/first-light
    """
    rerankers = local_rerankers()
    steps = quickstart_steps(output, model, rerankers)
    started = perf_counter()
    for number, (title, arguments) in enumerate(steps, start=1):
        click.secho(f"\n[{number}/{len(steps)}] {title}", bold=True)
        say(f"$ {shell_line('qembed', *arguments)}\n")
        code = run_step(ctx, arguments)
        if code:
            say(f"error: this step failed with exit code {code}; see the message above", err=True)
            ctx.exit(code)
    click.secho(f"\nDone in {perf_counter() - started:.0f} s. Everything is in {output}/", bold=True)
    vectors = output / "vectors"
    say(f"  {output / 'python_api'}  the chunks")
    say(f"  {vectors}  vectors (JSONL), summary, manifest")
    say(f"  {output / 'reports'}  results of the bench")
    say(f"Search more:      {shell_line('qembed', 'search', vectors, 'your question')}")
    say(f"Read the report:  {shell_line('qembed', 'report', output / 'reports')}")
    if PUBLISHED not in rerankers:
        say(f"Published reranker:  qembed models fetch {PUBLISHED}, then run this again")
    own = shell_line("qembed", "embed", "FOLDER", "-o", output / "mine", "--model", model)
    say(f"Your own chunks:  {own}")


def local_rerankers() -> list[str]:
    """The rerankers that need no download: the bundled model's, and a published one that has been fetched."""
    from qembed.errors import ModelUnreachable
    from qembed.models import resolve_model

    try:
        resolve_model(PUBLISHED, kind="reranker")
    except ModelUnreachable:
        return [BUNDLED]
    return [BUNDLED, PUBLISHED]


def quickstart_steps(output: Path, model: str, rerankers: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Title and command line of every step."""
    packages = [*PACKAGES, "--exclude", EXCLUDE]
    chunks, vectors = str(output / "python_api"), str(output / "vectors")
    rerank = [word for name in rerankers for word in ("-r", name)]
    depths = "10,20" if PUBLISHED in rerankers else "10,20,50"  # it reads pairs: half a minute per 10
    return [
        ("Make chunks from the documentation of installed packages",
         ["corpus", "from-package", *packages, "-o", chunks, "--model", model, "--force"]),
        ("Inspect the chunks", ["inspect", chunks, "--model", model, "--groups", "3"]),
        ("Embed them", ["embed", chunks, "-o", vectors, "--model", model, "--force"]),
        ("Audit the vectors", ["audit", vectors]),
        ("Measure the vectors against BM25, fusion and reranking on judged questions",
         ["bench", vectors, "-e", "python_api", *rerank, "--depth", depths,
          "--latency-queries", "10", "-o", str(output / "reports")]),
        ("Search", ["search", vectors, *QUESTIONS, "-k", "3"]),
    ]  # fmt: skip


def run_step(ctx: click.Context, arguments: list[str]) -> int:
    """Run one qembed command in this process and return its exit code."""
    group = ctx.find_root().command
    result = group.main(args=arguments, prog_name="qembed", standalone_mode=False)
    return result if isinstance(result, int) else 0
