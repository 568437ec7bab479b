"""Points as JSON, in batches that a server takes: bounded by number and by bytes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import orjson

from qembed.corpus import point_id
from qembed.errors import Mismatch
from qembed.index.payload import POINT_SHA256
from qembed.index.protocol import Point

LIMIT_BYTES = 32 * 2**20
"""Largest request that a server takes, unless its ``max_request_size_mb`` says otherwise."""
BATCH_POINTS = 256
BATCH_BYTES = 8 * 2**20
"""What a batch may take; a quarter of the limit, because several are under way at a time."""

_HEAD, _TAIL = b'{"points":[', b"]}"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A point ready to be sent.

    Attributes:
        number: Number of its record in the embeddings, from 0.
        chunk_id: Name of its chunk.
        id: Its id on the server.
        sha256: ``point_sha256`` of its payload, hex.
        json: The point as the server takes it.
        compare: Whether the server may hold it already, so that it is sent only if it differs.
    """

    number: int
    chunk_id: str
    id: int
    sha256: str
    json: bytes
    compare: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Points of consecutive records, sent in one request."""

    points: tuple[Encoded, ...]

    @property
    def first(self) -> int:
        """Number of the first record."""
        return self.points[0].number

    @property
    def last(self) -> int:
        """Number of the last record."""
        return self.points[-1].number

    def body(self) -> bytes:
        """The request."""
        return _HEAD + b",".join(point.json for point in self.points) + _TAIL

    def without(self, ids: Iterable[int]) -> Batch | None:
        """The batch without some points; None where no point is left."""
        leave = frozenset(ids)
        kept = tuple(point for point in self.points if point.id not in leave)
        return Batch(kept) if kept else None

    def halves(self) -> tuple[Batch, Batch]:
        """Two batches of at least one point; of a batch of at least two."""
        middle = len(self.points) // 2
        return Batch(self.points[:middle]), Batch(self.points[middle:])


def encode(number: int, point: Point, vector: str = "", *, compare: bool = False) -> Encoded:
    """A point as JSON.

    Args:
        number: Number of its record.
        point: As ``payload.point_of`` makes it. Its vector is sent as it is: where the distance is the
            cosine, the server normalises.
        vector: Name of the vector in the collection; empty where vectors have no name.
        compare: As in ``Encoded``.
    """
    name = point_id(point.chunk_id)
    values = {vector: point.vector} if vector else point.vector
    body = {"id": name, "vector": values, "payload": point.payload}
    json = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return Encoded(number, point.chunk_id, name, str(point.payload[POINT_SHA256]), json, compare)


def batches(
    points: Iterable[Encoded], *, max_points: int = BATCH_POINTS, max_bytes: int = BATCH_BYTES
) -> Iterator[Batch]:
    """Points in batches, in order. Points that are to be compared share no batch with others.

    Args:
        points: In order.
        max_points: Points of a batch at most.
        max_bytes: Bytes of a request at most; a single point may take more, up to ``LIMIT_BYTES``.

    Raises:
        Mismatch: A point that no request can hold; the message names the chunk.
    """
    held: list[Encoded] = []
    size = len(_HEAD) + len(_TAIL)
    for point in points:
        if len(point.json) + len(_HEAD) + len(_TAIL) > LIMIT_BYTES:
            raise too_large(point)
        full = len(held) >= max_points or size + len(point.json) > max_bytes
        if held and (full or held[-1].compare != point.compare):
            yield Batch(tuple(held))
            held, size = [], len(_HEAD) + len(_TAIL)
        held.append(point)
        size += len(point.json) + 1  # and a comma
    if held:
        yield Batch(tuple(held))


def too_large(point: Encoded) -> Mismatch:
    """The error for a point that no request can hold."""
    return Mismatch(
        f"the point of {point.chunk_id!r} takes {len(point.json) / 2**20:.1f} MiB, "
        "more than the server takes in one request",
        remedy="shorten the chunk or its metadata, or raise service.max_request_size_mb of the server",
    )
