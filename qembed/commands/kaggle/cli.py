"""``qembed kaggle``: check a Kaggle session, make a notebook for one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qembed.errors import ModelUnreachable, OutputExists
from qembed.terminal.options import JSON, PRECISIONS, CommandGroup
from qembed.terminal.output import say

if TYPE_CHECKING:
    from rich.table import Table

    from qembed.commands.kaggle.check import Check

SCHEMA = "qembed.kaggle-check/1"
_STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}

MODEL = click.option(
    "-m", "--model", help="Folder, hub id or short name.  [default: nomic-ai/nomic-embed-code]"
)
DEVICE = click.option(
    "--device", default="auto", show_default=True, help="As it will be given to qembed embed."
)
DATASET = click.option(
    "--dataset",
    metavar="NAME",
    help="The input's name, where there are several: owner/name, or a folder in it.",
)


@click.group(cls=CommandGroup, short_help="Check a Kaggle session; make a notebook for one.")
def command() -> None:
    """Run qembed on Kaggle.

    In a Kaggle notebook, qembed embed finds its input below /kaggle/input and writes to /kaggle/working.

    \b
    Examples:
      qembed kaggle check
      qembed kaggle notebook -o notebook.ipynb
    """


@command.command("check", short_help="What this session has, and what is missing.")
@DEVICE
@MODEL
@DATASET
@JSON
@click.pass_context
def check(ctx: click.Context, device: str, model: str | None, dataset: str | None, as_json: bool) -> None:
    """Show GPUs, internet, disk, time, input and versions of a Kaggle session.

    Exit code 0: all is well (warnings are allowed); 3: something is missing.

    \b
    Examples:
      qembed kaggle check
      qembed kaggle check --device cuda:0,cuda:1 --model minilm
      qembed kaggle check --json | jq .gpus
    """
    from qembed.commands.kaggle.check import check as judge
    from qembed.commands.kaggle.check import choose_in, look
    from qembed.engine.planning.facts import model_facts
    from qembed.models import DEFAULT_MODEL, resolve_model
    from qembed.terminal.output import console, print_json

    source, session = resolve_model(model or DEFAULT_MODEL), look()
    choice = None
    with suppress(ModelUnreachable):  # then the check of the hub says so
        choice = choose_in(session, model_facts(source), device)
    checks = judge(session, device=device, choice=choice, dataset=dataset, needs_hub=source.path is None)
    failed = sum(each.outcome == "failed" for each in checks)
    if as_json:
        inputs = [{"folder": str(each.folder), "files": each.files} for each in session.inputs]
        facts = {**asdict(session), "inputs": inputs}
        print_json({"schema": SCHEMA, "failed": failed, **facts, "checks": checks})
    else:
        out = console()
        out.print(_table(checks))
        out.print(", ".join(f"{name} {version}" for name, version in session.versions.items() if version))
    if failed:
        ctx.exit(3)


@command.command("notebook", short_help="Write a ready notebook.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The .ipynb file."
)
@MODEL
@DATASET
@DEVICE
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="As for qembed embed.",
)
@click.option(
    "--install",
    default="qembed-toolkit",
    show_default=True,
    metavar="WHAT",
    help="What pip installs: a name, a wheel, git+URL, or a folder of wheels (ends with /).",
)
@click.option("--force", is_flag=True, help="Replace the file.")
def notebook(output: Path, model: str | None, force: bool, **choices: Any) -> None:
    """Write a notebook that installs, checks, plans, embeds, audits, searches and packs.

    On kaggle.com: Create > New Notebook, then File > Import Notebook. Add your chunks as input and run all.

    \b
    Examples:
      qembed kaggle notebook -o notebook.ipynb
      qembed kaggle notebook -o small.ipynb --model minilm --device cpu
      qembed kaggle notebook -o n.ipynb --install git+https://host/owner/qembed
      qembed kaggle notebook -o n.ipynb --install /kaggle/input/me-wheels/
    """
    from qembed.commands.kaggle.notebook import NotebookOptions
    from qembed.commands.kaggle.notebook import notebook as make
    from qembed.models import DEFAULT_MODEL
    from qembed.store import write_json

    if output.exists() and not force:
        raise OutputExists("the file is there already", where=str(output), remedy="--force replaces it")
    options = NotebookOptions(model=model or DEFAULT_MODEL, **choices)
    write_json(output, make(options))
    say(f"Wrote {output}")


def _table(checks: list[Check]) -> Table:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for each in checks:
        grid.add_row(each.name, Text(each.outcome, style=_STYLES[each.outcome]), Text(each.found))
        if each.remedy:
            grid.add_row("", "", Text(f"next: {each.remedy}", style="dim"))
    return grid
