"""What a walk over a corpus leaves behind: about 50 bytes per chunk, however long the texts are."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from qembed.corpus.ids import IdCheck
from qembed.corpus.walk import ROOT, ChunkFile
from qembed.records import Chunk, Finding

Indices: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Groups:
    """Chunks by identical text.

    Attributes:
        first: Position of the first chunk of each unique text, ascending; int64 (unique texts,).
        inverse: For every chunk, which unique text it has; int64 (chunks,).
    """

    first: Indices
    inverse: Indices

    def sizes(self) -> Indices:
        """Chunks that share each unique text; int64 (unique texts,)."""
        return np.bincount(self.inverse, minlength=len(self.first)).astype(np.int64)


def group_equal(keys: npt.NDArray[np.void]) -> Groups:
    """Group equal keys; unique ones in the order of their first appearance.

    Args:
        keys: Fixed-width keys, shape (chunks,).
    """
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return Groups(first[order].astype(np.int64), rank[inverse.reshape(-1)].astype(np.int64))


class Survey:
    """Takes every chunk once and keeps what planning, statistics and checks need.

    Attributes:
        findings: Everything that could not be read.
        subdirectories: Names, in order of appearance.
        files: Files read, by subdirectory.
        characters: Characters of all texts.
        ids: To be checked for uniqueness afterwards.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.subdirectories: list[str] = []
        self.files: Counter[str] = Counter()
        self.characters = array("Q")
        self.ids = IdCheck()
        self._named: Counter[str] = Counter()
        self._last_file = ""
        self._code_of: dict[str, int] = {}
        self._codes = array("L")
        self._digests = bytearray()
        self._fingerprint = sha256()

    def __len__(self) -> int:
        return len(self._codes)

    def on_file(self, file: ChunkFile) -> None:
        """Count a file."""
        self.files[file.subdirectory] += 1

    def add(self, chunk: Chunk) -> None:
        """Take one chunk."""
        subdirectory = str(chunk.metadata["subdirectory"])
        code = self._code_of.setdefault(subdirectory, len(self._code_of))
        if code == len(self.subdirectories):
            self.subdirectories.append(subdirectory)
        if chunk.place.path != self._last_file:
            self._last_file = chunk.place.path
            self._named[subdirectory] += subdirectory not in self.files
        self._codes.append(code)
        self.characters.append(len(chunk.text))
        # Half of SHA-256: two texts that differ share it with probability 2^-128.
        self._digests += bytes.fromhex(chunk.metadata["content_sha256"][:32])
        self.ids.add(chunk.id)
        self._fingerprint.update(fingerprint_line(chunk.id, chunk.metadata))

    def groups(self) -> Groups:
        """Chunks by identical text."""
        return group_equal(np.frombuffer(bytes(self._digests), dtype="V16"))

    def digests(self, groups: Groups) -> npt.NDArray[np.void]:
        """Half of the SHA-256 of each unique text; V16 (unique texts,)."""
        return np.frombuffer(bytes(self._digests), dtype="V16")[groups.first]

    def unique_characters(self, groups: Groups) -> Indices:
        """Characters of each unique text; int64 (unique texts,)."""
        return np.frombuffer(self.characters, dtype=np.uint64)[groups.first].astype(np.int64)

    def codes(self) -> Indices:
        """For every chunk, the position of its subdirectory in ``subdirectories``; int64 (chunks,)."""
        return np.frombuffer(self._codes, dtype=f"u{self._codes.itemsize}").astype(np.int64)

    def fingerprint(self) -> str:
        """Hex SHA-256 over ids, texts (by hash) and metadata of all chunks in order."""
        return self._fingerprint.hexdigest()

    def files_of(self, subdirectory: str) -> int:
        """Files read for a subdirectory; a file at the top may name its subdirectory itself."""
        if subdirectory == ROOT:
            return self.files[ROOT] - self._named.total()
        return self.files[subdirectory] + self._named[subdirectory]


def fingerprint_line(chunk_id: str, metadata: dict[str, Any]) -> bytes:
    """What one chunk adds to the fingerprint; the text is in it by its hash in the metadata."""
    return orjson.dumps((chunk_id, metadata), option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
