"""Batches to the server: a few streams at a time, in flat memory, each batch confirmed before it counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ClassVar

from qembed.index.payload import POINT_SHA256
from qembed.index.server.batches import Batch, too_large
from qembed.index.server.failures import is_too_large
from qembed.index.server.reading import retrieve

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

STREAMS = 4
GRACE_SECONDS = 5.0
"""How long requests that are under way may take to end once something went wrong."""


class Stopped(Exception):
    """A request is not tried again, because the upload ends."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a batch; all of its points are on the server.

    Attributes:
        first: Number of its first record.
        last: Number of its last record.
        sent: Points that were sent.
        unchanged: Points that the server held already.
        bytes: Size of the requests that were taken.
        halved: How often it was too large for the server.
    """

    first: int
    last: int
    sent: int
    unchanged: int
    bytes: int
    halved: int = 0


class Writer:
    """Writes whole points. Called from several threads."""

    _url: ClassVar[str] = "/collections/{collection_name}/points"

    def __init__(self, client: QdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection
        self._refused_bytes: int | None = None  # smallest request that was too large

    def __call__(self, batch: Batch) -> Sent:
        """Send a batch; of one that is to be compared, only what differs. It is applied when this returns.

        Raises:
            Mismatch: A single point is too large for the server.
            ApiException, GaveUp: As the client raises them.
        """
        first, last, count = batch.first, batch.last, len(batch.points)
        rest: Batch | None = batch
        if batch.points[0].compare:
            held = held_sha256(self._client, self._collection, [point.id for point in batch.points])
            rest = batch.without(point.id for point in batch.points if held.get(point.id) == point.sha256)
        if rest is None:
            return Sent(first, last, 0, count, 0)
        size, halved = self._write(rest)
        return Sent(first, last, len(rest.points), count - len(rest.points), size, halved)

    def _write(self, batch: Batch) -> tuple[int, int]:
        """Bytes that were taken, and how often the batch was halved."""
        from qdrant_client.http.exceptions import UnexpectedResponse

        body = batch.body()
        try:
            if self._refused_bytes is None or len(body) < self._refused_bytes or len(batch.points) == 1:
                self._put(body)
                return len(body), 0
        except UnexpectedResponse as error:
            if not is_too_large(error):
                raise
            if len(batch.points) == 1:
                raise too_large(batch.points[0]) from error
            self._refused_bytes = min(len(body), self._refused_bytes or len(body))
        parts = [self._write(half) for half in batch.halves()]
        return sum(size for size, _ in parts), 1 + sum(halved for _, halved in parts)

    def _put(self, body: bytes) -> None:
        """The request of ``QdrantClient.upsert``, with a body that need not go through its models."""
        self._client.http.client.request(
            type_=dict,
            method="PUT",
            url=self._url,
            path_params={"collection_name": self._collection},
            params={"wait": "true"},
            headers={"Content-Type": "application/json"},
            content=body,
        )


def held_sha256(client: QdrantClient, collection: str, ids: Sequence[int]) -> dict[int, str]:
    """``point_sha256`` of the points that the server holds, by id; points without one are left out."""
    found = retrieve(client, collection, ids, with_payload=[POINT_SHA256], with_vectors=False)
    return {
        int(point.id): str(point.payload[POINT_SHA256])
        for point in found
        if point.payload and POINT_SHA256 in point.payload
    }


def send(
    batches: Iterable[Batch],
    write: Callable[[Batch], Sent],
    done: Callable[[Sent], None],
    *,
    streams: int = STREAMS,
    stop: threading.Event,
) -> None:
    """Write all batches, several at a time; about twice as many as streams are in memory.

    The first failure ends it: batches that are under way may end, and count if they succeed.

    Args:
        batches: Taken one by one, in the thread of the caller.
        write: Called from the threads of the streams.
        done: Told of every batch that was written, in the thread of the caller, in any order.
        streams: Requests at a time.
        stop: Set when it ends early, so that ``write`` can stop waiting.

    Raises:
        Exception: The first failure of ``batches`` or ``write``.
    """
    tasks: SimpleQueue[tuple[Batch, Future[Sent]] | None] = SimpleQueue()
    for _ in range(streams):
        # Threads that an end of the program does not wait for: a request may hang until its timeout.
        threading.Thread(target=_stream, args=(tasks, write), daemon=True, name="qembed-upload").start()
    running: set[Future[Sent]] = set()
    try:
        for batch in batches:
            if len(running) >= 2 * streams:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                _take(finished, done)
            future: Future[Sent] = Future()
            running.add(future)
            tasks.put((batch, future))
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            _take(finished, done)
    except BaseException:
        stop.set()
        _end(running, done)
        raise
    finally:
        for _ in range(streams):
            tasks.put(None)


def _stream(tasks: SimpleQueue[tuple[Batch, Future[Sent]] | None], write: Callable[[Batch], Sent]) -> None:
    while (task := tasks.get()) is not None:
        batch, future = task
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(write(batch))
            except BaseException as error:
                future.set_exception(error)


def _take(finished: Iterable[Future[Sent]], done: Callable[[Sent], None]) -> None:
    """Count all that succeeded, then raise the first failure."""
    failures = [error for future in finished if (error := _result(future, done)) is not None]
    if failures:
        raise failures[0]


def _result(future: Future[Any], done: Callable[[Sent], None]) -> BaseException | None:
    error = future.exception()
    if error is None:
        done(future.result())
    return error


def _end(running: set[Future[Sent]], done: Callable[[Sent], None]) -> None:
    """Drop what has not begun, and count what still succeeds."""
    begun = {future for future in running if not future.cancel()}
    finished, _ = wait(begun, timeout=GRACE_SECONDS)
    for future in finished:
        with suppress(Exception):  # the failure that ended it is the one to report
            _result(future, done)
