"""Embedded Qdrant: what ``optimize`` builds and costs, its temporary folder, what it says when it cannot."""

from __future__ import annotations

import builtins
import gc
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qembed.errors import QembedError, UsageError
from qembed.index import Condition, EdgeIndex, EdgeOptions, ExactIndex, Point, ann_recall

pytest.importorskip("qdrant_edge")

RANDOM = np.random.default_rng(0)
CENTRES = RANDOM.normal(size=(30, 32))
VECTORS = (CENTRES[RANDOM.integers(30, size=1500)] + RANDOM.normal(size=(1500, 32))).astype(np.float32)
QUERIES = (CENTRES[RANDOM.integers(30, size=40)] + RANDOM.normal(size=(40, 32))).astype(np.float32)


def points() -> Iterator[Point]:
    return (Point(f"c:{n:04d}", vector, {"n": n}) for n, vector in enumerate(VECTORS))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def reference() -> ExactIndex:
    index = ExactIndex(32)
    index.add(points())
    return index


class TestOptimize:
    @pytest.mark.parametrize(
        ("options", "least"),
        [
            (EdgeOptions(), 0.9),
            (EdgeOptions(ef=1500), 0.99),
            (EdgeOptions(quantization="scalar"), 0.9),
            (EdgeOptions(quantization="binary", oversampling=3.0), 0.6),
            (EdgeOptions(m=0, quantization="scalar", oversampling=2.0), 0.99),
        ],
        ids=str,
    )
    def test_it_is_no_longer_exact_and_says_so(
        self, reference: ExactIndex, options: EdgeOptions, least: float
    ) -> None:
        with closing(EdgeIndex(32, options)) as index:
            index.add(points())
            assert index.exact
            assert ann_recall(index, reference, QUERIES, 10).tolist() == [1.0] * 40
            index.optimize()
            assert not index.exact
            assert len(index) == 1500
            recall = ann_recall(index, reference, QUERIES, 10)
            assert least <= recall.mean() <= 1
            for query, hits in zip(QUERIES, index.search_many(QUERIES, depth=10), strict=True):
                # Whatever finds them, scores are those of the full vectors.
                scores = {hit.chunk_id: hit.score for hit in reference.search(query, depth=1500)}
                assert [hit.score for hit in hits] == pytest.approx(
                    [scores[hit.chunk_id] for hit in hits], abs=1e-6
                )

    def test_few_candidates_find_less(self, reference: ExactIndex) -> None:
        """Proof that the graph is used, and ``ef`` too: one candidate at a time loses some."""
        with closing(EdgeIndex(32, EdgeOptions(m=4, ef_construct=4))) as index:
            index.add(points())
            index.optimize()
            found = []
            for ef in (1, 1500):
                index.options = replace(index.options, ef=ef)
                found.append(ann_recall(index, reference, QUERIES, 1).mean())
            assert found[0] < found[1]

    def test_binary_vectors_without_oversampling_find_less(self, reference: ExactIndex) -> None:
        found = {}
        for oversampling in (1.0, 10.0):
            options = EdgeOptions(m=0, quantization="binary", oversampling=oversampling)
            with closing(EdgeIndex(32, options)) as index:
                index.add(points())
                index.optimize()
                found[oversampling] = ann_recall(index, reference, QUERIES, 10).mean()
        assert found[1.0] < found[10.0] < 1.01

    def test_points_that_come_later_are_found(self) -> None:
        with closing(EdgeIndex(32)) as index:
            index.add(points())
            index.optimize()
            index.add([Point("late", QUERIES[0], {"n": -1}), Point("c:0000", QUERIES[1], {"n": -2})])
            assert len(index) == 1501
            assert [index.search(query, depth=1)[0].chunk_id for query in QUERIES[:2]] == ["late", "c:0000"]
            (hit,) = index.search(QUERIES[2], depth=1, where=[Condition("n", "<", -1)])
            assert (hit.chunk_id, hit.payload) == ("c:0000", {"n": -2, "chunk_id": "c:0000"})

    def test_nothing_to_build(self) -> None:
        with closing(EdgeIndex(4)) as index:
            index.optimize()
            assert index.exact
            assert index.search(np.ones(4, dtype=np.float32), depth=3) == []

    def test_filters(self) -> None:
        with closing(EdgeIndex(32)) as index:
            index.add(points())
            index.optimize()
            for low in (0, 700, 1495):
                hits = index.search(QUERIES[0], depth=5, where=[Condition("n", ">=", low)])
                assert len(hits) == 5
                assert all(hit.payload["n"] >= low for hit in hits)


class TestFolder:
    def test_closing_removes_it(self, folder: Path) -> None:
        index = EdgeIndex(32)
        index.add(points())
        (made,) = folder.iterdir()
        assert made.name.startswith("qembed-edge-")
        index.close()
        assert list(folder.iterdir()) == []
        index.close()

    def test_so_does_forgetting_it(self, folder: Path) -> None:
        index = EdgeIndex(32)
        index.add(points())
        index.optimize()
        assert len(list(folder.iterdir())) == 1
        del index
        gc.collect()
        assert list(folder.iterdir()) == []

    def test_two_at_a_time(self, folder: Path) -> None:
        with closing(EdgeIndex(2)) as one, closing(EdgeIndex(2)) as two:
            one.add([Point("a", np.ones(2, dtype=np.float32), {})])
            assert (len(one), len(two)) == (1, 0)
            assert len(list(folder.iterdir())) == 2


class TestWhatItCannot:
    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = builtins.__import__

        def refuse(name: str, *rest: Any, **named: Any) -> Any:
            if name == "qdrant_edge":
                raise ModuleNotFoundError(name)
            return original(name, *rest, **named)

        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(UsageError, match="needs the package qdrant-edge-py") as caught:
            EdgeIndex(2)
        assert "pip install qdrant-edge-py" in str(caught.value.remedy)

    def test_a_payload_that_it_refuses(self) -> None:
        with closing(EdgeIndex(2)) as index:
            with pytest.raises(QembedError, match="qdrant-edge could not take points") as caught:
                index.add([Point("a", np.ones(2, dtype=np.float32), {"score": float("nan")})])
            assert "--index exact" in str(caught.value.remedy)

    def test_no_room(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = folder / "file"
        file.write_text("")
        monkeypatch.setattr(tempfile, "mkdtemp", lambda prefix: str(file))
        with pytest.raises(QembedError, match="qdrant-edge could not make a shard") as caught:
            EdgeIndex(2)
        assert str(folder) in str(caught.value.where)
