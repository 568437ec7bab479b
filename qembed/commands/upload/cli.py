"""``qembed upload``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qembed.commands.upload.alias_cli import drop_replaced, migration_options, move_back
from qembed.terminal.options import DURATION, JSON, AdvancedCommand, advanced

if TYPE_CHECKING:
    from rich.console import RenderableType

_MIB = 2**20


@click.command(cls=AdvancedCommand, short_help="Upload embeddings to a Qdrant server.")
@click.argument("embeddings", type=click.Path(path_type=Path), required=False)
@click.option(
    "--url",
    required=True,
    envvar="QDRANT_URL",
    show_envvar=True,
    help="URL of Qdrant's REST API.",
)
@click.option(
    "--collection", metavar="NAME", help="Collection, or an alias of it. It is made if it is absent."
)
@click.option("--vector", default="", metavar="NAME", help="Named vector.  [default: one unnamed vector]")
@click.option("--changed-only", is_flag=True, help="Ask the server what it holds; send only what differs.")
@click.option("--prune", is_flag=True, help="Delete points whose chunks are no longer in the corpus.")
@click.option("-y", "--yes", is_flag=True, help="Delete without asking.")
@click.option(
    "--index-field",
    "index_fields",
    multiple=True,
    metavar="FIELD[:TYPE]",
    help="Payload index, made before the points: keyword, integer, float, bool, datetime, text, uuid, geo. "
    "Repeatable.",
)
@click.option(
    "--quantization",
    type=click.Choice(["none", "scalar", "binary", "turbo"]),
    help="Quantisation of the collection.",
)
@click.option("--on-disk/--in-memory", default=None, help="Where the server keeps vectors.")
@migration_options
@click.option(
    "--streams", type=click.IntRange(1, 16), default=4, show_default=True, help="Requests at a time."
)
@JSON
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@advanced(
    "--batch-points",
    type=click.IntRange(min=1),
    metavar="N",
    default=256,
    show_default=True,
    help="Most points per request.",
)
@advanced(
    "--batch-mib",
    type=click.FloatRange(0.01, 32),
    metavar="MIB",
    default=8,
    show_default=True,
    help="Largest request.",
)
@advanced("--timeout", type=DURATION, default="60s", show_default=True, help="For one request.")
@advanced(
    "--patience",
    type=DURATION,
    default="5m",
    show_default=True,
    help="How long a failing request is retried.",
)
@advanced(
    "--wait-green",
    type=DURATION,
    default="15m",
    show_default=True,
    help="How long to wait for the server to index.",
)
@advanced(
    "--sample",
    type=click.IntRange(min=0),
    metavar="N",
    default=100,
    show_default=True,
    help="Points that are read back and compared.",
)
@advanced(
    "--hold-indexing", is_flag=True, help="Pause indexing while uploading into an existing collection too."
)
def command(
    embeddings: Path | None,
    url: str,
    collection: str | None,
    yes: bool,
    dry_run: bool,
    rollback: bool,
    drop_old: bool,
    as_json: bool,
    quiet: bool,
    batch_mib: float,
    timeout: float,
    patience: float,
    wait_green: float,
    **choices: Any,
) -> None:
    """Upload embeddings into a collection on a Qdrant server, and check that everything arrived.

    EMBEDDINGS is a file (JSON lines, Parquet or npy; one shard stands for all) or its folder. It is audited
    first. Then the collection is made, or compared with what the vectors need. Every point is checked at the
    end, and a sample is read back. If it is interrupted, the same command resumes. Nothing is ever doubled.

    A collection that does not fit is left as it is: --migrate loads the vectors beside it, and --alias moves
    the name that applications use. --rollback moves it back; --drop-old deletes what it pointed to before.

    The key of the server is read from QDRANT_API_KEY. Without it, you are asked where the server wants one.

    \b
    Examples:
      qembed upload out/ --url http://localhost:6333 --collection docs
      qembed upload out/ --url localhost --collection docs --index-field year
      qembed upload out/ --url localhost --collection docs --changed-only --prune
      qembed upload out/ --url localhost --collection docs --migrate collection
      qembed upload --url localhost --alias docs --rollback
    """
    from qembed.commands.upload.options import UploadOptions
    from qembed.errors import UsageError
    from qembed.terminal.progress import make_progress

    somebody = sys.stdin.isatty()
    if choices["prune"] and not yes and not dry_run and not somebody:
        raise UsageError("--prune deletes points, and nobody can be asked here", remedy="add --yes")
    options = UploadOptions(
        batch_bytes=int(batch_mib * _MIB),
        timeout_seconds=max(1, round(timeout)),
        patience_seconds=patience,
        green_seconds=wait_green,
        **choices,
    )
    where: dict[str, Any] = {
        "url": url,
        "collection": collection,
        "options": options,
        "ask_key": _ask_key if somebody else None,
        "progress": make_progress(quiet=quiet),
    }
    if rollback and drop_old:
        raise UsageError("--rollback needs the collection that --drop-old deletes", remedy="use one of them")
    if rollback:
        move_back(embeddings, options.alias, as_json=as_json, dry_run=dry_run, **where)
    elif drop_old:
        drop_replaced(embeddings, options.alias, yes=yes, dry_run=dry_run, as_json=as_json, **where)
    elif embeddings is None or collection is None:
        missing = "EMBEDDINGS" if embeddings is None else "--collection"
        raise click.UsageError(f"Missing {missing}.")
    elif dry_run:
        _show_plan(embeddings, where, as_json=as_json)
    else:
        _upload(embeddings, where, yes=yes, as_json=as_json)


def _show_plan(embeddings: Path, where: dict[str, Any], *, as_json: bool) -> None:
    from qembed.commands.upload.upload import plan_upload
    from qembed.commands.upload.view import plan_as_document, render_plan

    plan = plan_upload(embeddings, **where)
    _print(plan_as_document(plan) if as_json else None, render_plan(plan))


def _upload(embeddings: Path, where: dict[str, Any], *, yes: bool, as_json: bool) -> None:
    from qembed.commands.upload.upload import upload
    from qembed.commands.upload.view import as_document, render

    result = upload(embeddings, confirm_prune=_confirm(yes), **where)
    _print(as_document(result) if as_json else None, render(result))


def _print(document: dict[str, Any] | None, parts: Iterator[RenderableType]) -> None:
    from rich.text import Text

    from qembed.terminal.output import console, print_json

    if document is not None:
        print_json(document)
        return
    out = console()
    for part in parts:
        out.print(part, soft_wrap=isinstance(part, Text))  # paths and commands stay whole, to be copied


def _ask_key() -> str:
    return str(click.prompt("API key of the server", hide_input=True, err=True))


def _confirm(yes: bool) -> Callable[[Sequence[str]], bool]:
    def confirm(chunk_ids: Sequence[str]) -> bool:
        from qembed.terminal.output import aside, quantity

        count, first = len(chunk_ids), chunk_ids[:3]
        points = f"{quantity(count)} point{'s' * (count != 1)}"
        aside(f"{points} whose chunks are no longer in the corpus:", *(f"  {each}" for each in first))
        if count > len(first):
            aside(f"  and {quantity(count - len(first))} more")
        return yes or click.confirm(f"Delete {points}?", err=True)

    return confirm
