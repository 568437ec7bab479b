"""The steps of an upload, in the order in which they are taken."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from qembed.commands.upload.options import UploadOptions
from qembed.errors import CheckFailed, DimensionMismatch, Mismatch, QembedError
from qembed.index import Point
from qembed.index.payload import point_of
from qembed.index.server.address import Address
from qembed.index.server.batches import Encoded, batches, encode
from qembed.index.server.check import Roll, absent, check_sample, delete, vanished, wait_for_green
from qembed.index.server.configuration import (
    configuration_of,
    create_collection,
    differences,
    does_not_fit,
    wanted,
)
from qembed.index.server.journal import UploadJournal
from qembed.index.server.send import Sent, Writer, send
from qembed.progress import Progress
from qembed.store import Embeddings, placed_records
from qembed.store.audit.report import AuditReport
from qembed.store.manifest import similarity_of

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

State = tuple[tuple[str, int, int], ...]


def state_of(embeddings: Embeddings) -> State:
    """What tells whether the files have changed: name, size and time of change."""
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in embeddings.files)


class Points:
    """The points of embeddings that an audit found sound, read as often as they are asked for.

    Attributes:
        records: Number of them.
        dimension: Dimension of the vectors.
        similarity: By which they compare.
        roll: Ids and hashes, filled by the last reading.
        sample: Points to be read back, filled by the last reading.
        corpora: Names of their corpora, as their payloads have them.
    """

    def __init__(self, embeddings: Embeddings, report: AuditReport, options: UploadOptions) -> None:
        assert report.dimension is not None
        self.records = report.records
        self.dimension = report.dimension
        self.similarity = similarity_of(report.manifest)
        self.vector = options.vector
        self._embeddings = embeddings
        chosen = random.Random(report.sha256).sample(range(self.records), min(options.sample, self.records))
        self._chosen = frozenset(chosen)
        self._begin()

    def encoded(self, compare: Callable[[int], bool]) -> Iterator[Encoded]:
        """All points as the server takes them.

        Args:
            compare: Whether the point of a record may be on the server already.

        Raises:
            Mismatch: The files have changed since the audit.
        """
        self._begin()
        number = -1
        for number, (record, place) in enumerate(placed_records(self._embeddings)):
            point = point_of(record)
            if number >= self.records:
                raise self._changed(place)
            if point.vector.shape != (self.dimension,) or not np.isfinite(point.vector).all():
                raise self._changed(place)
            made = encode(number, point, self.vector, compare=compare(number))
            self.roll.put(number, made.id, made.sha256)
            self.corpora.add(point.payload.get("collection"))
            if number in self._chosen:
                self.sample.append((made.id, point))
            yield made
        if number + 1 != self.records:
            raise self._changed(str(self._embeddings.path))

    def unchanged_since(self, state: State) -> None:
        """Check that the files are still those that the audit saw.

        Raises:
            Mismatch: They have changed.
        """
        if state_of(self._embeddings) != state:
            raise self._changed(str(self._embeddings.path))

    def _begin(self) -> None:
        self.roll = Roll.of(self.records)
        self.sample: list[tuple[int, Point]] = []
        self.corpora: set[Any] = set()

    @staticmethod
    def _changed(place: str) -> Mismatch:
        return Mismatch(
            "the embeddings have changed while they were uploaded",
            where=place,
            remedy="wait until nothing writes them, then run the same command again",
        )


def prepare_collection(
    client: QdrantClient, address: Address, points: Points, version: tuple[int, int]
) -> bool:
    """Make the collection, or compare it with what the points need; returns whether it was made.

    Raises:
        DimensionMismatch, Mismatch: It exists and does not fit; with a table of the differences.
    """
    from qdrant_client.http.exceptions import UnexpectedResponse

    want = wanted(points.dimension, points.similarity, vector=points.vector)
    created = not client.collection_exists(address.collection)
    if created:
        try:
            create_collection(client, address.collection, want)
        except UnexpectedResponse as error:
            if error.status_code != 409:  # made a moment ago: the response to the first try was lost
                raise
    rows = differences(want, configuration_of(client.get_collection(address.collection)))
    if rows:
        raise does_not_fit(address.collection, rows, "name another --collection")
    return created


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
    seconds: float = field(default=0.0)


def send_points(
    client: QdrantClient,
    address: Address,
    points: Points,
    journal: UploadJournal,
    options: UploadOptions,
    stop: threading.Event,
    progress: Progress,
) -> Totals:
    """Send all points, or those that the server does not hold yet.

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
        progress.note("the embeddings have changed since an interrupted upload: all are sent")
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
        Writer(client, address.collection),
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
            f"the server still indexes after {options.green_seconds:.0f} s; searches are slow until then"
        )
    return green


def check_points(
    client: QdrantClient, address: Address, points: Points, options: UploadOptions, progress: Progress
) -> tuple[int, int]:
    """Check that the server holds every point, and read a sample back.

    Returns:
        Points of the collection that are not among these, and how many were read back.

    Raises:
        CheckFailed: Points are absent or differ.
    """
    progress.phase("checking every point", total=points.records, unit="points")
    wrong = absent(client, address.collection, points.roll, advance=progress.advance)
    total = client.count(address.collection, exact=True).count
    if wrong or total < points.records:
        raise CheckFailed(
            f"{len(wrong) or points.records - total:,} of {points.records:,} points are not on the server as they "
            "were sent",
            where=str(address),
            remedy="see who else writes into this collection, then run the same command again",
        )
    progress.phase("reading a sample back")
    check_sample(
        client,
        address.collection,
        points.sample,
        vector=points.vector,
        similarity=points.similarity,
    )
    return total - points.records, len(points.sample)


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
    progress.phase("looking for points that vanished from the corpus")
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
