"""The points of the embeddings, read from their files while they are sent."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeAlias

import numpy as np

from qembed.commands.upload.options import UploadOptions
from qembed.errors import Mismatch
from qembed.index import Point
from qembed.index.payload import point_of
from qembed.index.server.batches import Encoded, encode
from qembed.index.server.check import Roll, corpus_of
from qembed.index.server.fields import FieldIndex
from qembed.store import Embeddings, Record, placed_records
from qembed.store.audit.report import AuditReport
from qembed.store.manifest import similarity_of

HEAD = 1000
"""Records that are read to see which fields there are."""

State: TypeAlias = tuple[tuple[str, int, int], ...]


def state_of(embeddings: Embeddings) -> State:
    """What tells whether the files have changed: name, size and time of change."""
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in embeddings.files)


class Points:
    """The points of embeddings that an audit found sound, read as often as they are asked for.

    Attributes:
        path: File of the embeddings; of several, the first.
        sha256: Hash of the files, as the audit read them.
        records: Number of them.
        dimension: Dimension of the vectors.
        similarity: By which they compare.
        model: Id of their model; None where no manifest says so.
        weights: Hash of its weights; None where no manifest says so.
        query_prompt: What stands before a query; None where no manifest says so.
        model_name: The same as ``--model`` takes it.
        vector: Name of the vector in the collection; empty where vectors have no name.
        only_vector: Whether this vector alone is written, not whole points.
        roll: Ids and hashes, filled by the last reading.
        sample: Points to be read back, filled by the last reading.
        corpora: Names of their corpora, as their payloads have them.
    """

    def __init__(
        self, embeddings: Embeddings, report: AuditReport, state: State, options: UploadOptions
    ) -> None:
        """``state`` is that of the files before the audit."""
        assert report.dimension is not None
        self.path, self.sha256 = embeddings.path, report.sha256
        self.records = report.records
        self.dimension = report.dimension
        self.similarity = similarity_of(report.manifest)
        made = report.manifest.model if report.manifest else {}
        self.model = str(made["id"]) if made else None
        self.weights, self.query_prompt = made.get("weights_sha256"), made.get("query_prompt")
        self.model_name = str(made.get("name", self.model)) if made else None
        self.vector, self.only_vector = options.vector, options.migrate == "vector"
        self._embeddings, self._state = embeddings, state
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
        for number, (record, place) in enumerate(self._records()):
            point = point_of(record)
            if number >= self.records:
                raise self._changed(place)
            if point.vector.shape != (self.dimension,) or not np.isfinite(point.vector).all():
                raise self._changed(place)
            made = encode(number, point, self.vector, compare=compare(number))
            self.roll.put(number, made.id, made.sha256)
            if (name := corpus_of(point.payload)) is not None:
                self.corpora.add(name)
            if number in self._chosen:
                self.sample.append((made.id, point))
            yield made
        if number + 1 != self.records or state_of(self._embeddings) != self._state:
            raise self._changed(str(self.path))

    def without(self, fields: Iterable[FieldIndex]) -> list[FieldIndex]:
        """The fields that no payload of the first thousand has: mostly, they are misspelt."""
        left = list(fields)
        for record, _ in islice(self._records(), HEAD if left else 0):
            payload = point_of(record).payload
            left = [each for each in left if not each.is_in(payload)]
        return left

    def _records(self) -> Iterator[tuple[Record, str]]:
        """The records; what cannot be read was sound when it was audited."""
        try:
            yield from placed_records(self._embeddings)
        except (Mismatch, OSError) as error:
            raise self._changed(str(self.path)) from error

    def _begin(self) -> None:
        self.roll = Roll.of(self.records)
        self.sample: list[tuple[int, Point]] = []
        self.corpora: set[str] = set()

    @staticmethod
    def _changed(place: str) -> Mismatch:
        return Mismatch(
            "the embeddings have changed while they were uploaded",
            where=place,
            remedy="wait until nothing writes them, then run the same command again",
        )
