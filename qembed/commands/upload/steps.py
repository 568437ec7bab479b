"""The steps of an upload once the collection is there, in the order in which they are taken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from qembed.commands.upload.options import UploadOptions
from qembed.commands.upload.points import Points
from qembed.errors import CheckFailed, QembedError
from qembed.index.server.address import Address
from qembed.index.server.batches import batches
from qembed.index.server.check import absent, check_sample, delete, vanished, wait_for_green
from qembed.index.server.journal import Head, UploadJournal
from qembed.index.server.one_vector import VectorWriter, without_vector
from qembed.index.server.send import Sent, Writer, send
from qembed.progress import Progress

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


@dataclass(slots=True)
class Totals:
    """What was sent.

    Attributes:
        sent: Points.
        unchanged: Points that the server held already.
        resumed: Those of them that an interrupted upload had sent.
        halved: Batches that were too large.
        bytes: Size of the requests that were taken.
        seconds: Wall time.
    """

    sent: int = 0
    unchanged: int = 0
    resumed: int = 0
    halved: int = 0
    bytes: int = 0
    seconds: float = 0.0


@contextmanager
def opened_journal(address: Address, points: Points) -> Iterator[UploadJournal]:
    """The journal of an upload, removed where it ends well."""
    journal = UploadJournal(points.path, Head(str(address), points.sha256, points.records))
    try:
        yield journal
    except BaseException:
        journal.close(finished=False)
        raise
    journal.close(finished=True)


def send_points(
    client: QdrantClient,
    address: Address,
    points: Points,
    journal: UploadJournal,
    options: UploadOptions,
    stop: threading.Event,
    progress: Progress,
) -> Totals:
    """Send all points, or those that the server does not hold yet; or only their vectors.

    Raises:
        Mismatch: The files have changed, or a point is too large.
        ApiException, GaveUp: As the client raises them.
    """
    claimed = journal.claimed
    if claimed.any():
        progress.note(
            f"resuming: an interrupted upload has sent {int(claimed.sum()):,} of {points.records:,}"
        )
    if journal.replaced:
        progress.note("the embeddings have changed since the interrupted upload: all points are sent again")
    totals = Totals()

    def done(sent: Sent) -> None:
        journal.done(sent.first, sent.last)
        totals.sent += sent.sent
        totals.unchanged += sent.unchanged
        totals.resumed += sent.unchanged if claimed[sent.first] else 0
        totals.halved += sent.halved
        totals.bytes += sent.bytes
        progress.advance(sent.last - sent.first + 1)

    progress.phase("sending points", total=points.records, unit="points")
    encoded = points.encoded(lambda number: options.changed_only or bool(claimed[number]))
    started = perf_counter()
    send(
        batches(encoded, max_points=options.batch_points, max_bytes=options.batch_bytes),
        (VectorWriter if points.only_vector else Writer)(client, address.collection),
        done,
        streams=options.streams,
        stop=stop,
    )
    totals.seconds = perf_counter() - started
    if journal.note:
        progress.note(journal.note)
    return totals


def settle(client: QdrantClient, address: Address, options: UploadOptions, progress: Progress) -> bool:
    """Wait until the server has indexed everything; False, with a note, where it still does at the limit.

    Raises:
        QembedError: The server reports an error.
    """
    progress.phase("waiting for the server to index")
    green = wait_for_green(client, address.collection, limit_seconds=options.green_seconds)
    if not green:
        progress.note(
            f"the server is still indexing after {options.green_seconds:.0f} s; "
            "searches are slow until it has finished"
        )
    return green


def check_points(
    client: QdrantClient,
    address: Address,
    points: Points,
    datatype: str,
    journal: UploadJournal,
    progress: Progress,
) -> tuple[int, int]:
    """Check that the server holds every point, or the vector of every point, and read a sample back.

    Where the sample differs although the hashes do not, no hash is to be trusted: the journal is dropped, so
    that the next upload sends all points again.

    Returns:
        Points of the collection that are not among these, and how many were read back.

    Raises:
        CheckFailed: Points are absent or differ.
    """
    progress.phase("checking every point", total=points.records, unit="points")
    if points.only_vector:
        wrong = without_vector(
            client, address.collection, points.roll, points.vector, advance=progress.advance
        )
    else:
        wrong = len(absent(client, address.collection, points.roll, advance=progress.advance))
    total = client.count(address.collection, exact=True).count
    if wrong or total < points.records:
        raise CheckFailed(
            f"{wrong or points.records - total:,} of {points.records:,} points on the server are "
            "missing or differ from what was sent",
            where=str(address),
            remedy="see who else writes into this collection, then run the same command again",
        )
    progress.phase("reading a sample back")
    try:
        check_sample(
            client,
            address.collection,
            points.sample,
            vector=points.vector,
            similarity=points.similarity,
            datatype=datatype,
            payloads=not points.only_vector,
        )
    except CheckFailed:
        journal.close(finished=True)
        raise
    return total - points.records, len(points.sample)


def count_vanished(client: QdrantClient, address: Address, points: Points, progress: Progress) -> int:
    """How many points ``prune_points`` would delete; reads all embeddings, and changes nothing."""
    progress.phase("looking for points whose chunks are no longer in the corpus")
    for _ in points.encoded(lambda _: False):
        pass
    return sum(1 for _ in vanished(client, address.collection, points.roll, points.corpora))


def prune_points(
    client: QdrantClient,
    address: Address,
    points: Points,
    confirm: Callable[[Sequence[str]], bool],
    progress: Progress,
) -> int:
    """Delete points of the same corpus that are not among these; returns how many.

    Raises:
        QembedError: The server says that they are deleted, and they are not.
    """
    progress.phase("looking for points whose chunks are gone")
    gone = list(vanished(client, address.collection, points.roll, points.corpora))
    if not gone:
        return 0
    progress.close()  # the user may be asked now
    if not confirm([chunk_id for _, chunk_id in gone]):
        return 0
    delete(client, address.collection, [id for id, _ in gone])
    left = len(list(vanished(client, address.collection, points.roll, points.corpora)))
    if left:
        raise QembedError(
            f"{left:,} of {len(gone):,} points are still there after they were deleted", where=str(address)
        )
    return len(gone)
