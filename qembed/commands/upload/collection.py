"""The collection of an upload: made or compared, its payload indexes made, its indexing held back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qembed.commands.upload.options import UploadOptions
from qembed.commands.upload.points import Points
from qembed.index.server.address import Address
from qembed.index.server.alias import aliases_of
from qembed.index.server.configuration import (
    configuration_of,
    create_collection,
    differences,
    does_not_fit,
    wanted,
)
from qembed.index.server.fields import index_fields, parse_field
from qembed.index.server.indexing import hold_indexing, restore_indexing
from qembed.index.server.notes import THRESHOLD, Notes, keeps_metadata, notes_file

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


@dataclass(frozen=True, slots=True)
class Target:
    """The collection that the points go into.

    Attributes:
        notes: What qembed remembers of it; with its own name, where an alias was given.
        created: Whether this upload made it.
        datatype: What it stores a component of a vector as.
    """

    notes: Notes
    created: bool
    datatype: str


def prepare_collection(
    client: QdrantClient,
    address: Address,
    points: Points,
    options: UploadOptions,
    *,
    version: tuple[int, int],
) -> Target:
    """Make the collection, or compare it with what the points need; then make its payload indexes.

    Args:
        client: The server.
        address: The collection, or an alias of it.
        points: What goes into it.
        options: Quantisation, place and indexes.
        version: Version of the server.

    Raises:
        DimensionMismatch, Mismatch: It exists and does not fit; with a table of the differences.
        UsageError: Two types are asked for one field, or a field has no name.
    """
    from qdrant_client.http.exceptions import UnexpectedResponse

    fields = list(map(parse_field, options.index_fields))
    want = wanted(
        points.dimension,
        points.similarity,
        vector=points.vector,
        quantization=options.quantization,
        on_disk=options.on_disk,
    )
    created = not client.collection_exists(address.collection)
    if created:
        try:
            create_collection(client, address.collection, want)
        except UnexpectedResponse as error:
            if error.status_code != 409:  # it is there now: the response to the first try was lost
                raise
    have = configuration_of(client.get_collection(address.collection))
    if rows := differences(want, have):
        raise does_not_fit(address.collection, rows, "name another --collection")
    if fields:
        index_fields(client, address.collection, fields)
    name = aliases_of(client).get(address.collection, address.collection)
    on_server = keeps_metadata(client, version)
    notes = Notes(client, name, address.url, on_server, None if on_server else notes_file(points.path))
    return Target(notes, created, have.vectors[points.vector].datatype)


@contextmanager
def indexing_held(client: QdrantClient, target: Target, options: UploadOptions) -> Iterator[None]:
    """Hold indexing back while points are sent: in a collection that this upload made, or where asked for.

    After a kill the next upload restores it. So does this one after a failure, if the server still answers.
    """
    if target.created or options.hold_indexing or THRESHOLD in target.notes.read():
        hold_indexing(client, target.notes)
    try:
        yield
    except BaseException:
        with suppress(Exception):
            restore_indexing(client, target.notes)
        raise
    restore_indexing(client, target.notes)
