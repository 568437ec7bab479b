"""Indexing is held back while points are loaded: a graph is built once, not again and again as points arrive.

What the threshold was is written down before it changes, so that a later run restores it after a kill. It is
for collections that qembed made, or where it is asked for: in one that answers queries, new points would be
searched without a graph meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qembed.index.server.notes import THRESHOLD, Notes

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

DEFAULT_KB = 10_000
"""What a server takes where its configuration names no threshold, in kB of vectors per segment."""


def hold_indexing(client: QdrantClient, notes: Notes) -> bool:
    """Stop indexing; returns whether it is held back.

    It is not where nothing could remember the threshold, or where it is 0 and no run of qembed is to blame:
    then somebody else holds it back.
    """
    if not notes.kept:
        return False
    if THRESHOLD in notes.read():  # held back by a run that was killed; 0 is not what it was
        _set(client, notes.collection, 0)
        return True
    now = client.get_collection(notes.collection).config.optimizer_config.indexing_threshold
    if now == 0:
        return False
    notes.write({THRESHOLD: DEFAULT_KB if now is None else now})
    _set(client, notes.collection, 0)
    return True


def restore_indexing(client: QdrantClient, notes: Notes) -> int | None:
    """Let indexing begin; returns the threshold in kB, None where it was not held back by qembed."""
    before = notes.read().get(THRESHOLD)
    if before is None:
        return None
    _set(client, notes.collection, int(before))
    notes.write({THRESHOLD: None})
    return int(before)


def _set(client: QdrantClient, collection: str, threshold: int) -> None:
    from qdrant_client import models

    client.update_collection(
        collection, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=threshold)
    )
