"""Chunks on disk between reading and writing, so that memory does not grow with the corpus."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import orjson

from qembed.records import Chunk
from qembed.store.atomic import explained


class Spooled(NamedTuple):
    """A chunk as the spool gives it back."""

    id: str
    text: str
    metadata: dict[str, Any]


class Spool:
    """Append chunks, then read any of them by position, from any thread. Eight bytes of memory per chunk."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "chunks.jsonl"
        self._offsets = array("Q")
        self._end = 0
        self._lock = Lock()
        with explained(self.path):
            self._file = self.path.open("w+b")

    def append(self, chunk: Chunk) -> None:
        """Store one chunk.

        Raises:
            QembedError: The disk is full.
        """
        line = orjson.dumps((chunk.id, chunk.text, chunk.metadata), option=orjson.OPT_APPEND_NEWLINE)
        with explained(self.path):
            if self._file.tell() != self._end:  # something was read in between
                self._file.seek(self._end)
            self._file.write(line)
        self._offsets.append(self._end)
        self._end += len(line)

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, position: int) -> Spooled:
        with self._lock, explained(self.path):  # moving writes what is still in memory
            self._file.seek(self._offsets[position])
            line = self._file.readline()
        return Spooled(*orjson.loads(line))

    def texts(self, positions: Iterable[int]) -> list[str]:
        """The texts at some positions."""
        return [self[int(position)].text for position in positions]

    def close(self) -> None:
        """Close the file; it goes with its folder, so what is still in memory need not be written."""
        with suppress(OSError):
            self._file.close()
