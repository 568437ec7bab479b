"""A file that a thread of its own hashes and writes, one block behind the one that makes the blocks."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from qembed.store.atomic import explained


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file that was written.

    Attributes:
        name: Without its folder.
        bytes: Its size.
        sha256: SHA-256 of the whole file, hex.
        records: How many it holds.
    """

    name: str
    bytes: int
    sha256: str
    records: int


class HashedFile:
    """A new file. Both hashing and writing release the GIL, so the next block is made meanwhile.

    Every method raises ``QembedError`` where the disk is full or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hash = sha256()
        self._bytes = 0
        with explained(path):
            self._file = path.open("wb", buffering=0)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="qembed-write")
        self._writing: Future[None] | None = None

    def write(self, block: bytes) -> int:
        """Hand over a block; an error of the block before comes out here."""
        self._wait()
        self._bytes += len(block)
        self._writing = self._thread.submit(self._take, block)
        return len(block)

    def tell(self) -> int:
        """Bytes handed over so far."""
        return self._bytes

    def finish(self, records: int) -> OutputFile:
        """All of it is on the disk when this returns."""
        self._wait()
        with explained(self.path):
            os.fsync(self._file.fileno())
            self._file.close()
        self._thread.shutdown()
        return OutputFile(self.path.name, self._bytes, self._hash.hexdigest(), records)

    def abandon(self) -> None:
        """Close it as it is."""
        self._thread.shutdown()
        with suppress(OSError):
            self._file.close()

    def _take(self, block: bytes) -> None:
        self._hash.update(block)
        rest = memoryview(block)
        while len(rest):  # a disk that fills up takes a part, and refuses the rest
            rest = rest[self._file.write(rest) :]

    def _wait(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            with explained(self.path):
                writing.result()
