"""What goes into an index, checked: blocks of points, and query vectors.

A vector that is zero or not finite has no direction, and so no cosine with anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qembed.errors import DimensionMismatch, Mismatch
from qembed.index.protocol import Point, Similarity

_BLOCK_POINTS = 1000


class Block(NamedTuple):
    """Some points, column by column.

    Attributes:
        chunk_ids: Their names.
        vectors: float32 (points, dimension), as given, not normalised.
        payloads: New objects, with the key ``chunk_id`` added.
    """

    chunk_ids: list[str]
    vectors: npt.NDArray[np.float32]
    payloads: list[dict[str, Any]]


def blocks(points: Iterable[Point], dimension: int) -> Iterator[Block]:
    """Points in blocks of at most 1,000.

    Raises:
        DimensionMismatch: A vector of another length; the message names the chunk.
        Mismatch: A vector that is zero or not finite.
    """
    stream = iter(points)
    while taken := list(islice(stream, _BLOCK_POINTS)):
        for point in taken:
            if np.shape(point.vector) != (dimension,):
                raise DimensionMismatch(
                    f"the vector of {point.chunk_id!r} has the shape {np.shape(point.vector)}, "
                    f"the index holds {dimension} dimensions",
                    remedy="vectors of two models do not mix; qembed audit lists all that is wrong",
                )
        vectors = np.stack([point.vector for point in taken]).astype(np.float32, copy=False)
        for position in _without_direction(vectors):
            raise Mismatch(
                f"the vector of {taken[position].chunk_id!r} is zero or not finite; no search can use it",
                remedy="qembed audit lists all that is wrong",
            )
        payloads = [{**point.payload, "chunk_id": point.chunk_id} for point in taken]
        yield Block([point.chunk_id for point in taken], vectors, payloads)


def checked_queries(vectors: npt.NDArray[np.float32], dimension: int) -> npt.NDArray[np.float32]:
    """The query vectors as float32 (queries, dimension), not normalised.

    Raises:
        DimensionMismatch: Another shape.
        Mismatch: A vector that is zero or not finite; the message names its position.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise DimensionMismatch(
            f"the query vectors have the shape {vectors.shape}, the index holds {dimension} dimensions",
            remedy="encode queries with the model that made the index's vectors",
        )
    for position in _without_direction(vectors):
        raise Mismatch(
            f"the vector of query {position} (from 0) is zero or not finite; nothing is near it",
            remedy="find out what made it: a model in fp16 may overflow, try --precision fp32",
        )
    return vectors


def unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Rows of length 1, whatever their magnitude; float32 (rows, dimension) in and out."""
    wide = vectors.astype(np.float64)
    normalised: npt.NDArray[np.float32] = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(
        np.float32
    )
    return normalised


def comparable(vectors: npt.NDArray[np.float32], similarity: Similarity) -> npt.NDArray[np.float32]:
    """Vectors whose dot product is the similarity: rows of length 1 for the cosine, else as they are."""
    return unit(vectors) if similarity == "cosine" else vectors


def longest(vectors: npt.NDArray[np.float32]) -> float:
    """Length of the longest row; 1 for the cosine's."""
    return float(np.linalg.norm(vectors.astype(np.float64), axis=1).max(initial=0.0))


def _without_direction(vectors: npt.NDArray[np.float32]) -> list[int]:
    usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    positions: list[int] = np.flatnonzero(~usable).tolist()
    return positions
