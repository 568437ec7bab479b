"""What the checks see: every way in which a point can be wrong, and whose points vanished."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_stub import QdrantStub, qdrant_stub

from qembed.corpus import point_id
from qembed.errors import CheckFailed, QembedError
from qembed.index import Point
from qembed.index.payload import point_of
from qembed.index.server.check import Roll, absent, check_sample, delete, mark, vanished, wait_for_green
from qembed.store import Record


@pytest.fixture
def stub() -> Iterator[QdrantStub]:
    with qdrant_stub() as served:
        yield served


@pytest.fixture
def client(stub: QdrantStub) -> QdrantClient:
    return QdrantClient(url=stub.url, check_compatibility=False)


def points(count: int, collection: str = "c") -> list[Point]:
    vectors = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    return [
        point_of(Record(n + 1, f"{collection}:{n}", f"text {n}", vectors[n], {"collection": collection}))
        for n in range(count)
    ]


def fill(
    client: QdrantClient, made: list[Point], *, distance: str = "Cosine", vector: str = ""
) -> list[tuple[int, Point]]:
    params = models.VectorParams(size=3, distance=models.Distance(distance))
    if not client.collection_exists("docs"):
        client.create_collection("docs", vectors_config={vector: params} if vector else params)
    sample = [(point_id(point.chunk_id), point) for point in made]
    client.upsert(
        "docs",
        [
            models.PointStruct(
                id=id,
                vector={vector: point.vector.tolist()} if vector else point.vector.tolist(),
                payload=point.payload,
            )
            for id, point in sample
        ],
    )
    return sample


def roll_of(sample: list[tuple[int, Point]]) -> Roll:
    roll = Roll.of(len(sample))
    for number, (id, point) in enumerate(sample):
        roll.put(number, id, point.payload["point_sha256"])
    return roll


class TestSample:
    @pytest.mark.parametrize(("distance", "similarity"), [("Cosine", "cosine"), ("Dot", "dot")])
    @pytest.mark.parametrize("vector", ["", "text"])
    def test_right(self, client: QdrantClient, distance: str, similarity: str, vector: str) -> None:
        sample = fill(client, points(30), distance=distance, vector=vector)
        check_sample(client, "docs", sample, vector=vector, similarity=similarity)  # type: ignore[arg-type]

    def test_scaled_is_right_for_the_cosine_only(self, client: QdrantClient) -> None:
        sample = fill(client, points(3), distance="Dot")
        twice = [(id, Point(p.chunk_id, p.vector * 2, p.payload)) for id, p in sample]
        check_sample(client, "docs", twice, similarity="cosine")
        with pytest.raises(CheckFailed, match="3 of 3 points read back differ"):
            check_sample(client, "docs", twice, similarity="dot")

    @pytest.mark.parametrize("tiny", [1e-4, -1e-4])
    def test_a_small_change_is_seen(self, client: QdrantClient, tiny: float) -> None:
        sample = fill(client, points(3))
        id, point = sample[1]
        changed = point.vector + np.array([tiny, 0, 0], np.float32) * np.abs(point.vector).max()
        sample[1] = (id, Point(point.chunk_id, changed, point.payload))
        with pytest.raises(CheckFailed, match="'c:1': a component of the vector is off"):
            check_sample(client, "docs", sample, similarity="cosine")
        check_sample(client, "docs", sample, similarity="cosine", datatype="float16")

    def test_absent(self, client: QdrantClient) -> None:
        sample = fill(client, points(3))
        delete(client, "docs", [sample[2][0]])
        with pytest.raises(CheckFailed, match="'c:2': absent"):
            check_sample(client, "docs", sample, similarity="cosine")

    @pytest.mark.parametrize("payload", [{"extra": 1}, {"text": "other"}])
    def test_payload(self, stub: QdrantStub, client: QdrantClient, payload: dict[str, object]) -> None:
        sample = fill(client, points(3))
        stub.db.set_payload("docs", payload, points=[sample[0][0]])
        with pytest.raises(CheckFailed, match=f"payload differs in \\['{next(iter(payload))}'\\]"):
            check_sample(client, "docs", sample, similarity="cosine")

    @pytest.mark.parametrize(
        ("found", "right"), [(1.0077493627254295e-162, True), (1.00774936e-162, False), (None, False)]
    )
    def test_the_last_digit_of_a_float_is_the_servers(
        self, stub: QdrantStub, client: QdrantClient, found: float | None, right: bool
    ) -> None:
        """What Qdrant's engine reads 1.0077493627254296e-162 as."""
        (point,) = points(1)
        sample = fill(client, [Point(point.chunk_id, point.vector, {"n": 1.0077493627254296e-162})])
        stub.db.set_payload("docs", {"n": found}, points=[sample[0][0]])
        with contextlib.nullcontext() if right else pytest.raises(CheckFailed, match="differs in \\['n'\\]"):
            check_sample(client, "docs", sample, similarity="cosine")

    @pytest.mark.parametrize("held", [[0.0, 0.0, 0.0], [math.nan, 1.0, 0.0], [math.inf, 1.0, 0.0]])
    @pytest.mark.parametrize("similarity", ["cosine", "dot"])
    def test_a_vector_that_cannot_be_compared_is_wrong(
        self, client: QdrantClient, monkeypatch: pytest.MonkeyPatch, held: list[float], similarity: str
    ) -> None:
        sample = fill(client, points(1), distance="Dot")
        record = client.retrieve("docs", [sample[0][0]], with_vectors=True)[0]
        found = [record.model_copy(update={"vector": held})]
        monkeypatch.setattr(client, "retrieve", lambda *_, **__: found)
        with pytest.raises(CheckFailed, match="a vector of zeros, or not of numbers"):
            check_sample(client, "docs", sample, similarity=similarity)  # type: ignore[arg-type]


def test_absent_finds_what_is_missing_or_changed(stub: QdrantStub, client: QdrantClient) -> None:
    sample = fill(client, points(2500))  # three pages
    roll = roll_of(sample)
    advanced: list[int] = []
    assert absent(client, "docs", roll, advance=advanced.append) == []
    assert sum(advanced) == 2500
    delete(client, "docs", [sample[3][0]])
    stub.db.set_payload("docs", {"point_sha256": "00" * 32}, points=[sample[1500][0]])
    stub.db.delete_payload("docs", ["point_sha256"], points=[sample[2499][0]])
    assert absent(client, "docs", roll) == [3, 1500, 2499]


@pytest.mark.parametrize(
    ("text", "number"), [("ff" * 32, 2**64 - 1), ("0" * 64, 0), ("no hash", -1), ("", -1)]
)
def test_marks(text: str, number: int) -> None:
    assert mark(text) == number


class TestVanished:
    def test_only_ours_of_this_corpus(self, client: QdrantClient) -> None:
        ours = fill(client, points(1200))
        fill(client, points(5, "other"))
        client.upsert(
            "docs",
            [
                models.PointStruct(id=1, vector=[1, 0, 0], payload={"collection": "c"}),  # of another tool
                models.PointStruct(
                    id=2, vector=[1, 0, 0], payload={"collection": "c", "chunk_id": "c:x", "point_sha256": ""}
                ),  # its id is not that of its chunk
                models.PointStruct(id=3, vector=[1, 0, 0], payload={}),
            ],
        )
        kept = roll_of(ours[:1100])
        assert sorted(vanished(client, "docs", kept, {"c"})) == sorted(
            (id, point.chunk_id) for id, point in ours[1100:]
        )
        assert list(vanished(client, "docs", kept, {"nobody"})) == []

    def test_points_with_uuids_are_of_others(self, client: QdrantClient) -> None:
        ours = fill(client, points(2))
        uuid = "550e8400-e29b-41d4-a716-446655440000"
        payload = {"collection": "c", "chunk_id": "c:y", "point_sha256": "ab"}
        client.upsert("docs", [models.PointStruct(id=uuid, vector=[1, 0, 0], payload=payload)])
        assert [name for _, name in vanished(client, "docs", roll_of(ours[:1]), {"c"})] == ["c:1"]


class TestGreen:
    def run(self, client: QdrantClient, limit_seconds: float = 100) -> tuple[bool, float]:
        clock = [0.0]

        def sleep(seconds: float) -> None:
            clock[0] += seconds

        done = wait_for_green(
            client, "docs", limit_seconds=limit_seconds, clock=lambda: clock[0], sleep=sleep
        )
        return done, clock[0]

    def test_waits(self, stub: QdrantStub, client: QdrantClient) -> None:
        fill(client, points(1))
        stub.statuses["docs"] = ["yellow", "grey", "yellow"]
        assert self.run(client) == (True, 1.5)

    @pytest.mark.parametrize(("statuses", "changes"), [(["grey", "grey"], 1), (["yellow", "yellow"], 0)])
    @pytest.mark.parametrize("fault", ["", "403"])
    def test_a_server_that_waits_for_a_change_gets_one(
        self, stub: QdrantStub, client: QdrantClient, statuses: list[str], changes: int, fault: str
    ) -> None:
        """Grey: it was restarted, and does not index by itself. Not every key may change a collection."""
        fill(client, points(1))
        stub.statuses["docs"] = [*statuses]
        if fault:
            stub.fault(fault, on="PATCH")
        assert self.run(client)[0]
        assert [request.body for request in stub.requests("PATCH /collections/docs$")] == [
            b'{"optimizers_config":{}}'
        ] * changes

    def test_red_without_a_word_of_the_optimizer(self, stub: QdrantStub, client: QdrantClient) -> None:
        """An operation failed, and the optimizer is well: the server's log knows more."""
        fill(client, points(1))
        stub.statuses["docs"] = ["red-ok"]
        with pytest.raises(QembedError, match="an operation failed") as failed:
            self.run(client)
        assert "its log" in str(failed.value)

    def test_not_for_ever(self, stub: QdrantStub, client: QdrantClient) -> None:
        fill(client, points(1))
        stub.statuses["docs"] = ["yellow"] * 99
        done, seconds = self.run(client, 5)
        assert not done
        assert seconds == 5

    def test_red_is_an_error(self, stub: QdrantStub, client: QdrantClient) -> None:
        fill(client, points(1))
        stub.statuses["docs"] = ["yellow", "red"]
        with pytest.raises(QembedError, match="No space left on device"):
            self.run(client)
