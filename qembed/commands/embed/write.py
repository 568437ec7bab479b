"""Writes the output in input order, from a thread of its own, as far as the vectors are there."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import numpy as np
import numpy.typing as npt

from qembed.corpus import complete
from qembed.corpus.survey import Groups
from qembed.engine import Rows
from qembed.progress import Progress
from qembed.store import ChunksFingerprint, Output, Spool, open_writer
from qembed.store.complete import check_complete
from qembed.store.formats import Format
from qembed.store.hashed import OutputFile

_BLOCK_CHUNKS = 256


class ChunkWriter:
    """Writes every chunk that has a vector, with its text's vector, in input order.

    ``rows_done`` may be called while rows are still being made; what it says is there is written in the
    background. A text without a vector ends that (the number of records, which some formats begin with,
    was wrong): ``finish`` then writes everything again without the chunks of such texts.
    """

    def __init__(
        self,
        folder: Path,
        collection: str,
        format: Format,
        shard_records: int | None,
        spool: Spool,
        groups: Groups,
        rows: Rows,
        lengths: npt.NDArray[np.int64],
    ) -> None:
        """Nothing is written before ``rows_done``.

        Args:
            folder: Folder of staged files.
            collection: First part of their names.
            format: Format of the output.
            shard_records: Records of one file at most; no limit when None.
            spool: The chunks.
            groups: Which unique text each chunk has.
            rows: The vectors.
            lengths: Tokens of each unique text before truncation, filled during the run.
        """
        self._folder, self._collection = folder, collection
        self._format, self._shard_records = format, shard_records
        self._spool, self._groups, self._rows, self._lengths = spool, groups, rows, lengths
        self._ends: SimpleQueue[int | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._cancelled = Event()
        self._error: BaseException | None = None
        self._written: tuple[tuple[OutputFile, ...], str] | None = None

    def rows_done(self, count: int) -> None:
        """All rows below ``count`` are finished or have failed."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="qembed writer", daemon=True)
            self._thread.start()
        self._ends.put(count)

    def finish(self, progress: Progress, failed: Collection[int] = ()) -> Output:
        """Write what is left; the files are on the disk, and complete, when this returns.

        Args:
            progress: Receives the progress of every chunk.
            failed: Rows that have no vector, and are reported.

        Raises:
            QembedError: The disk is full or cannot be written, or a text has neither a vector nor a reason
                for having none.
        """
        if self._thread is not None:
            self._ends.put(None)
            self._thread.join()
        if self._error is not None:
            raise self._error
        if self._written is None:
            self._written = self._write_all(progress)
        files, fingerprint = self._written
        written = Output.of(
            files,
            format=self._format,
            chunks_fingerprint=fingerprint,
            records=int(self._has_vector().sum()),
            dimension=self._dimension,
        )
        without = np.isin(self._groups.inverse, list(failed))
        check_complete(self._folder, written, expected=len(self._spool) - int(without.sum()))
        return written

    def cancel(self) -> None:
        """Stop writing; the files are of no use."""
        self._cancelled.set()
        if self._thread is not None:
            self._ends.put(None)
            self._thread.join()

    @property
    def _dimension(self) -> int:
        return int(self._rows.vectors.shape[1])

    def _has_vector(self) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = np.asarray(self._rows.checksums != 0)[self._groups.inverse]
        return found

    def _run(self) -> None:
        try:
            self._written = self._write_as_they_come()
        except BaseException as error:  # raised by ``finish``
            self._error = error

    def _write_as_they_come(self) -> tuple[tuple[OutputFile, ...], str] | None:
        chunks, begun = len(self._spool), 0
        fingerprint = ChunksFingerprint()
        with self._open(chunks) as writer:
            while (rows := self._ends.get()) is not None:
                first = self._groups.first
                end = int(first[rows]) if rows < len(first) else chunks
                for start in range(begun, end, _BLOCK_CHUNKS):
                    block = np.arange(start, min(start + _BLOCK_CHUNKS, end))
                    if (
                        self._cancelled.is_set()
                        or not self._rows.checksums[self._groups.inverse[block]].all()
                    ):
                        return None
                    self._write(writer, block, fingerprint)
                begun = end
            if begun < chunks:
                return None
            return writer.close(), fingerprint.hexdigest()

    def _write_all(self, progress: Progress) -> tuple[tuple[OutputFile, ...], str]:
        positions = np.flatnonzero(self._has_vector())
        fingerprint = ChunksFingerprint()
        with self._open(len(positions)) as writer:
            for start in range(0, len(positions), _BLOCK_CHUNKS):
                self._write(writer, positions[start : start + _BLOCK_CHUNKS], fingerprint)
                progress.advance(len(positions[start : start + _BLOCK_CHUNKS]))
            return writer.close(), fingerprint.hexdigest()

    def _open(self, records: int) -> Any:
        return open_writer(
            self._format,
            self._folder,
            self._collection,
            dimension=self._dimension,
            records=records,
            shard_records=self._shard_records,
        )

    def _write(self, writer: Any, positions: npt.NDArray[np.int64], fingerprint: ChunksFingerprint) -> None:
        texts = self._groups.inverse[positions]
        chunks = [self._spool[position] for position in positions.tolist()]
        counts = self._lengths[texts].tolist()
        writer.add(
            [chunk.id for chunk in chunks],
            [chunk.text for chunk in chunks],
            self._rows.take(texts),
            [
                complete(chunk.metadata, {"token_count": count})
                for chunk, count in zip(chunks, counts, strict=True)
            ],
        )
        for chunk in chunks:
            fingerprint.add(chunk.id, chunk.text)
