"""Searching in place: what the server finds is what an index in this process finds, filters included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from qdrant_client import models
from qdrant_stub import QdrantStub, qdrant_stub
from served import fill, plain

from qembed.corpus import point_id
from qembed.errors import DimensionMismatch, Mismatch, Unreachable, UsageError
from qembed.index import Condition, ExactIndex, MemoryIndex, Point, parse_condition
from qembed.index.server.retry import Patience
from qembed.index.server.search import ServerIndex
from qembed.index.server.served import open_served
from qembed.store import Keys

RNG = np.random.default_rng(3)
VECTORS = RNG.normal(size=(300, 8)).astype(np.float32)
VECTORS[200:] = VECTORS[:100]  # copies of one vector tie
QUERIES = RNG.normal(size=(40, 8)).astype(np.float32)
PAYLOADS = [
    {
        "text": f"text {n % 200}",
        "n": n,
        "odd": bool(n % 2),
        "a b": {"c": n % 5},
        "day": f"2024-01-{n % 28 + 1:02d}",
    }
    for n in range(300)
]
NAMES = {f"c:{n:03d}": f"c:{n % 200:03d}" for n in range(300) if n % 10}
POINTS = [Point(f"c:{n:03d}", VECTORS[n], PAYLOADS[n]) for n in range(300)]


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qembed.index.server.served.PATIENCE", Patience(limit_seconds=0.0))
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)


@pytest.fixture(scope="module")
def stub() -> Iterator[QdrantStub]:
    with qdrant_stub() as served:
        yield served


def filled(url: str, distance: models.Distance = models.Distance.COSINE, collection: str = "docs") -> str:
    points = {
        point_id(point.chunk_id): (point.vector.tolist(), {**point.payload, "chunk_id": point.chunk_id})
        for point in POINTS
    }
    return fill(url, points, plain(8, distance), collection=collection)


@pytest.fixture(scope="module")
def address(stub: QdrantStub) -> str:
    return filled(stub.url)


CONDITIONS: list[list[str]] = [
    [],
    ["odd=true"],
    ["n>=100", "n<220"],
    ['"a b".c=3', "n!=3"],
    ["day<2024-01-05"],
    ["n=7.0"],
    ["absent!=1", "n<3"],
    ["n>9007199254740993"],
]


@pytest.mark.parametrize("where", CONDITIONS, ids=lambda where: " ".join(where) or "all")
def test_the_same_ids_and_scores_as_in_this_process(address: str, where: list[str]) -> None:
    conditions: list[Condition] = list(map(parse_condition, where))
    with closing(ServerIndex(open_served(address))) as index, closing(MemoryIndex(8)) as memory:
        memory.add(POINTS)
        assert len(index) == 300
        for query in QUERIES[:10]:
            found = index.search(query, depth=30, where=conditions)
            wanted = memory.search(query, depth=30, where=conditions)
            assert [hit.chunk_id for hit in found] == [hit.chunk_id for hit in wanted]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], abs=2e-7)
            assert [hit.payload for hit in found] == [hit.payload for hit in wanted]


def test_many_questions_at_once(address: str) -> None:
    with closing(ServerIndex(open_served(address))) as index:
        singly = [index.search(query, depth=20) for query in QUERIES]
        assert index.search_many(QUERIES, depth=20) == singly


def test_the_dot_product(stub: QdrantStub) -> None:
    served = open_served(filled(stub.url, models.Distance.DOT, "dotted"))
    exact = ExactIndex(8, "dot")
    exact.add(POINTS)
    with closing(ServerIndex(served)) as index:
        for query in QUERIES[:5]:
            found, wanted = index.search(query, depth=30), exact.search(query, depth=30)
            assert [hit.chunk_id for hit in found] == [hit.chunk_id for hit in wanted]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], abs=1e-5)


class TestNames:
    """Chunks with the same text are one result, as they are in every bench."""

    def test_one_hit_for_a_name_and_none_for_a_stranger(self, address: str) -> None:
        exact = ExactIndex(8)
        exact.add(point for point in POINTS[:200] if point.chunk_id in NAMES)
        with closing(ServerIndex(open_served(address), names=NAMES)) as index:
            for query in QUERIES[:5]:
                found, wanted = index.search(query, depth=50), exact.search(query, depth=50)
                assert [hit.chunk_id for hit in found] == [hit.chunk_id for hit in wanted]
            singly = [index.search(query, depth=50) for query in QUERIES[:5]]
            at_once = index.search_many(QUERIES[:5], depth=50)
            assert [[hit.chunk_id for hit in hits] for hits in at_once] == [
                [hit.chunk_id for hit in hits] for hits in singly
            ]
            assert set(at_once[0][0].payload) == {"chunk_id"}
            assert len(index.search(QUERIES[0], depth=1000)) == len(set(NAMES.values()))

    def test_what_is_timed_is_one_request(self, stub: QdrantStub, address: str) -> None:
        with closing(ServerIndex(open_served(address), names=NAMES)) as index:
            before = len(stub.requests("POST .*/query"))
            assert len(index.ask_once(QUERIES[0], depth=50)) == 50
            assert len(stub.requests("POST .*/query")) == before + 1


def test_payloads_of_other_tools(stub: QdrantStub) -> None:
    points = {
        7: ({"dense": [1.0, 0.0]}, {"page_content": "by its number", "metadata": {"x": 1}}),
        "0b21a7a4-3a3d-4b8c-9a55-0d8f2a3f6c11": (
            {"dense": [0.9, 0.1]},
            {"body": "named", "doc": {"key": "d"}},
        ),
    }
    address = fill(stub.url, points, {"dense": plain(2)}, collection="foreign")
    query = np.array([1, 0], dtype=np.float32)
    with closing(ServerIndex(open_served(address))) as index:
        first, second = index.search(query, depth=5)
        assert (first.chunk_id, first.payload["text"]) == ("7", "by its number")
        assert (second.chunk_id, "text" in second.payload) == ("0b21a7a4-3a3d-4b8c-9a55-0d8f2a3f6c11", False)
    with closing(ServerIndex(open_served(address), Keys(text="body", id="doc.key"))) as index:
        first, second = index.search(query, depth=5)
        assert (second.chunk_id, second.payload["text"]) == ("d", "named")
        assert first.chunk_id == "7"


def test_a_payload_is_what_the_server_has(stub: QdrantStub) -> None:
    """A chunk id that is a number within its page is no name, and can be asked for all the same."""
    points = {n: ([1.0, float(n)], {"chunk_id": n % 3, "text": "t"}) for n in range(9)}
    address = fill(stub.url, points, plain(2), collection="pages")
    with closing(ServerIndex(open_served(address))) as index:
        query = np.array([1, 0], dtype=np.float32)
        hits = index.search(query, depth=9, where=[parse_condition("chunk_id>=2")])
        assert [(hit.chunk_id, hit.payload) for hit in hits] == [
            (str(n), {"chunk_id": 2, "text": "t"}) for n in (2, 5, 8)
        ]


def test_what_is_refused(stub: QdrantStub, address: str) -> None:
    with closing(ServerIndex(open_served(address))) as index:
        with pytest.raises(UsageError, match="only read"):
            index.add(POINTS)
        with pytest.raises(DimensionMismatch):
            index.search(np.ones(9, dtype=np.float32), depth=1)
        with pytest.raises(Mismatch, match="zero or not finite"):
            index.search(np.zeros(8, dtype=np.float32), depth=1)
    with pytest.raises(Mismatch, match="compares by Euclid"):
        ServerIndex(open_served(fill(stub.url, {}, plain(2, models.Distance.EUCLID), collection="far")))


def test_a_server_that_goes_away_between_two_questions() -> None:
    with qdrant_stub() as stub:
        index = ServerIndex(open_served(filled(stub.url)))
        assert index.search(QUERIES[0], depth=1)
        stub.fault("503:0", on="POST .*/query", times=99)
        with pytest.raises(Unreachable, match="not available") as caught:
            index.search(QUERIES[0], depth=1)
        assert caught.value.exit_code == 4
    with pytest.raises(Unreachable, match="cannot be reached"):
        index.search(QUERIES[0], depth=1)


def test_a_real_server(server_url: str) -> None:
    address = filled(server_url, collection="qembed-test-sides")
    exact = ExactIndex(8)
    exact.add(POINTS)
    with closing(ServerIndex(open_served(address))) as index:
        for query in QUERIES:
            found, wanted = index.search(query, depth=30), exact.search(query, depth=30)
            assert [hit.chunk_id for hit in found] == [hit.chunk_id for hit in wanted]
        for where in CONDITIONS:
            index.search(QUERIES[0], depth=30, where=list(map(parse_condition, where)))
