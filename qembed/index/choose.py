"""Which index for how many points."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, TypeAlias, get_args

from qembed.errors import UsageError
from qembed.index.edge import EdgeIndex, edge_not_installed
from qembed.index.exact import ExactIndex
from qembed.index.memory import MemoryIndex
from qembed.index.protocol import Index, Similarity

IndexName: TypeAlias = Literal["memory", "edge", "exact"]
IndexKind: TypeAlias = Literal["auto", "memory", "edge", "exact"]

MEMORY_POINTS = 20_000
"""Beyond this in-memory Qdrant itself advises another mode: each query takes as long as there are points."""


def choose_index(kind: IndexKind, points: int) -> IndexName:
    """The index to take: as named; for ``auto``, by the number of points and what is installed.

    ``auto`` is ``memory`` up to 20,000 points; beyond, ``edge`` where it is installed, else ``exact``.

    Raises:
        UsageError: No such index, or ``edge`` is asked for and not installed.
    """
    if kind not in get_args(IndexKind):
        raise UsageError(
            f"there is no index {kind!r}", remedy=f"choose one of {', '.join(get_args(IndexKind))}"
        )
    if kind == "auto":
        if points <= MEMORY_POINTS:
            return "memory"
        return "edge" if _edge_is_installed() else "exact"
    if kind == "edge" and not _edge_is_installed():
        raise edge_not_installed()
    return kind


def make_index(name: IndexName, dimension: int, similarity: Similarity = "cosine") -> Index:
    """An empty index; close it after use.

    Args:
        name: As ``choose_index`` gives it.
        dimension: Length of its vectors.
        similarity: That of their model.

    Raises:
        UsageError: ``edge`` is not installed.
    """
    if name == "edge":
        return EdgeIndex(dimension, similarity=similarity)
    return (ExactIndex if name == "exact" else MemoryIndex)(dimension, similarity)


def _edge_is_installed() -> bool:
    return find_spec("qdrant_edge") is not None
