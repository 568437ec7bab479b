"""What a user may choose about an upload."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qembed.errors import UsageError
from qembed.index.server.batches import BATCH_BYTES, BATCH_POINTS, LIMIT_BYTES
from qembed.index.server.client import TIMEOUT_SECONDS
from qembed.index.server.configuration import Quantization
from qembed.index.server.migration import Migrate
from qembed.index.server.send import STREAMS


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """How embeddings are uploaded.

    Attributes:
        vector: Name of the vector in the collection; empty for a collection with one unnamed vector.
        changed_only: Ask the server first which points it holds, and send only those that differ.
        prune: Delete points of this corpus that are not among the embeddings any more.
        index_fields: Payload indexes, each ``FIELD`` or ``FIELD:TYPE``; made before the points.
        quantization: Quantisation of a new collection, and what an existing one must have; None for any.
        on_disk: Whether the server reads vectors from the disk; None for either.
        hold_indexing: Pause indexing in an existing collection too, while points are sent.
        migrate: Way out of a collection that does not fit: ``collection`` makes a new one beside it,
            ``vector`` writes one named vector of its points and leaves all else. None stops.
        into: Name of the new collection; ``NAME-DIMENSIONd`` when None.
        alias: Alias that points to the collection once all checks have passed.
        gate: Stored benches, or one of them; the newest of exactly these embeddings must have passed.
        streams: Requests at a time, 1 to 16.
        batch_points: Points per request at most.
        batch_bytes: Size of a request at most; a single point may take more.
        timeout_seconds: For one request.
        patience_seconds: How long a failing request is retried.
        green_seconds: How long to wait until the server has indexed everything.
        sample: Points that are read back and compared, vector and payload.
    """

    vector: str = ""
    changed_only: bool = False
    prune: bool = False
    index_fields: tuple[str, ...] = ()
    quantization: Quantization | None = None
    on_disk: bool | None = None
    hold_indexing: bool = False
    migrate: Migrate | None = None
    into: str | None = None
    alias: str | None = None
    gate: Path | None = None
    streams: int = STREAMS
    batch_points: int = BATCH_POINTS
    batch_bytes: int = BATCH_BYTES
    timeout_seconds: int = TIMEOUT_SECONDS
    patience_seconds: float = 300.0
    green_seconds: float = 900.0
    sample: int = 100

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            UsageError: A number is out of range, or two options contradict each other.
        """
        if self.into is not None and self.migrate != "collection":
            raise UsageError("--into names the new collection of --migrate collection", remedy="add it")
        if self.migrate == "vector" and (self.prune or self.changed_only):
            raise UsageError(
                "--migrate vector writes one vector and leaves the points as they are",
                remedy="leave --prune and --changed-only out",
            )
        ranges = {
            "streams": (1, 16),
            "batch_points": (1, 100_000),
            "batch_bytes": (1024, LIMIT_BYTES),
            "timeout_seconds": (1, 3600),
            "patience_seconds": (0, 86_400),
            "green_seconds": (0, 7 * 86_400),
            "sample": (0, 100_000),
        }
        for name, (least, most) in ranges.items():
            if not least <= getattr(self, name) <= most:
                raise UsageError(f"{name} is {getattr(self, name):,}; it can be {least:,} to {most:,}")
