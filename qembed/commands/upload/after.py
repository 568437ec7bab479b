"""After a migration: an alias goes back in one call, and the old collection is deleted in another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qembed.commands.upload.connection import server_of
from qembed.commands.upload.options import UploadOptions
from qembed.index.server.address import Address
from qembed.index.server.notes import keeps_metadata, notes_file
from qembed.index.server.retire import Drop, WayBack, drop, go_back, way_back, what_to_drop
from qembed.index.server.situation import Situation, look
from qembed.progress import Progress
from qembed.store import find_embeddings

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


def roll_back_alias(
    alias: str,
    *,
    url: str,
    collection: str | None = None,
    embeddings: Path | None = None,
    options: UploadOptions = UploadOptions(),
    api_key: str | None = None,
    ask_key: Callable[[], str] | None = None,
    dry_run: bool = False,
    progress: Progress = Progress(),
) -> WayBack:
    """Point an alias back to the collection that it pointed to before an upload moved it.

    Args:
        alias: Its name.
        url: The server's REST API.
        collection: Where it should point to; what was written down at the upload when None.
        embeddings: What was uploaded; beside them are the notes of servers before 1.16, which keep none.
        options: Timeout and patience.
        api_key: Key of the server; that in ``QDRANT_API_KEY`` when None.
        ask_key: Asks for a key where the server wants one and there is none.
        dry_run: Only say what would be done.
        progress: Receives notes.

    Raises:
        InputNotFound: There is no such alias, or the collection is gone.
        UsageError: Nothing is known of where it pointed.
        Unreachable: The server cannot be reached.
    """
    names = [alias, *([collection] if collection else [])]
    with _looking(names, alias, url, embeddings, options, api_key, ask_key, progress) as (client, there):
        way = way_back(alias, there, collection)
        if not dry_run:
            go_back(client, way)
    return way


def drop_old_collection(
    alias: str,
    *,
    url: str,
    collection: str | None = None,
    embeddings: Path | None = None,
    options: UploadOptions = UploadOptions(),
    api_key: str | None = None,
    ask_key: Callable[[], str] | None = None,
    confirm: Callable[[Drop], bool],
    progress: Progress = Progress(),
) -> Drop | None:
    """Delete the collection that a migration replaced, if nothing needs it any more.

    Args:
        alias: The alias that moved. Or the name of the old collection itself: it becomes an alias then.
        url: The server's REST API.
        collection: The new collection; needed only where ``alias`` is a collection.
        embeddings: As for ``roll_back_alias``.
        options: Timeout and patience.
        api_key: Key of the server; that in ``QDRANT_API_KEY`` when None.
        ask_key: Asks for a key where the server wants one and there is none.
        confirm: Asked before it is deleted; False keeps it.
        progress: Receives notes.

    Returns:
        What was deleted; None where it was not confirmed.

    Raises:
        CheckFailed: An alias points to it, or the new collection is not complete.
        InputNotFound: There is no such alias or collection.
        UsageError: Nothing says that it was replaced.
        Unreachable: The server cannot be reached.
    """
    names = [alias, *([collection] if collection else [])]
    with _looking(names, alias, url, embeddings, options, api_key, ask_key, progress) as (client, there):
        decided = what_to_drop(alias, there, collection)
        progress.close()  # the user may be asked now
        if not confirm(decided):
            return None
        drop(client, decided)
    return decided


@contextmanager
def _looking(
    names: list[str],
    alias: str,
    url: str,
    embeddings: Path | None,
    options: UploadOptions,
    api_key: str | None,
    ask_key: Callable[[], str] | None,
    progress: Progress,
) -> Iterator[tuple[QdrantClient, Situation]]:
    """A client, and what the server has of these names."""
    address = Address.of(url, alias)
    file = notes_file(find_embeddings(embeddings).path if embeddings else None)
    with server_of(address, options, api_key=api_key, ask_key=ask_key, progress=progress) as server:
        client, version, _ = server
        yield client, look(client, address.url, names, None if keeps_metadata(version) else file)
