"""What every index does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from qembed.index.filters import Condition

Similarity: TypeAlias = Literal["cosine", "dot"]
"""By which vectors compare: that of the model, as the manifest records it."""

SCORE_DECIMALS = 7
"""What float32 vectors are good for."""


@dataclass(frozen=True, slots=True)
class Point:
    """A vector with its payload.

    Attributes:
        chunk_id: Name of the chunk; Qdrant's point id is derived from it.
        vector: float32 (dimension,).
        payload: Metadata and text; conditions refer to its fields.
    """

    chunk_id: str
    vector: npt.NDArray[np.float32]
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """A point that was found.

    Attributes:
        chunk_id: Name of the chunk.
        score: Similarity as the index measures it; the cosine is -1 to 1.
        payload: As it was added, with the key ``chunk_id``; to be read only, some indexes keep it.
    """

    chunk_id: str
    score: float
    payload: dict[str, Any]


class Index(Protocol):
    """A searchable set of points.

    Attributes:
        name: Which kind it is, e.g. ``memory``.
        exact: Whether it compares with every vector (no approximation).
        dimension: Length of its vectors.
        similarity: By which it compares.
    """

    name: str
    exact: bool
    dimension: int
    similarity: Similarity

    def add(self, points: Iterable[Point]) -> int:
        """Add points; returns how many. Two points of one chunk id: the later one stays.

        Raises:
            DimensionMismatch: A vector of another length.
            Mismatch: A vector that is zero or not finite.
        """
        ...

    def search(
        self, vector: npt.NDArray[np.float32], *, depth: int, where: Sequence[Condition] = ()
    ) -> list[Hit]:
        """The ``depth`` nearest points that meet all conditions, best first, ties by chunk id.

        Args:
            vector: float32 (dimension,), of any length but zero.
            depth: At least 1.
            where: All must be met.
        """
        ...

    def search_many(self, vectors: npt.NDArray[np.float32], *, depth: int) -> list[list[Hit]]:
        """For every query, float32 (queries, dimension), its ``depth`` nearest points as ``search`` gives."""
        ...

    def close(self) -> None:
        """Free memory and disk; the index is of no use afterwards."""
        ...

    def __len__(self) -> int: ...
