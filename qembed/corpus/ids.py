"""Ids: how a chunk, a page and a Qdrant point are named, and that no two chunks share a name."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING

import numpy as np

from qembed.errors import DuplicateIds

if TYPE_CHECKING:
    from qembed.records import Place


def chunk_id(collection: str, subdirectory: str, filename: str, index: int) -> str:
    """``{collection}:{subdirectory}:{filename}:chunk:{index}``."""
    return f"{collection}:{subdirectory}:{filename}:chunk:{index}"


def page_id(subdirectory: str, filename: str) -> str:
    """``{subdirectory}/{filename}``: the page that a chunk came from, as page-level qrels name it."""
    return f"{subdirectory}/{filename}"


def point_id(chunk_id: str) -> int:
    """SHA-256 of the chunk id, modulo 2^63: the id of the point in Qdrant."""
    return int.from_bytes(sha256(chunk_id.encode()).digest()) % 2**63


def content_sha256(text: str) -> str:
    """Hex SHA-256 of the text's UTF-8 bytes; chunks that share it are exact duplicates."""
    return sha256(text.encode()).hexdigest()


def hash64(text: str) -> int:
    """A 64-bit hash for finding repeats among many strings in 8 bytes each.

    Two different strings collide with probability 2^-64; among a million the chance of any collision
    is 3e-8. Where a collision would matter, the strings themselves are compared afterwards.
    """
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


class IdCheck:
    """Remembers every id in 8 bytes and says afterwards which came twice.

    Only hashes are kept while the corpus streams past; the rare repeated ones are looked up again in a
    second walk, which gives their places and rules out hash collisions.
    """

    def __init__(self) -> None:
        self._hashes = array("Q")

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, chunk_id: str) -> None:
        """Remember one id."""
        self._hashes.append(hash64(chunk_id))

    def repeated(self) -> frozenset[int]:
        """Hashes that were added more than once; empty when all ids are unique."""
        hashes = np.sort(np.frombuffer(self._hashes, dtype=np.uint64))
        return frozenset(hashes[1:][hashes[1:] == hashes[:-1]].tolist())

    @staticmethod
    def explain(repeated: frozenset[int], chunks: Iterable[tuple[str, Place]]) -> None:
        """Walk the corpus again and name both places of the first id that came twice.

        Raises:
            DuplicateIds: with both places; nothing is raised where only hashes collided.
        """
        first: dict[str, Place] = {}
        for name, place in chunks:
            if hash64(name) not in repeated:
                continue
            if name in first:
                raise DuplicateIds(
                    f"two chunks have the id {name!r}",
                    where=f"{first[name]} and {place}",
                    remedy="rename one of the pages",
                )
            first[name] = place
