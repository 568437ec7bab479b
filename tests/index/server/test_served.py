"""Which vector of a collection is searched, and what is refused with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from qdrant_client import models
from qdrant_stub import QdrantStub, qdrant_stub
from served import fill, plain

from qembed.errors import InputNotFound, Mismatch, QembedError, Unreachable, UsageError
from qembed.index.server.retry import Patience
from qembed.index.server.served import open_served

Euclid = models.Distance.EUCLID
MULTI = models.VectorParams(
    size=2,
    distance=models.Distance.COSINE,
    multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qembed.index.server.served.PATIENCE", Patience(limit_seconds=0.0))
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)


@pytest.fixture(scope="module")
def stub() -> Iterator[QdrantStub]:
    with qdrant_stub() as served:
        yield served


@pytest.mark.parametrize(
    ("vectors", "sparse", "asked", "vector", "dimension"),
    [
        (plain(2), (), "", "", 2),
        (plain(2), ("words",), "", "", 2),
        ({"dense": plain(3)}, ("words",), "", "dense", 3),
        ({"dense": plain(3)}, (), "#dense", "dense", 3),
        ({"a": plain(3), "b c": plain(2)}, (), "#b%20c", "b c", 2),
        ({"dense": plain(3), "tokens": MULTI}, (), "#dense", "dense", 3),
    ],
)
def test_the_only_one_is_taken_or_the_one_that_is_named(
    stub: QdrantStub, vectors: Any, sparse: tuple[str, ...], asked: str, vector: str, dimension: int
) -> None:
    address = fill(stub.url, {}, vectors, sparse=sparse)
    served = open_served(address + asked)
    assert (served.address.vector, served.dimension, served.points) == (vector, dimension, 0)
    assert served.similarity == "cosine"


@pytest.mark.parametrize(
    ("vectors", "asked", "kind", "code", "words", "remedy"),
    [
        ({"a": plain(3), "b": plain(2)}, "", UsageError, 2, "several vectors: a, b", "name one: qdrant://"),
        ({"a": plain(3), "b": plain(2)}, "#c", UsageError, 2, "no vector 'c'", "name one that it has: a, b"),
        (plain(2), "#a", UsageError, 2, "no vector 'a'", "leave the # out"),
        ({"a": plain(3)}, "#words", Mismatch, 5, "'words' is sparse", "only dense"),
        ({}, "", Mismatch, 5, "no dense vector", "only dense"),
        ({"tokens": MULTI}, "", Mismatch, 5, "'tokens' is a multivector", "one vector per point"),
    ],
)
def test_what_cannot_be_searched_is_said_with_what_is_there(
    stub: QdrantStub, vectors: Any, asked: str, kind: type[QembedError], code: int, words: str, remedy: str
) -> None:
    address = fill(stub.url, {}, vectors, sparse=("words",))
    with pytest.raises(kind) as caught:
        open_served(address + asked)
    assert caught.value.exit_code == code
    assert words in caught.value.message
    assert remedy in (caught.value.remedy or "")
    assert (caught.value.where or "").startswith(address)


@pytest.mark.parametrize("distance", [models.Distance.EUCLID, models.Distance.MANHATTAN])
def test_a_distance_is_no_similarity(stub: QdrantStub, distance: models.Distance) -> None:
    served = open_served(fill(stub.url, {}, plain(2, distance)))
    with pytest.raises(Mismatch, match=f"compares by {distance.value}"):
        _ = served.similarity
    assert open_served(fill(stub.url, {}, plain(2, models.Distance.DOT))).similarity == "dot"


def test_a_collection_that_is_absent_is_told_which_there_are(stub: QdrantStub) -> None:
    fill(stub.url, {}, plain(2))
    with pytest.raises(InputNotFound, match="no collection 'absent'") as caught:
        open_served(f"qdrant://{stub.url.removeprefix('http://')}/absent")
    assert "docs" in (caught.value.remedy or "")


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(Unreachable, match="cannot be reached"):
        open_served("qdrant://127.0.0.1:9/docs")


def test_a_failure_that_passes_is_waited_for_and_told(
    stub: QdrantStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = fill(stub.url, {}, plain(2))
    stub.fault("503:0", on="GET /collections/docs$")
    told: list[str] = []
    patience = Patience(limit_seconds=60, first_seconds=0.0)
    assert open_served(address, patience=patience, note=told.append).dimension == 2
    assert len(told) == 1
    assert told[0].startswith("503: ")


def test_the_key_is_sent_and_never_said(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "a-very-secret-key"
    monkeypatch.setenv("QDRANT_API_KEY", key)
    with qdrant_stub(api_key=key) as stub:
        served = open_served(fill(stub.url, {}, plain(2)))
        assert key not in repr(served)
        monkeypatch.setenv("QDRANT_API_KEY", f"{key}-of-another")
        with pytest.raises(Unreachable, match="the API key is refused") as caught:
            open_served(str(served.address))
    assert key not in str(caught.value)
