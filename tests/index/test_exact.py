"""The reference itself: float64 decides, as in memory; blocks do not matter; ties at the cut are exact."""

from __future__ import annotations

import gc
from contextlib import closing
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qembed.errors import DimensionMismatch
from qembed.index import Condition, ExactIndex, IndexName, Point, exact, make_index, points, ties


def filled(vectors: np.ndarray, ids: list[str]) -> ExactIndex:
    index = ExactIndex(vectors.shape[1])
    index.add(Point(name, row, {}) for name, row in zip(ids, vectors, strict=True))
    return index


def truth(vectors: np.ndarray, ids: list[str], query: np.ndarray, depth: int) -> list[tuple[str, float]]:
    """Brute force: float64 products of the rows as the index keeps them, in float32."""
    rows = points.unit(vectors).astype(np.float64)
    scores = (rows @ points.unit(query[None])[0].astype(np.float64)).round(7).tolist()
    return sorted(zip(ids, scores, strict=True), key=lambda pair: (-pair[1], pair[0]))[:depth]


@pytest.mark.parametrize("kind", ["exact", "memory"])
@given(
    count=st.integers(1, 120),
    groups=st.integers(1, 12),
    queries=st.integers(1, 5),
    depth=st.integers(1, 130),
    spread=st.sampled_from([1.0, 1e-4, 1e-6]),
    spare=st.sampled_from([1, 16]),
    seed=st.integers(0, 10_000),
)
def test_ids_scores_and_order_are_those_of_float64(
    kind: IndexName, count: int, groups: int, queries: int, depth: int, spread: float, spare: int, seed: int
) -> None:
    """Vectors in tight groups: many scores nearer to each other than float32 can tell."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(groups, 24))[random.integers(groups, size=count)]
    vectors = (vectors + spread * random.normal(size=(count, 24))).astype(np.float32)
    ids = [f"c:{number:03d}" for number in random.permutation(count)]
    asked = random.normal(size=(queries, 24)).astype(np.float32)
    with (
        mock.patch.object(exact, "SPARE", spare),
        mock.patch.object(ties, "SPARE", spare),
        closing(make_index(kind, 24)) as index,
    ):
        index.add(Point(name, row, {}) for name, row in zip(ids, vectors, strict=True))
        answers = index.search_many(asked, depth=depth)
    for query, hits in zip(asked, answers, strict=True):
        assert [(hit.chunk_id, hit.score) for hit in hits] == truth(vectors, ids, query, depth)


@pytest.mark.parametrize("kind", ["exact", "memory"])
def test_near_ties_at_the_cut(kind: IndexName, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that float32 tells apart where there is no difference: the cut must not trust it."""
    monkeypatch.setattr(exact, "SPARE", 1)
    monkeypatch.setattr(ties, "SPARE", 1)
    random = np.random.default_rng(8)
    vectors = (random.normal(size=384) + 1e-6 * random.normal(size=(300, 384))).astype(np.float32)
    ids = [f"c:{number:03d}" for number in random.permutation(300)]
    queries = random.normal(size=(20, 384)).astype(np.float32)
    with closing(make_index(kind, 384)) as index:
        index.add(Point(name, row, {}) for name, row in zip(ids, vectors, strict=True))
        for query, hits in zip(queries, index.search_many(queries, depth=40), strict=True):
            assert [(hit.chunk_id, hit.score) for hit in hits] == truth(vectors, ids, query, 40)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    vectors = np.repeat(random.normal(size=(100, 48)), 5, axis=0).astype(np.float32)
    queries = random.normal(size=(50, 48)).astype(np.float32)
    index = filled(vectors, [f"c:{number:03d}" for number in random.permutation(500)])
    whole = index.search_many(queries, depth=13)
    monkeypatch.setattr(exact, "_BLOCK_BYTES", 7 * 4 * 500)  # seven queries
    monkeypatch.setattr(exact, "_PIECE_ROWS", 3)
    monkeypatch.setattr(exact, "SPARE", 1)
    assert index.search_many(queries, depth=13) == whole
    assert [index.search(query, depth=13) for query in queries] == whole


def test_a_block_of_scores_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = exact._candidates

    def watch(scores: torch.Tensor, depth: int, error: float) -> list[np.ndarray]:
        seen.append(scores.numel() * 4)
        return original(scores, depth, error)

    monkeypatch.setattr(exact, "_candidates", watch)
    monkeypatch.setattr(exact, "_BLOCK_BYTES", 10_000)
    random = np.random.default_rng(4)
    index = filled(random.normal(size=(300, 8)).astype(np.float32), [str(n) for n in range(300)])
    assert len(index.search_many(random.normal(size=(100, 8)).astype(np.float32), depth=5)) == 100
    assert len(seen) == 13  # 8 queries of 300 scores a block
    assert max(seen) <= 10_000


@given(dimension=st.sampled_from([8, 384, 3584]), seed=st.integers(0, 1000))
def test_float32_is_off_by_no_more_than_the_bound(dimension: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = points.unit(random.normal(size=(64, dimension)).astype(np.float32))
    rough = (torch.from_numpy(rows) @ torch.from_numpy(rows).T).numpy().astype(np.float64)
    fine = rows.astype(np.float64) @ rows.astype(np.float64).T
    assert np.abs(rough - fine).max() <= ties.float32_error(dimension)


def test_points_replaced_and_added_between_searches() -> None:
    random = np.random.default_rng(5)
    index, now = ExactIndex(6), {}
    for _ in range(6):
        for number in random.integers(40, size=15).tolist():
            vector = random.normal(size=6).astype(np.float32)
            index.add([Point(f"c:{number:02d}", vector, {"vector": vector.tolist()})])
            now[f"c:{number:02d}"] = vector
        assert len(index) == len(now)
        query = random.normal(size=6).astype(np.float32)
        hits = index.search(query, depth=100)
        vectors = np.array(list(now.values()))
        assert [(hit.chunk_id, hit.score) for hit in hits] == truth(vectors, list(now), query, 100)
        assert all(hit.payload["vector"] == now[hit.chunk_id].tolist() for hit in hits)


def test_a_filter_keeps_the_reference_exact() -> None:
    random = np.random.default_rng(6)
    vectors = random.normal(size=(400, 12)).astype(np.float32)
    index = ExactIndex(12)
    index.add(Point(f"{n:03d}", vectors[n], {"n": n}) for n in range(400))
    query = random.normal(size=12).astype(np.float32)
    where = [Condition("n", ">=", 100), Condition("n", "!=", 250)]
    kept = [n for n in range(100, 400) if n != 250]
    hits = index.search(query, depth=30, where=where)
    assert [(hit.chunk_id, hit.score) for hit in hits] == truth(
        vectors[kept], [f"{n:03d}" for n in kept], query, 30
    )


def test_nothing_is_left_after_closing() -> None:
    index = filled(np.eye(3, dtype=np.float32), ["a", "b", "c"])
    index.close()
    assert len(index) == 0
    assert index.search(np.ones(3, dtype=np.float32), depth=2) == []


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled: bool) -> None:
    index = filled(np.eye(3, dtype=np.float32), ["a", "b", "c"])
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        index.search_many(np.eye(3, dtype=np.float32), depth=1)
        assert gc.isenabled() == enabled
        with pytest.raises(DimensionMismatch):
            index.search_many(np.eye(2, dtype=np.float32), depth=1)
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
