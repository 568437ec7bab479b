"""Is everything there? The server has settled, every point is held, a sample reads back as it was sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qembed.errors import CheckFailed, QembedError
from qembed.index.payload import same_payload
from qembed.index.points import comparable
from qembed.index.protocol import Point, Similarity
from qembed.index.server.reading import retrieve, scroll_page
from qembed.index.server.send import held_sha256

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

PAGE = 1000
"""Points that are asked for in one request."""
TOLERANCES = {"float32": 1e-5, "float16": 2e-3}
"""How far a component may be off, relative to the longest one, by what the collection stores."""

_POLL_SECONDS = 0.5


@dataclass(slots=True)
class Roll:
    """All points of an upload, 16 bytes each.

    Attributes:
        ids: Point ids; uint64 (points,).
        marks: The first 64 bits of ``point_sha256``; uint64 (points,).
    """

    ids: npt.NDArray[np.uint64]
    marks: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, records: int) -> Roll:
        """One for a number of records, to be filled."""
        return cls(np.zeros(records, np.uint64), np.zeros(records, np.uint64))

    def put(self, number: int, id: int, sha256: str) -> None:
        """Note the point of a record."""
        self.ids[number] = id
        self.marks[number] = mark(sha256)


def mark(sha256: str) -> int:
    """The first 64 bits of a hash in hex; -1, which is no mark, where it is none."""
    try:
        return int(sha256[:16], 16)
    except ValueError:
        return -1


def wait_for_green(
    client: QdrantClient,
    collection: str,
    *,
    limit_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> bool:
    """Wait until the server has applied and indexed everything; False where it still indexes at the limit.

    A server that was restarted indexes only once something changes (grey); it is told to begin.

    Raises:
        QembedError: The server reports an error (red); mostly, its disk or memory is full.
    """
    from qdrant_client import models
    from qdrant_client.http.exceptions import UnexpectedResponse

    began, told = clock(), False
    while True:
        info = client.get_collection(collection)
        status = str(getattr(info.status, "value", info.status))
        if status == "red":
            raise QembedError(
                f"the server reports an error of the collection: {_why(info.optimizer_status)}",
                where=collection,
                remedy="see to the server (its log, its disk), then run the same command again",
            )
        if status == "green":
            return True
        if status == "grey" and not told:  # a change of nothing starts its optimizers
            told = True
            with suppress(UnexpectedResponse):  # a key that may write points only
                client.update_collection(collection, optimizers_config=models.OptimizersConfigDiff())
        if clock() - began >= limit_seconds:
            return False
        sleep(_POLL_SECONDS)


def _why(status: Any) -> str:
    """What the optimizer says; where it is well, an operation failed, and only the log says which."""
    return str(getattr(status, "error", None) or "an operation failed")


def absent(
    client: QdrantClient, collection: str, roll: Roll, *, advance: Callable[[int], None] = lambda _: None
) -> list[int]:
    """Numbers of the records whose point the server does not hold, or holds in another state."""
    numbers: list[int] = []
    for start in range(0, len(roll.ids), PAGE):
        ids = roll.ids[start : start + PAGE].tolist()
        held = held_sha256(client, collection, ids)
        for offset, id in enumerate(ids):
            if id not in held or mark(held[id]) != int(roll.marks[start + offset]):
                numbers.append(start + offset)
        advance(len(ids))
    return numbers


def check_sample(
    client: QdrantClient,
    collection: str,
    sample: Sequence[tuple[int, Point]],
    *,
    vector: str = "",
    similarity: Similarity,
    datatype: str = "float32",
    payloads: bool = True,
) -> None:
    """Read points back, and compare their vectors and payloads with what was sent.

    The cosine's vectors are compared after normalising, because a server stores them so.

    Args:
        client: The server.
        collection: Its name.
        sample: Point ids and points.
        vector: Name of the vector; empty where vectors have no name.
        similarity: By which they compare.
        datatype: What the collection stores.
        payloads: Whether payloads were sent too.

    Raises:
        CheckFailed: A point is absent, or differs.
    """
    wrong: list[str] = []
    for start in range(0, len(sample), 100):
        part = sample[start : start + 100]
        found = retrieve(
            client,
            collection,
            [id for id, _ in part],
            with_payload=True,
            with_vectors=[vector] if vector else True,
        )
        held = {int(point.id): point for point in found}
        for id, point in part:
            there = held.get(id)
            reason = _payload_differs(point, there) if payloads and there else None
            reason = reason or _differs(point, there, vector, similarity, TOLERANCES.get(datatype))
            if reason:
                wrong.append(f"{point.chunk_id!r}: {reason}")
    if wrong:
        raise CheckFailed(
            f"{len(wrong)} of {len(sample)} points read back differ from what was sent, e.g. {wrong[0]}",
            where=collection,
            remedy="see who else writes into this collection, then run the command again, without "
            "--changed-only: all points are sent",
        )


def _payload_differs(sent: Point, held: Any) -> str | None:
    """How a payload differs, in words; None where it does not."""
    payload = held.payload or {}
    keys = sorted(
        key
        for key in payload.keys() | sent.payload.keys()
        if key not in payload or not same_payload(sent.payload.get(key), payload[key])
    )
    return f"payload differs in {keys}" if keys else None


def _differs(
    sent: Point, held: Any, vector: str, similarity: Similarity, tolerance: float | None
) -> str | None:
    """How a vector differs, in words; None where it does not."""
    if held is None:
        return "absent"
    found = held.vector.get(vector) if vector and held.vector else held.vector
    if found is None or np.shape(found) != np.shape(sent.vector):
        return f"vector of shape {np.shape(found)}, sent was {np.shape(sent.vector)}"
    pair = np.array([sent.vector, found], dtype=np.float32)
    if not np.isfinite(pair).all() or not pair.any(axis=1).all():  # nothing that could be compared
        return "a vector of zeros, or not of numbers"
    if tolerance is None:
        return None
    pair = comparable(pair, similarity).astype(np.float64)
    off = float(np.abs(pair[0] - pair[1]).max() / np.abs(pair[0]).max())
    return f"a component of the vector is off by {off:.1g}" if off > tolerance else None


def vanished(
    client: QdrantClient, collection: str, roll: Roll, corpora: Iterable[str]
) -> Iterator[tuple[int, str]]:
    """Points that uploads of these corpora left and that are not among the present ones: ids, chunk ids.

    A point is theirs if its payload has ``point_sha256``, its id is that of its chunk id, and its
    ``collection`` is one of ``corpora``. Other points are left alone, also those that name no corpus: nobody
    could tell whose they are.
    """
    from qembed.corpus import point_id
    from qembed.index.payload import CHUNK_ID, POINT_SHA256

    known, names = np.sort(roll.ids), frozenset(corpora)
    after: Any = None
    page = PAGE
    while True:
        points, after = scroll_page(
            client,
            collection,
            page,
            offset=after,
            with_payload=[CHUNK_ID, POINT_SHA256, "collection"],
            with_vectors=False,
        )
        page = len(points) or page  # as many as the server gives, where that is fewer
        for point in points:
            payload = point.payload or {}
            chunk_id = payload.get(CHUNK_ID)
            ours = POINT_SHA256 in payload and isinstance(chunk_id, str) and point_id(chunk_id) == point.id
            if ours and corpus_of(payload) in names and not _among(known, int(point.id)):
                yield int(point.id), str(chunk_id)
        if after is None:
            return


def corpus_of(payload: Mapping[str, Any]) -> str | None:
    """The corpus that a payload names; None where it names none."""
    name = payload.get("collection")
    return name if isinstance(name, str) else None


def _among(known: npt.NDArray[np.uint64], id: int) -> bool:
    at = int(np.searchsorted(known, np.uint64(id)))
    return at < len(known) and int(known[at]) == id


def delete(client: QdrantClient, collection: str, ids: Sequence[int]) -> None:
    """Delete points by id; they are gone when this returns."""
    from qdrant_client import models

    for start in range(0, len(ids), PAGE):
        part = models.PointIdsList(points=list(ids[start : start + PAGE]))
        client.delete(collection, points_selector=part, wait=True)
