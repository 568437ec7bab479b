"""After a migration: the way back, and the end of the old collection. Both are decided before they are done.

Both live on what was written down when the alias moved (``alias.move_alias``), so they work from any machine
where the server keeps notes, and else where the embeddings are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qembed.errors import CheckFailed, InputNotFound, QembedError, UsageError
from qembed.index.server.alias import aliases_of, point
from qembed.index.server.notes import ALIAS, POINTS, REPLACES
from qembed.index.server.situation import Situation
from qembed.shell import shell_line

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


@dataclass(frozen=True, slots=True)
class WayBack:
    """An alias that goes back.

    Attributes:
        alias: Its name.
        now: The collection that it points to.
        back: The collection that it will point to.
    """

    alias: str
    now: str
    back: str


@dataclass(frozen=True, slots=True)
class Drop:
    """A collection that is deleted.

    Attributes:
        old: The collection.
        points: How many it holds.
        dimensions: Name of each of its vectors -> dimension.
        new: The collection that replaces it.
        alias: What is made to point to ``new`` afterwards: the old collection had the name that applications
            use. None where an alias points there already.
        gone: It is deleted already, and only the alias is still to be made.
    """

    old: str
    points: int
    dimensions: dict[str, int]
    new: str
    alias: str | None
    gone: bool = False


def way_back(alias: str, there: Situation, to: str | None = None) -> WayBack:
    """Where an alias goes back to. Pure.

    Args:
        alias: Its name.
        there: What the server has, looked at the alias.
        to: The collection to go back to; what was written down when None.

    Raises:
        InputNotFound: There is no such alias, or the collection is gone.
        UsageError: Nothing is known of where it pointed.
    """
    now = _pointing(alias, there)
    noted = there.found[now].notes.get(ALIAS + alias)
    back = there.resolve(to) if to else noted
    if not back:
        why = "pointed to nothing before" if noted == "" else "qembed knows nothing of where it was before"
        raise UsageError(
            f"the alias {alias!r} points to {now!r}, and {why}",
            remedy="name where it should point to: --collection NAME. A server before 1.16 keeps "
            "its notes beside the embeddings: name them too",
        )
    if back not in there.names:
        raise InputNotFound(
            f"the collection {back!r}, to which {alias!r} would go back, is not there any more",
            where=there.url,
            remedy=_others(there, now),
        )
    return WayBack(alias, now, str(back))


def go_back(client: QdrantClient, way: WayBack) -> None:
    """Point the alias back; harmless where it is back already.

    Raises:
        QembedError: It did not move.
    """
    if way.now != way.back:
        point(client, way.alias, way.back, way.now)


def what_to_drop(alias: str, there: Situation, new: str | None = None) -> Drop:
    """The old collection of a migration, if nothing needs it any more. Pure.

    Args:
        alias: The alias that moved; or the name of the old collection itself, which then becomes an alias.
        there: What the server has, looked at ``alias`` and ``new``.
        new: The collection that replaces the old one; the one that the alias points to when None.

    Raises:
        InputNotFound: There is no such alias or collection, or the old one is gone already.
        UsageError: Nothing is known of what was replaced.
        CheckFailed: An alias points to the old collection, or did last; or the new one is not complete.
    """
    becomes_alias = alias in there.names or (new in there.names and alias not in there.aliases)
    if becomes_alias and new is None:
        raise UsageError(
            f"{alias!r} is a collection; which one replaces it?", remedy="name the new one: --collection NAME"
        )
    now = there.resolve(new) if becomes_alias and new is not None else _pointing(alias, there)
    if now not in there.found:
        raise InputNotFound(f"there is no collection {new!r}", where=there.url, remedy=_others(there, now))
    if new is not None and there.resolve(new) != now:
        raise UsageError(
            f"the alias {alias!r} points to {now!r}, not to {new!r}", remedy="leave --collection out"
        )
    notes = there.found[now].notes
    replaced = notes.get(REPLACES) if becomes_alias else notes.get(ALIAS + alias) or notes.get(REPLACES)
    if not replaced or (becomes_alias and replaced != alias):
        raise UsageError(
            f"nothing says that {now!r} replaces {repr(alias) if becomes_alias else 'another collection'}",
            remedy="qembed deletes only what a migration of its own replaced; others are yours to delete",
        )
    old = str(replaced)
    if old not in there.names and becomes_alias:  # a kill came between the two requests
        return Drop(old, 0, {}, now, alias, gone=True)
    if old not in there.names:
        raise InputNotFound(f"{old!r} is not there any more", where=there.url, remedy="nothing is left to do")
    _nobody_needs(old, now, there, becoming=alias if becomes_alias else None)
    found = there.found[old]
    dimensions = {name: dense.size for name, dense in found.configuration.vectors.items()}
    return Drop(old, found.points, dimensions, now, alias if becomes_alias else None)


def drop(client: QdrantClient, decided: Drop) -> None:
    """Delete the old collection, and give its name to an alias where that was decided.

    Raises:
        CheckFailed: An alias points to it by now.
        QembedError: The alias could not be made.
    """
    pointing = _pointing_to(decided.old, aliases_of(client))
    if pointing:
        raise _in_use(decided.old, pointing)
    if not decided.gone:
        client.delete_collection(decided.old)
    if decided.alias is not None:
        try:
            point(client, decided.alias, decided.new, None)
        except Exception as error:
            raise QembedError(
                f"{decided.old!r} is deleted, and the alias {decided.alias!r} could not be made: {error}",
                remedy="make it: "
                + shell_line(
                    "qembed", "upload", "OUT", "--collection", decided.new, "--alias", decided.alias
                ),
            ) from error


def _nobody_needs(old: str, new: str, there: Situation, becoming: str | None) -> None:
    if pointing := _pointing_to(old, there.aliases):
        raise _in_use(old, pointing)
    notes = there.found[new].notes
    last = {key.removeprefix(ALIAS): val for key, val in notes.items() if key.startswith(ALIAS)}
    gone = sorted(name for name, before in last.items() if before == old and name not in there.aliases)
    if gone:
        raise CheckFailed(
            f"{old!r} is what the alias {gone[0]!r} pointed to, and that alias is gone",
            where=there.url,
            remedy=f"see who asks for {gone[0]!r}; the upload with --alias {gone[0]} makes it again",
        )
    replacing = there.found[new]
    expected = int(notes.get(POINTS) or 1)
    if replacing.points < expected or replacing.status == "red":
        raise CheckFailed(
            f"{new!r}, which replaces {old!r}, is not complete: {replacing.points:,} of {expected:,} points, "
            f"status {replacing.status}",
            where=there.url,
            remedy="run the upload again; it sends what is missing",
        )
    if becoming is None and new not in there.aliases.values():
        raise CheckFailed(
            f"no alias points to {new!r}",
            where=there.url,
            remedy="move it first: the upload with --alias NAME",
        )


def _pointing(alias: str, there: Situation) -> str:
    """The collection of an alias."""
    if alias in there.aliases:
        return there.aliases[alias]
    if alias in there.names:
        raise UsageError(f"{alias!r} is a collection, no alias", remedy="name the alias: --alias NAME")
    names = ", ".join(sorted(there.aliases)) or "none"
    raise InputNotFound(f"there is no alias {alias!r}", where=there.url, remedy=f"the server has: {names}")


def _pointing_to(collection: str, aliases: Mapping[str, str]) -> list[str]:
    return sorted(name for name, target in aliases.items() if target == collection)


def _in_use(old: str, pointing: list[str]) -> CheckFailed:
    return CheckFailed(
        f"{old!r} is in use: {', '.join(pointing)} points to it",
        remedy=f"move it first: the upload with --alias {pointing[0]}",
    )


def _others(there: Situation, now: str) -> str:
    names = sorted(there.names - {now})
    return (
        f"--collection names another one: {', '.join(names[:20])}"
        if names
        else "no other collection is there"
    )
