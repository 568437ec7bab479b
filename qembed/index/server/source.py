"""Embeddings wherever they are: files, or a collection on a server as a copy of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from qembed.index.protocol import Similarity
from qembed.index.server.address import is_address
from qembed.index.server.copy import local_copy
from qembed.index.server.served import open_served
from qembed.progress import Progress
from qembed.store import USUAL, Embeddings, Keys, find_embeddings
from qembed.store.made_with import name_here
from qembed.store.recognise import recognise


@contextmanager
def embeddings_of(
    source: Path | str, keys: Keys = USUAL, progress: Progress = Progress()
) -> Iterator[Embeddings]:
    """The embeddings of a file, a folder or an address; a copy of a collection is removed when this ends.

    Args:
        source: A path as ``find_embeddings`` reads it, or an address as ``address.parse`` does.
        keys: What the user says about the keys of the records.
        progress: Receives the progress of a scroll, and what embeddings of other tools were taken for.

    Raises:
        InputNotFound: Nothing there.
        UsageError: Several named vectors and none chosen, or as ``find_embeddings`` and ``open_served``.
        QembedError: As ``open_served`` and ``local_copy``.
    """
    if not is_address(str(source)):
        yield told(find_embeddings(Path(source), keys), progress)
        return
    with (
        closing(open_served(str(source), note=progress.note)) as served,
        local_copy(served, keys, progress) as copy,
    ):
        yield told(copy, progress)


class There(NamedTuple):
    """What a server says of its vectors; all None for files, of which a manifest says so.

    Attributes:
        similarity: By which it compares.
        model: Name of their model on this machine; None where no upload noted it.
        weights: Hash of the model's weights, likewise.
        query_prompt: What stands before a query, likewise.
    """

    similarity: Similarity | None = None
    model: str | None = None
    weights: str | None = None
    query_prompt: str | None = None

    @property
    def made_with(self) -> dict[str, str | None]:
        """What ``store.made_with.load_query_encoder`` is told of it."""
        return {"weights": self.weights, "query_prompt": self.query_prompt}


def there_is(source: Path | str) -> There:
    """What a server says of the vectors at an address.

    Raises:
        Mismatch: The collection compares by a distance, or as ``open_served``.
        QembedError: As ``open_served``.
    """
    if not is_address(str(source)):
        return There()
    with closing(open_served(str(source))) as served:
        name = name_here(served.model, served.weights)
        return There(served.similarity, name, served.weights, served.query_prompt)


def told(embeddings: Embeddings, progress: Progress) -> Embeddings:
    """The same, after saying what embeddings of another tool are taken for.

    Raises:
        UsageError: As ``recognise``.
    """
    words = recognise(embeddings)
    if words:
        progress.note(words)
    return embeddings
