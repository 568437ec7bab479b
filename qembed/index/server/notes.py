"""What qembed remembers of a collection, as keys ``qembed.*`` of the collection's own metadata.

There it survives this machine, so that another one can restore the indexing or roll an alias back. A server
before 1.16 keeps no metadata; then it is a file beside the embeddings, or in the user's cache.

    made_by              version of the qembed that made it; absent where another tool did
    indexing_threshold   what it was before it was held back; absent once it is restored
    model.VECTOR         id of the model whose vectors these are; VECTOR is empty for the unnamed one
    weights.VECTOR       hash of its weights: a model may have several names, and a name several weights
    query_prompt.VECTOR  what stands before a query, as the manifest has it; empty for nothing
    embeddings_sha256    hash of the embeddings that were uploaded last (``manifest.sha256_of``)
    points               how many there were once they had been checked
    replaces             the collection that this one was made to replace
    alias.NAME           the collection that the alias NAME pointed to before it moved here; empty for none
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from qembed.errors import Mismatch
from qembed.store import explained, locked, write_json
from qembed.user_cache import user_cache

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

PREFIX = "qembed."
MADE, THRESHOLD, MODEL, WEIGHTS = "made_by", "indexing_threshold", "model.", "weights."
QUERY_PROMPT = "query_prompt."
SHA256, POINTS, REPLACES, ALIAS = "embeddings_sha256", "points", "replaces", "alias."
KEEPS_METADATA = (1, 16)
"""First version of a server that keeps metadata with a collection."""


@dataclass(frozen=True, slots=True)
class Notes:
    """What is remembered of one collection.

    Attributes:
        client: Client of the server.
        collection: Its own name, not an alias.
        url: URL of the server.
        on_server: Whether the server keeps metadata.
        file: Where else; None for nowhere.
    """

    client: QdrantClient
    collection: str
    url: str
    on_server: bool
    file: Path | None = None

    @property
    def kept(self) -> bool:
        """Whether there is a place to write to."""
        return self.on_server or self.file is not None

    def read(self) -> dict[str, Any]:
        """All that is remembered; empty where nothing is."""
        if not self.on_server:
            return dict(self._in_file().get(self._name) or {})
        metadata = self.client.get_collection(self.collection).config.metadata or {}
        return {key.removeprefix(PREFIX): val for key, val in metadata.items() if key.startswith(PREFIX)}

    def write(self, changes: Mapping[str, Any]) -> None:
        """Remember or, with None, forget; without a place to write to, do nothing."""
        if self.on_server:  # which merges them into what it has, and takes null as a removal
            self.client.update_collection(self.collection, metadata=prefixed(changes))
        elif self.file is not None:
            with explained(self.file):
                self.file.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.file):
                document = self._in_file()
                kept = {**(document.get(self._name) or {}), **changes}
                document[self._name] = {key: val for key, val in kept.items() if val is not None}
                write_json(self.file, document)

    @property
    def _name(self) -> str:
        return f"{self.url}/{self.collection}"

    def _in_file(self) -> dict[str, Any]:
        if self.file is None or not self.file.is_file():
            return {}
        try:
            document = orjson.loads(self.file.read_bytes())
        except orjson.JSONDecodeError as error:
            raise Mismatch(
                f"these are no notes of qembed: {error}", where=str(self.file), remedy="move the file away"
            ) from None
        return document if isinstance(document, dict) else {}


def keeps_metadata(version: tuple[int, int]) -> bool:
    """Whether a server of this version keeps metadata."""
    return version >= KEEPS_METADATA


def notes_file(embeddings: Path | None) -> Path:
    """The file of notes: beside the embeddings, or in the user's cache where those cannot be written to.

    Args:
        embeddings: A file of them; None where nobody named any.
    """
    if embeddings is not None and os.access(embeddings.parent, os.W_OK):
        return embeddings.parent / ".qembed-collections.json"
    return user_cache() / "uploads" / "collections.json"


def prefixed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Notes as metadata of a collection."""
    return {PREFIX + key: value for key, value in changes.items()}
