"""Chunks on disk between reading and writing, so that memory does not grow with the corpus."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from qembed.records import Chunk, Vectors
from qembed.store.atomic import explained


class Spooled(NamedTuple):
    """A chunk as the spool gives it back."""

    id: str
    text: str
    metadata: dict[str, Any]


class Spool:
    """Append chunks, then read any of them by position. Eight bytes of memory a chunk."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "chunks.jsonl"
        self._offsets = array("Q")
        self._file = self.path.open("w+b")

    def append(self, chunk: Chunk) -> None:
        """Store one chunk.

        Raises:
            QembedError: The disk is full.
        """
        with explained(self.path):
            self._offsets.append(self._file.tell())
            self._file.write(
                orjson.dumps((chunk.id, chunk.text, chunk.metadata), option=orjson.OPT_APPEND_NEWLINE)
            )

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, position: int) -> Spooled:
        self._file.seek(self._offsets[position])
        return Spooled(*orjson.loads(self._file.readline()))

    def texts(self, positions: Iterable[int]) -> list[str]:
        """The texts at some positions."""
        return [self[int(position)].text for position in positions]

    def close(self) -> None:
        """Close the file; it goes with its folder."""
        self._file.close()


def open_vectors(folder: Path, count: int, dimension: int) -> Vectors:
    """An array on disk for the vectors of all unique texts; float32 (count, dimension)."""
    with explained(folder):
        vectors: Vectors = np.memmap(folder / "vectors.f32", np.float32, "w+", shape=(count, dimension))
        return vectors
