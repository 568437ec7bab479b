"""Indexes for models that are made for the dot product: lengths count, and every index agrees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qembed.index import ExactIndex, Index, IndexName, MemoryIndex, Point, make_index

COORDINATES = st.floats(-1000, 1000, width=32).filter(lambda number: number == 0 or abs(number) > 1e-3)


@pytest.fixture(params=get_args(IndexName))
def index(request: pytest.FixtureRequest) -> Iterator[Index]:
    if request.param == "edge":
        pytest.importorskip("qdrant_edge")
    with closing(make_index(request.param, 2, "dot")) as made:
        yield made


def points(vectors: np.ndarray) -> list[Point]:
    return [Point(f"chunk-{row:03}", vector, {}) for row, vector in enumerate(vectors)]


def test_the_longer_vector_wins(index: Index) -> None:
    """By the cosine the first one would."""
    index.add(points(np.array([[1, 0], [3, 3], [0, 5]], dtype=np.float32)))
    found = index.search(np.array([2, 0], dtype=np.float32), depth=3)
    assert [(hit.chunk_id, hit.score) for hit in found] == [
        ("chunk-001", 6.0),
        ("chunk-000", 2.0),
        ("chunk-002", 0.0),
    ]
    assert index.similarity == "dot"


def test_several_queries_at_once(index: Index) -> None:
    index.add(points(np.array([[1, 0], [3, 3], [0, 5]], dtype=np.float32)))
    queries = np.array([[2, 0], [0, 0.5], [-1, -1]], dtype=np.float32)
    one_by_one = [index.search(query, depth=2) for query in queries]
    assert index.search_many(queries, depth=2) == one_by_one
    assert [hits[0].chunk_id for hits in one_by_one] == ["chunk-001", "chunk-002", "chunk-000"]


@given(
    vectors=hnp.arrays(np.float32, st.tuples(st.integers(1, 60), st.just(3)), elements=COORDINATES),
    query=hnp.arrays(np.float32, 3, elements=COORDINATES),
    depth=st.integers(1, 10),
)
def test_as_float64_orders_them(vectors: np.ndarray, query: np.ndarray, depth: int) -> None:
    vectors, query = np.add(vectors, [0, 0, 1]), np.add(query, [0, 1, 0])
    vectors, query = vectors[vectors.any(axis=1)].astype(np.float32), query.astype(np.float32)
    if not len(vectors) or not query.any():
        return
    scores = (vectors.astype(np.float64) @ query.astype(np.float64)).round(7)
    wanted = sorted(zip(-scores, points(vectors), strict=True), key=lambda one: (one[0], one[1].chunk_id))
    for kind in (MemoryIndex, ExactIndex):
        with closing(kind(3, "dot")) as index:
            index.add(points(vectors))
            found = [hit.chunk_id for hit in index.search(query, depth=depth)]
        assert found == [point.chunk_id for _, point in wanted[:depth]]
