"""One pass over a file of embeddings for ``verify``: a random sample of texts, and vectors to rank."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappush, heappushpop

import numpy as np
import numpy.typing as npt

from qembed.commands.verify.compare import Among
from qembed.errors import DimensionMismatch
from qembed.progress import Progress
from qembed.records import Vectors
from qembed.store import Embeddings, Record, placed_records

RANKED_BYTES = 1_000_000_000
"""Vectors that are held in memory to rank all of the file; beyond that those of the sample are ranked."""

_ROWS_A_BLOCK = 4096
_REMEDY = "qembed audit lists all that is wrong"


@dataclass(frozen=True, slots=True)
class Sampled:
    """One text of the sample, with the vector that the file has for it.

    Attributes:
        id: Id of the first chunk with this text.
        place: File and line or row.
        text: What was embedded.
        vector: float32 (dimension,), finite, not zero.
    """

    id: str
    place: str
    text: str
    vector: npt.NDArray[np.float32]


@dataclass(slots=True)
class Contents:
    """What one pass saw.

    Attributes:
        records: How many.
        dimension: Dimension of every vector; 0 if there are none.
        non_finite: Records whose vector holds NaN or Inf.
        zero: Records whose vector has no direction.
        without_text: Records that cannot be embedded again.
        sample: Different texts, by chunk id.
        ranked: Different vectors, in blocks; float32 (rows, dimension).
        ranked_from: All of the ``file``, or those of the ``sample`` where the file has too many.
    """

    records: int = 0
    dimension: int = 0
    non_finite: int = 0
    zero: int = 0
    without_text: int = 0
    sample: list[Sampled] = field(default_factory=list)
    ranked: list[Vectors] = field(default_factory=list)
    ranked_from: Among = "file"


class Sampler:
    """A uniform sample of the distinct texts of a stream, in the memory of the sample.

    Kept are the texts with the smallest keyed hashes (a bottom-k sketch, Cohen and Kaplan 2007): a copy has
    the hash of its text, so it counts once without a list of all texts seen, and neither the order of the
    records nor their spread over shards changes the sample.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._key = seed.to_bytes(8)
        self._largest: list[int] = []  # a heap of negated hashes
        self._kept: dict[int, Sampled] = {}

    def offer(self, record: Record, text: str, place: str) -> None:
        """Take a record or leave it."""
        order = int.from_bytes(blake2b(text.encode(), digest_size=8, key=self._key).digest())
        if order in self._kept or (len(self._kept) == self._size and order > -self._largest[0]):
            return
        self._kept[order] = Sampled(str(record.id), place, text, record.vector.copy())
        if len(self._kept) <= self._size:
            heappush(self._largest, -order)
        else:
            del self._kept[-heappushpop(self._largest, -order)]

    def sample(self) -> list[Sampled]:
        """By id."""
        return sorted(self._kept.values(), key=lambda one: (one.id, one.place))


class DistinctVectors:
    """The different vectors of a stream, in blocks; given up when they exceed ``limit_bytes``."""

    def __init__(self, limit_bytes: int = RANKED_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._seen: set[bytes] = set()
        self._rows: list[npt.NDArray[np.float32]] = []
        self._bytes = 0
        self.blocks: list[Vectors] = []
        self.complete = True

    def add(self, vector: npt.NDArray[np.float32]) -> None:
        """Take a vector unless it is there, bit for bit."""
        if not self.complete:
            return
        digest = blake2b(np.ascontiguousarray(vector).data, digest_size=8).digest()
        if digest in self._seen:
            return
        self._seen.add(digest)
        self._bytes += vector.nbytes
        if self._bytes > self._limit_bytes:
            self.complete = False
            self._seen, self._rows, self.blocks = set(), [], []
            return
        self._rows.append(vector)
        if len(self._rows) == _ROWS_A_BLOCK:
            self.finish()

    def finish(self) -> None:
        """Put what is left into a block."""
        if self._rows:
            self.blocks.append(np.stack(self._rows))
            self._rows = []


def read_contents(
    embeddings: Embeddings, *, size: int, seed: int, progress: Progress, limit_bytes: int = RANKED_BYTES
) -> Contents:
    """Read every record once.

    Raises:
        Mismatch: A line that is no record.
        DimensionMismatch: Vectors of two lengths.
    """
    seen, sampler, distinct = Contents(), Sampler(size, seed), DistinctVectors(limit_bytes)
    for record, place in placed_records(embeddings):
        seen.records += 1
        seen.dimension = seen.dimension or len(record.vector)
        if len(record.vector) != seen.dimension:
            raise DimensionMismatch(
                f"{record.id!r} has {len(record.vector)} dimensions, the first vector {seen.dimension}",
                where=place,
                remedy=_REMEDY,
            )
        progress.advance(1)
        if not np.isfinite(record.vector).all():
            seen.non_finite += 1
        elif not record.vector.any():
            seen.zero += 1
        else:
            distinct.add(record.vector)
            if record.text is None or not record.text.strip():
                seen.without_text += 1
            else:
                sampler.offer(record, record.text, place)
    seen.sample = sampler.sample()
    if not distinct.complete:
        seen.ranked_from, distinct = "sample", DistinctVectors()
        for one in seen.sample:
            distinct.add(one.vector)
    distinct.finish()
    seen.ranked = distinct.blocks
    return seen
