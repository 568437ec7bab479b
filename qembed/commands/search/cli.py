"""``qembed search``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qembed.terminal.options import JSON, SOURCE, AdvancedCommand, key_options, model_options

if TYPE_CHECKING:
    from qembed.commands.search.search import Result
    from qembed.index import IndexKind


@click.command(cls=AdvancedCommand, short_help="Ask a question of embeddings.")
@SOURCE
@click.argument("questions", nargs=-1, required=True, metavar="QUESTION...")
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="Results per question.")
@click.option("-s", "--subdirectory", help="Only chunks of this subdirectory.")
@click.option(
    "-f",
    "--filter",
    "filters",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Only chunks whose metadata match (=, !=, <, <=, >, >=). Repeatable.",
)
@click.option("-m", "--model", help="Model that made the vectors, where no manifest names it.")
@model_options
@click.option(
    "--index",
    type=click.Choice(["auto", "memory", "edge", "exact"]),
    default="auto",
    show_default=True,
    help="Where the vectors are searched: in-memory Qdrant, embedded Qdrant (edge) or a matrix (exact). "
    "auto decides by their number, and asks a collection's own server.",
)
@click.option("--full", is_flag=True, help="Print whole chunks instead of snippets.")
@key_options
@JSON
def command(
    embeddings: Path | str,
    questions: tuple[str, ...],
    k: int,
    subdirectory: str | None,
    filters: tuple[str, ...],
    model: str | None,
    index: IndexKind,
    full: bool,
    as_json: bool,
    text_key: str | None,
    id_key: str | None,
    **choices: Any,
) -> None:
    """Find the chunks that answer each QUESTION.

    EMBEDDINGS is a file (JSON lines, Parquet or npy; one shard stands for all), its folder, an export of
    Qdrant, or a collection on a server (qdrant://HOST/COLLECTION), which is searched there. Up to 20,000
    vectors of a file are searched in in-memory Qdrant; more in embedded Qdrant where it is installed, else in
    a matrix. All of them compare every vector (exact search). The manifest says which model and query prompt
    encode the question; without one, --model does. Chunks with identical text are one result, with a count.

    \b
    Examples:
      qembed search out/ "how do I filter by payload?"
      qembed search out/ "what is HNSW" "how to snapshot" -k 3
      qembed search out/ "delete points" -s qdrant_qdrant-client
      qembed search out/ "delete points" --filter "chunk_index<5" --json
      qembed search out/ "delete points" --index exact
      qembed search qdrant://localhost/docs "delete points" -m minilm
    """
    from qembed.commands.search.search import open_index
    from qembed.index import Condition, parse_condition
    from qembed.models import EncoderOptions
    from qembed.store import Keys
    from qembed.terminal.output import print_json
    from qembed.terminal.progress import make_progress

    where = [parse_condition(text) for text in filters]
    if subdirectory is not None:
        where.append(Condition("subdirectory", "=", subdirectory))
    opened = open_index(
        embeddings,
        model=model,
        options=EncoderOptions(**choices),
        index=index,
        keys=Keys(text=text_key, id=id_key),
        progress=make_progress(quiet=as_json),
    )
    answers = [(question, opened.ask(question, k=k, where=where)) for question in questions]
    if as_json:
        print_json(
            {
                "index": {
                    "name": opened.index.name,
                    "exact": opened.index.exact,
                    "points": len(opened.index),
                },
                "model": opened.encoder.info.id,
                "answers": [
                    {"question": question, "results": list(map(asdict, results))}
                    for question, results in answers
                ],
            }
        )
        return
    for question, results in answers:
        show(question, results, full=full)


def show(question: str, results: list[Result], *, full: bool = False) -> None:
    """Print the answer to one question, for people."""
    from rich.padding import Padding
    from rich.text import Text

    from qembed.store.keys import listed
    from qembed.terminal.output import console, quantity
    from qembed.terminal.snippet import snippet

    out = console()
    out.print(Text(question, style="bold"))
    if not results:
        out.print("  no chunk meets the conditions; --json shows the names of the fields")
    for result in results:
        copies = f"  (+{quantity(len(result.copies))} identical)" if result.copies else ""
        head = Text(f"{result.rank:>3}  {result.score:.3f}  ")
        head.append(result.chunk_id, style="cyan")
        head.append(copies, style="dim")
        out.print(head, soft_wrap=True)
        body = result.text if full else snippet(result.text, question)
        if not result.text:
            body = (
                f"no text; the keys are {listed(result.metadata)}; --text-key KEY names the one with the text"
            )
        out.print(Padding(Text(body), (0, 0, 0, 5)))
    out.print()
