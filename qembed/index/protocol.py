"""What every index does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qembed.index.filters import Condition


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
        score: Cosine similarity, -1 to 1.
        payload: As it was added.
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
    """

    name: str
    exact: bool
    dimension: int

    def add(self, points: Iterable[Point]) -> int:
        """Add points; returns how many."""
        ...

    def search(
        self, vector: npt.NDArray[np.float32], *, depth: int, where: Sequence[Condition] = ()
    ) -> list[Hit]:
        """The ``depth`` nearest points that meet all conditions, best first, ties by chunk id."""
        ...

    def __len__(self) -> int: ...
