"""The texts of a window on disk: token ids or UTF-8, one after the other, read by position without copying.

A file holds int64 ``count``, int64 ``offsets`` (count + 1,), then the items; little endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Offsets = npt.NDArray[np.int64]


def window_path(folder: Path, number: int) -> Path:
    """Where the texts of a window are."""
    return folder / f"window-{number}.bin"


def write_ragged(file: BinaryIO, offsets: Offsets, items: npt.NDArray[Any]) -> None:
    """Write one window.

    Args:
        file: Open for writing.
        offsets: int64 (texts + 1,): where each text begins in ``items``; the last is where all end.
        items: int32 token ids, or uint8 UTF-8.
    """
    file.write(np.int64(len(offsets) - 1).tobytes())
    file.write(np.ascontiguousarray(offsets, dtype=np.int64).data)
    file.write(np.ascontiguousarray(items).data)


def pack_texts(texts: Sequence[str]) -> tuple[Offsets, npt.NDArray[np.uint8]]:
    """Texts as offsets and UTF-8."""
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(item) for item in encoded], out=offsets[1:])
    return offsets, np.frombuffer(b"".join(encoded), dtype=np.uint8)


class Ragged:
    """Reads a window's file; the system keeps in memory what is used of it."""

    def __init__(self, path: Path, *, tokens: bool) -> None:
        count = int(np.fromfile(path, dtype=np.int64, count=1)[0])
        self.offsets: Offsets = np.fromfile(path, dtype=np.int64, count=count + 1, offset=8)
        head = 8 * (count + 2)
        dtype = np.dtype(np.int32 if tokens else np.uint8)
        # An empty file cannot be mapped; a window of empty texts has no items.
        self._items: npt.NDArray[Any] = np.empty(0, dtype=dtype)
        if self.offsets[-1]:
            # As a plain array: every slice of a memmap costs ten times as much.
            self._items = np.asarray(np.memmap(path, dtype, "r", offset=head))

    def ids(self, positions: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int32]]:
        """Token ids of some texts; int32 arrays."""
        starts, ends = self.offsets[positions].tolist(), self.offsets[positions + 1].tolist()
        return [self._items[start:end] for start, end in zip(starts, ends, strict=True)]

    def texts(self, positions: npt.NDArray[np.int64]) -> list[str]:
        """Some texts, of a file of UTF-8."""
        return [item.tobytes().decode() for item in self.ids(positions)]
