"""``qembed kaggle``: check a Kaggle session, make a notebook for one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qembed.errors import ModelUnreachable, OutputExists
from qembed.terminal.options import INPUT, JSON, PRECISIONS, CommandGroup, advanced
from qembed.terminal.output import say

if TYPE_CHECKING:
    from rich.table import Table

    from qembed.commands.kaggle.check import Check

SCHEMA = "qembed.kaggle-check/1"
_STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}

MODEL = click.option(
    "-m", "--model", help="Folder, hub id or short name.  [default: nomic-ai/nomic-embed-code]"
)
DEVICE = click.option("--device", default="auto", show_default=True, help="Devices, as for qembed embed.")
DATASET = click.option(
    "--dataset",
    metavar="NAME",
    help="The input's name, where there are several: owner/name, or a folder in it.",
)

PRECISION = click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="Precision, as for qembed embed.",
)


@click.group(cls=CommandGroup, short_help="Check a Kaggle session; make a notebook for one.")
def command() -> None:
    """Run qembed on Kaggle.

    In a Kaggle notebook, qembed embed finds its input below /kaggle/input and writes to /kaggle/working.

    \b
    Examples:
      qembed kaggle check
      qembed kaggle bundle chunks/ -o kit/ --user me
      qembed kaggle notebook -o notebook.ipynb
    """


@command.command("check", short_help="Check what this session has, and what is missing.")
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
@PRECISION
@click.option(
    "--install",
    metavar="WHAT",
    help="What pip installs: a wheel, git+URL, or a folder of wheels (ends with /).  [default: the wheel "
    "among the notebook's inputs]",
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


@command.command("bundle", short_help="Write a dataset and a notebook for the kaggle client.")
@INPUT
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The kit's folder.",
)
@click.option("--user", required=True, metavar="NAME", help="Your Kaggle account, as in kaggle.com/NAME.")
@click.option("--name", metavar="NAME", help="Name of the dataset.  [default: qembed-COLLECTION]")
@MODEL
@DEVICE
@PRECISION
@advanced(
    "--wheel", type=click.Path(path_type=Path, exists=True), help="Wheel of qembed.  [default: made now]"
)
@advanced(
    "--model-input", metavar="MODEL", help="Weights: owner/model/framework/variation/version on Kaggle."
)
@advanced("--no-internet", is_flag=True, help="Run without internet; needs --wheels and --model-input.")
@advanced(
    "--wheels",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Wheels of all that qembed needs, for a session without internet.",
)
@click.option("--force", is_flag=True, help="Replace a kit that is there.")
def bundle(
    input: Path,
    output: Path,
    model: str | None,
    device: str,
    precision: str,
    no_internet: bool,
    **choices: Any,
) -> None:
    """Write a folder for each of two commands of the official kaggle client, which start the run.

    OUTPUT/dataset holds the chunks below INPUT and a wheel of this qembed, OUTPUT/kernel the notebook, set to
    two T4 with internet. Nothing is sent. docs/kaggle.md goes from here to the vectors.

    \b
    Examples:
      qembed kaggle bundle chunks/ -o kit/ --user me
      qembed kaggle bundle chunks/ -o kit/ --user me --model minilm --device cpu
    """
    from qembed.commands.kaggle.bundle import BundleOptions
    from qembed.commands.kaggle.bundle import bundle as make
    from qembed.commands.kaggle.notebook import NotebookOptions
    from qembed.models import DEFAULT_MODEL

    chosen = NotebookOptions(model=model or DEFAULT_MODEL, device=device, precision=precision)
    made = make(input, output, BundleOptions(notebook=chosen, internet=not no_internet, **choices))
    say(f"Wrote {made.dataset} and {made.kernel}. Next (pip install kaggle, and a token from kaggle.com):\n")
    say("\n".join(f"  {line}" for line in made.commands))


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
