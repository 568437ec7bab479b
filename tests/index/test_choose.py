"""Which index is taken, and how much of the truth another one finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qembed.errors import UsageError
from qembed.index import ExactIndex, IndexKind, Point, ann_recall, choose, choose_index, make_index


@pytest.mark.parametrize(
    ("kind", "points", "installed", "chosen"),
    [
        ("auto", 0, True, "memory"),
        ("auto", 20_000, True, "memory"),
        ("auto", 20_001, True, "edge"),
        ("auto", 20_001, False, "exact"),
        ("auto", 20_000, False, "memory"),
        ("memory", 10**9, True, "memory"),
        ("edge", 1, True, "edge"),
        ("exact", 1, False, "exact"),
    ],
)
def test_choice(
    kind: IndexKind, points: int, installed: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "_edge_is_installed", lambda: installed)
    assert choose_index(kind, points) == chosen


def test_edge_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="qdrant-edge-py") as caught:
        choose_index("edge", 1)
    assert "pip install qdrant-edge-py" in str(caught.value.remedy)


def test_no_such_index() -> None:
    kind: Any = "faiss"
    with pytest.raises(UsageError, match="no index 'faiss'") as caught:
        choose_index(kind, 1)
    assert "auto, memory, edge, exact" in str(caught.value.remedy)


def filled(vectors: np.ndarray) -> ExactIndex:
    index = make_index("exact", vectors.shape[1])
    assert isinstance(index, ExactIndex)
    index.add(Point(f"{number:02d}", row, {}) for number, row in enumerate(vectors))
    return index


class TestRecall:
    def test_it_is_the_share_of_what_is_wanted(self) -> None:
        """An index that lacks every other point finds half; worked out by hand."""
        angles = np.linspace(0, 1, 20)
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        whole, half = filled(vectors), ExactIndex(2)
        half.add(Point(f"{n:02d}", vectors[n], {}) for n in range(0, 20, 2))
        queries = vectors[[0, 19]]
        assert ann_recall(whole, whole, queries, 7).tolist() == [1, 1]
        # From 0: 00 01 02 03 against 00 02 04 06; from 19: 19 18 17 16 against 18 16 14 12.
        assert ann_recall(half, whole, queries, 4).tolist() == [0.5, 0.5]
        assert ann_recall(half, whole, queries, 1).tolist() == [1, 0]

    def test_fewer_points_than_asked_for(self) -> None:
        index = filled(np.eye(3, dtype=np.float32))
        assert ann_recall(index, index, np.ones((1, 3), dtype=np.float32), 10).tolist() == [1]

    def test_no_points(self) -> None:
        empty = ExactIndex(3)
        assert (
            np.isnan(ann_recall(empty, empty, np.ones((2, 3), dtype=np.float32), 10)).tolist() == [True] * 2
        )

    def test_copies_cost_nothing(self) -> None:
        vectors = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
        memory = make_index("memory", 3)
        memory.add(Point(f"{number:02d}", row, {}) for number, row in reversed(list(enumerate(vectors))))
        queries = np.array([[3, 2, 1], [1, 2, 3]], dtype=np.float32)
        assert ann_recall(memory, filled(vectors), queries, 30).tolist() == [1, 1]
        memory.close()
