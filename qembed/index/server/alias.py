"""Aliases: the name that applications use, moved from one collection to another in a single request.

Where an alias pointed to is written down at the collection that it moves to, before it moves. So the way back
is known to whoever asks the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qembed.errors import QembedError, UsageError
from qembed.index.server.notes import ALIAS, Notes

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


def aliases_of(client: QdrantClient) -> dict[str, str]:
    """Every alias of the server -> the collection that it points to."""
    return {each.alias_name: each.collection_name for each in client.get_aliases().aliases}


def move_alias(client: QdrantClient, alias: str, notes: Notes) -> str | None:
    """Point an alias to the collection of ``notes``; returns what it pointed to, None for nothing.

    Moving it again is harmless: what it pointed to before the first time stays written down.

    Raises:
        UsageError: There is a collection of that name.
        QembedError: The server says that it moved, and it did not.
    """
    if alias in {each.name for each in client.get_collections().collections}:
        raise name_is_taken(alias)
    before = aliases_of(client).get(alias)
    if before == notes.collection:
        return notes.read().get(ALIAS + alias) or None
    notes.write({ALIAS + alias: before or ""})
    point(client, alias, notes.collection, before)
    return before


def point(client: QdrantClient, alias: str, collection: str, before: str | None) -> None:
    """Point an alias to a collection: one request deletes and makes it, so that it is never absent.

    Raises:
        QembedError: The server says that it moved, and it did not.
    """
    from qdrant_client import models

    make = models.CreateAliasOperation(
        create_alias=models.CreateAlias(collection_name=collection, alias_name=alias)
    )
    drop = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
    client.update_collection_aliases([make] if before is None else [drop, make])
    now = aliases_of(client).get(alias)
    if now != collection:
        raise QembedError(
            f"the alias {alias!r} should point to {collection!r} and points to {now!r}",
            remedy="see who else moves it, then run the same command again",
        )


def name_is_taken(alias: str) -> UsageError:
    """The error for an alias whose name a collection has."""
    return UsageError(
        f"{alias!r} is a collection, so no alias can have that name",
        remedy="name another --alias and let applications ask for it; or load the new collection first, then "
        f"delete {alias!r} and give its name to an alias: --alias {alias} --drop-old",
    )
