"""The options of ``qembed upload`` for migrations, and what it does to an alias afterwards."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from qembed.terminal.options import compose

if TYPE_CHECKING:
    from qembed.index.server.retire import Drop

Function = TypeVar("Function", bound=Callable[..., Any])


def migration_options(function: Function) -> Function:
    """Add the options for aliases and for collections that do not fit."""
    return compose(
        function,
        click.option(
            "--migrate",
            type=click.Choice(["collection", "vector"]),
            help="Where the collection does not fit: load a new collection beside it, or write one named "
            "vector of its points. What is there stays as it is.",
        ),
        click.option(
            "--into",
            metavar="NAME",
            help="Name of the new collection of --migrate collection.  [default: NAME-DIMENSIONd]",
        ),
        click.option(
            "--alias",
            metavar="NAME",
            help="Alias that is moved to the collection after all checks have passed.",
        ),
        click.option(
            "--gate",
            type=click.Path(path_type=Path),
            is_flag=False,
            flag_value="reports",
            metavar="[REPORTS]",
            help="Only upload embeddings for which the newest stored bench with gates passed.  "
            "[folder without a value: reports]",
        ),
        click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing."),
        click.option("--rollback", is_flag=True, help="Point --alias back to where it was before."),
        click.option(
            "--drop-old",
            is_flag=True,
            help="Delete the collection that --alias pointed to before. Refused while anything needs it.",
        ),
    )


def move_back(embeddings: Path | None, alias: str | None, *, as_json: bool, **where: Any) -> None:
    """``--rollback``."""
    from qembed.commands.upload.after import roll_back_alias
    from qembed.errors import UsageError
    from qembed.terminal.output import print_json, say

    if alias is None:
        raise UsageError("--rollback moves an alias", remedy="--alias NAME says which")
    way = roll_back_alias(alias, embeddings=embeddings, **where)
    if as_json:
        print_json(
            {
                "schema": "qembed.rollback/1",
                "alias": alias,
                "before": way.now,
                "now": way.back,
                "dry_run": where["dry_run"],
            }
        )
        return
    would = "would point" if where["dry_run"] else "points"
    say(f"{alias} {would} to {way.back} again; {way.now} stays as it is")


def drop_replaced(
    embeddings: Path | None, alias: str | None, *, yes: bool, dry_run: bool, as_json: bool, **where: Any
) -> None:
    """``--drop-old``."""
    from qembed.commands.upload.after import drop_old_collection
    from qembed.errors import UsageError
    from qembed.terminal.output import print_json, say

    if alias is None:
        raise UsageError(
            "--drop-old deletes what an alias pointed to before", remedy="--alias NAME says which"
        )
    if not yes and not dry_run and not _somebody():
        raise UsageError("--drop-old deletes a collection, and nobody can be asked here", remedy="add --yes")
    decided: list[Drop] = []

    def confirm(found: Drop) -> bool:
        decided.append(found)
        return not dry_run and (yes or _asked(found))

    dropped = drop_old_collection(alias, embeddings=embeddings, confirm=confirm, **where)
    (found,) = decided
    if as_json:
        print_json(
            {
                "schema": "qembed.drop-old/1",
                "collection": found.old,
                "points": found.points,
                "replaced_by": found.new,
                "alias": found.alias,
                "deleted": dropped is not None,
            }
        )
    elif dropped is not None:
        becomes = f"; {found.alias} is an alias of {found.new} now" if found.alias else ""
        say(f"deleted {found.old}{becomes}")
    else:
        say(f"{'would delete' if dry_run else 'kept'} {_described(found)}")


def _somebody() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def _asked(found: Drop) -> bool:
    then = f", then make {found.alias} an alias of {found.new}" if found.alias else ""
    return click.confirm(f"Delete {_described(found)}{then}? It cannot be undone.", err=True)


def _described(found: Drop) -> str:
    if found.gone:
        return f"{found.old} (deleted already, replaced by {found.new})"
    sizes = ", ".join(f"{size:,}" for size in found.dimensions.values())
    return f"{found.old} ({found.points:,} points of {sizes} dimensions, replaced by {found.new})"
