"""A collection read by scroll: exactly what is there, resumed after an interruption, removed at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from qdrant_client import QdrantClient, models
from qdrant_stub import QdrantStub, qdrant_stub
from served import fill, plain

from qembed.errors import QembedError, Unreachable
from qembed.index.server import copy
from qembed.index.server.copy import local_copy
from qembed.index.server.retry import Patience
from qembed.index.server.served import Served, open_served
from qembed.progress import Progress
from qembed.store import Record, placed_records

SCROLLS = "POST /collections/docs/points/scroll"
COUNT = 200


class Told(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done = 0

    def note(self, message: str) -> None:
        self.notes.append(message)

    def advance(self, amount: int, *, texts: int = 0) -> None:
        self.done += amount


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages of 20 points; no waiting; no key from outside."""
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    monkeypatch.setattr("qembed.index.server.served.PATIENCE", Patience(limit_seconds=0.0))
    monkeypatch.setattr(copy, "_MOST_POINTS", 20)
    return tmp_path / "cache" / "collections"


@pytest.fixture
def stub() -> Iterator[QdrantStub]:
    with qdrant_stub() as served:
        yield served


def vector_of(number: int) -> list[float]:
    angle = number / 7
    return [float(np.float32(np.cos(angle))), float(np.float32(np.sin(angle)))]


def points(count: int = COUNT) -> dict[int | str, tuple[Any, dict[str, Any]]]:
    return {
        n + 1: (vector_of(n), {"chunk_id": f"c:{n}", "text": f"größe {n}", "n": n, "big": 2**63 - 1})
        for n in range(count)
    }


def served_at(url: str, count: int = COUNT) -> Served:
    return open_served(fill(url, points(count), plain(2, models.Distance.DOT)))


def read(served: Served, progress: Progress = Progress()) -> list[Record]:
    with closing(served), local_copy(served, progress=progress) as embeddings:
        assert embeddings.name == str(served.address)
        return [record for record, _ in placed_records(embeddings)]


def assert_all(found: list[Record], count: int = COUNT) -> None:
    assert [(one.id, one.text, one.metadata["n"], one.metadata["big"]) for one in found] == [
        (f"c:{n}", f"größe {n}", n, 2**63 - 1) for n in range(count)
    ]
    assert [one.vector.tolist() for one in found] == [vector_of(n) for n in range(count)]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_every_point_as_it_is_and_nothing_stays(stub: QdrantStub, own_cache: Path) -> None:
    progress = Told()
    assert_all(read(served_at(stub.url), progress))
    assert (progress.done, progress.notes) == (COUNT, [])
    assert len(stub.requests(SCROLLS)) == COUNT // 20
    assert files(own_cache) == []


@pytest.mark.parametrize("count", [0, 1, 20, 21])
def test_any_number_of_points(stub: QdrantStub, count: int) -> None:
    assert_all(read(served_at(stub.url, count)), count)


def test_pages_are_as_small_as_strict_mode_wants(stub: QdrantStub) -> None:
    served = served_at(stub.url)
    stub.limit_points = 6
    assert_all(read(served))


def test_ids_that_are_uuids_named_vectors_and_points_without_one(stub: QdrantStub) -> None:
    names = [f"0b21a7a4-3a3d-4b8c-9a55-{n:012d}" for n in range(45)]
    made: dict[int | str, tuple[Any, dict[str, Any]]] = {
        name: ({"dense": [1.0, n]} if n % 3 else {"other": [1.0]}, {"page_content": f"t{n}"})
        for n, name in enumerate(names)
    }
    address = fill(stub.url, made, {"dense": plain(2, models.Distance.DOT), "other": plain(1)})
    progress = Told()
    found = read(open_served(f"{address}#dense"), progress)
    kept = [(name, n) for n, name in enumerate(names) if n % 3]
    assert [(one.id, one.text, one.vector.tolist()) for one in found] == [
        (name, f"t{n}", [1.0, n]) for name, n in kept
    ]
    assert progress.notes == ["points without the vector 'dense', left out: 15"]


class TestInterruption:
    def begun(self, stub: QdrantStub, page: int = 5, kind: str = "503:0") -> None:
        """A scroll that the server ends at a page."""
        stub.fault(kind, on=SCROLLS, number=page)
        with pytest.raises(Unreachable):
            read(served_at(stub.url))
        stub.log.clear()

    @pytest.mark.parametrize("kind", ["503:0", "drop-before", "drop-after", "html"])
    @pytest.mark.parametrize("page", [2, 5, 10])
    def test_it_resumes_where_it_stopped(
        self, stub: QdrantStub, own_cache: Path, page: int, kind: str
    ) -> None:
        self.begun(stub, page, kind)
        assert files(own_cache) == ["pages.jsonl", "points.jsonl"]
        progress = Told()
        assert_all(read(open_served(f"qdrant://{stub.url[7:]}/docs"), progress))
        assert len(stub.requests(SCROLLS)) == COUNT // 20 - (page - 1)
        assert progress.notes == [f"resuming: {20 * (page - 1)} of 200 points were read 0 minutes ago"]
        assert progress.done == COUNT
        assert files(own_cache) == []

    def test_at_the_first_page_there_is_nothing_to_resume(self, stub: QdrantStub) -> None:
        self.begun(stub, 1)
        progress = Told()
        assert_all(read(open_served(f"qdrant://{stub.url[7:]}/docs"), progress))
        assert progress.notes == []

    def test_a_kill_within_a_line(self, stub: QdrantStub, own_cache: Path) -> None:
        self.begun(stub)
        (copied,) = own_cache.rglob("points.jsonl")
        (pages,) = own_cache.rglob("pages.jsonl")
        with copied.open("ab") as file:  # the next page, of which the journal knows nothing
            file.write(b'{"id": 99, "vec')
        pages.write_bytes(pages.read_bytes()[:-7])
        assert_all(read(open_served(f"qdrant://{stub.url[7:]}/docs")))
        assert len(stub.requests(SCROLLS)) == COUNT // 20 - 3

    def test_a_copy_that_is_shorter_than_its_journal(self, stub: QdrantStub, own_cache: Path) -> None:
        self.begun(stub)
        (copied,) = own_cache.rglob("points.jsonl")
        copied.write_bytes(copied.read_bytes()[:-1])
        assert_all(read(open_served(f"qdrant://{stub.url[7:]}/docs")))

    @pytest.mark.parametrize("change", ["a vector", "a payload", "a point", "the time"])
    def test_what_has_changed_is_read_again(
        self, stub: QdrantStub, own_cache: Path, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.begun(stub)
        client = QdrantClient(url=stub.url, check_compatibility=False)
        expected = points()
        if change == "the time":
            monkeypatch.setattr(copy, "_KEPT_SECONDS", -1.0)
        else:
            at = COUNT + 1 if change == "a point" else 21
            vector, payload = expected.get(at, (vector_of(1), {"chunk_id": "new", "text": "new", "n": 0}))
            vector = [0.5, 0.5] if change == "a vector" else vector
            expected[at] = (vector, {**payload, "more": 1})
            client.upsert(
                "docs", [models.PointStruct(id=at, vector=vector, payload=expected[at][1])], wait=True
            )
        client.close()
        found = read(open_served(f"qdrant://{stub.url[7:]}/docs"))
        assert [(one.vector.tolist(), one.metadata) for one in found] == list(expected.values())
        assert len(stub.requests(SCROLLS)) == -(-len(expected) // 20)

    def test_what_is_read_to_the_end_is_never_used_again(self, stub: QdrantStub, own_cache: Path) -> None:
        """A kill after the last page leaves a whole copy, and nobody knows what changed since."""
        served = served_at(stub.url)
        manager = local_copy(served)
        embeddings = manager.__enter__()
        kept = {path: path.read_bytes() for path in embeddings.path.parent.iterdir()}
        manager.__exit__(None, None, None)
        for path, content in kept.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        stub.log.clear()
        assert_all(read(open_served(str(served.address))))
        assert len(stub.requests(SCROLLS)) == COUNT // 20


def test_what_nobody_came_back_for_is_removed(
    stub: QdrantStub, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.fault("503:0", on=SCROLLS, number=3)
    with pytest.raises(Unreachable):
        read(served_at(stub.url))
    other = open_served(fill(stub.url, {}, plain(2), collection="other"))
    read(other)
    assert files(own_cache) == ["pages.jsonl", "points.jsonl"]
    monkeypatch.setattr(copy, "_KEPT_SECONDS", -1.0)
    read(open_served(str(other.address)))
    assert files(own_cache) == []


def test_two_at_a_time_have_a_copy_each(stub: QdrantStub) -> None:
    served_at(stub.url).close()
    with ExitStack() as stack:
        paths = set()
        for _ in range(2):
            served = stack.enter_context(closing(open_served(f"qdrant://{stub.url[7:]}/docs")))
            paths.add(stack.enter_context(local_copy(served)).path)
        assert len(paths) == 2


def test_points_that_come_meanwhile_are_told(stub: QdrantStub) -> None:
    served = served_at(stub.url)
    client = QdrantClient(url=stub.url, check_compatibility=False)
    client.upsert(
        "docs", [models.PointStruct(id=500, vector=[1.0, 0.0], payload={"text": "late"})], wait=True
    )
    client.close()
    progress = Told()
    assert len(read(served, progress)) == COUNT + 1
    assert progress.notes == [
        "the collection changed while it was read: 201 points came, it had 200 at first"
    ]


def test_a_full_disk(stub: QdrantStub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copy, "_next_page", full)
    with pytest.raises(QembedError, match="No space left on device") as caught:
        read(served_at(stub.url))
    assert "QEMBED_CACHE" in (caught.value.remedy or "")


def test_a_cache_that_cannot_be_written(
    stub: QdrantStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(QembedError, match="cannot be written: Not a directory") as caught:
        read(served_at(stub.url))
    assert "QEMBED_CACHE" in (caught.value.remedy or "")


def test_the_key_is_not_written(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    key = "a-very-secret-key"
    monkeypatch.setenv("QDRANT_API_KEY", key)
    with qdrant_stub(api_key=key) as stub:
        stub.fault("503:0", on=SCROLLS, number=3)
        with pytest.raises(Unreachable):
            read(served_at(stub.url))
    written = b"".join(path.read_bytes() for path in own_cache.rglob("*") if path.is_file())
    assert json.loads(written.splitlines()[0])
    assert key.encode() not in written
    assert key not in "".join(capfd.readouterr())


def test_lines_are_points_that_other_tools_read(stub: QdrantStub) -> None:
    with closing(served_at(stub.url)) as served, local_copy(served) as embeddings:
        first = orjson.loads(embeddings.path.read_bytes().splitlines()[0])
    assert first == {"id": 1, "vector": vector_of(0), "payload": points()[1][1]}


def test_a_real_server(server_url: str) -> None:
    address = fill(server_url, points(), plain(2, models.Distance.DOT), collection="qembed-test-sides")
    assert_all(read(open_served(address)))
