"""``audit`` of what lies elsewhere: a collection on a server, and exports of one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import RunCli
from qdrant_stub import QdrantStub, qdrant_stub
from served import fill, plain, upload
from uploads import make_embeddings

from qembed.index.server import copy
from qembed.index.server.retry import Patience


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting; no key from outside."""
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    monkeypatch.setattr("qembed.index.server.served.PATIENCE", Patience(limit_seconds=0.0))


@pytest.fixture
def stub() -> Iterator[QdrantStub]:
    with qdrant_stub() as served:
        yield served


def test_a_collection_that_is_sound(run_cli: RunCli, stub: QdrantStub, tmp_path: Path) -> None:
    address = upload(stub.url, make_embeddings(tmp_path / "out", 30))
    ran = run_cli(["audit", address])
    assert ran.code == 0
    lines = [line.rstrip() for line in ran.out.splitlines()]
    assert lines[:4] == [
        address,
        "  read as  points of a collection: id from payload.chunk_id, vector from vector,",
        "           text from payload.text",
        "  records  30 of 4 dimensions",
    ]
    assert "reading the collection" in ran.err
    document = json.loads(run_cli(["audit", address, "--json"]).out)
    assert (document["file"], document["records"], document["errors"]) == (address, 30, 0)


def test_what_is_wrong_is_found(run_cli: RunCli, stub: QdrantStub) -> None:
    points: dict[int | str, tuple[Any, dict[str, Any]]] = {
        1: ([1.0, 0.0], {"text": "a", "chunk_id": "c:1", "content_sha256": "0" * 64}),
        2: ([0.0, 1.0], {"text": "a", "chunk_id": "c:1"}),
        3: ([0.0, 1.0], {"chunk_id": "c:3"}),
    }
    ran = run_cli(["audit", fill(stub.url, points, plain(2)), "--json"])
    assert ran.code == 3
    counts = json.loads(ran.out)["counts"]
    assert counts == {
        "duplicate-id": 1, "missing-metadata": 3, "no-text": 1, "content-mismatch": 1,
        "text-with-two-vectors": 1,
    }  # fmt: skip
    shown = run_cli(["audit", fill(stub.url, points, plain(2))])
    assert "points 1, 2" in shown.out


def test_points_without_the_vector_are_counted(run_cli: RunCli, stub: QdrantStub) -> None:
    points: dict[int | str, tuple[Any, dict[str, Any]]] = {
        n: ({"a": [1.0, 0.0]} if n else {}, {"text": f"t{n}"}) for n in range(3)
    }
    ran = run_cli(["audit", fill(stub.url, points, {"a": plain(2)})])
    assert ran.code == 0
    assert "every line is a record                     ok: points without the" in ran.out


def test_the_same_command_resumes(
    run_cli: RunCli, stub: QdrantStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "_MOST_POINTS", 16)
    address = upload(stub.url, make_embeddings(tmp_path / "out", 60))
    stub.fault("503:0", on="POST .*/scroll", number=3)
    ran = run_cli(["audit", address])
    assert (ran.code, ran.out) == (4, "")
    assert "not available" in ran.err
    ran = run_cli(["audit", address])
    assert ran.code == 0
    assert "resuming: 32 of 60 points were read" in " ".join(ran.err.split())


def test_keys_are_named_by_options(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    points = [{"id": n, "vector": [1.0, n], "payload": {"body": f"t{n}", "name": f"c:{n}"}} for n in range(3)]
    path.write_bytes(orjson.dumps({"result": {"points": points}}))
    document = json.loads(run_cli(["audit", path, "--text-key", "body", "--id-key", "name", "--json"]).out)
    assert document["read_as"] == (
        "JSON documents (a scroll of Qdrant, or a list): id from payload.name, vector from vector, "
        "text from payload.body"
    )
    assert (document["format"], document["records"], document["counts"]) == (
        "json",
        3,
        {"missing-metadata": 3},
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [("", "several vectors: a, b"), ("#c", "no vector 'c'; there are 'a', 'b'")],
)
def test_which_of_several_vectors(run_cli: RunCli, tmp_path: Path, name: str, words: str) -> None:
    path = tmp_path / "dump.json"
    path.write_bytes(orjson.dumps([{"id": 1, "vector": {"a": [1.0], "b": [1.0, 0.0]}, "payload": {}}]))
    ran = run_cli(["audit", f"{path}{name}"])
    assert ran.code == 2
    assert words in ran.err
    assert run_cli(["audit", f"{path}#b", "--dimension", "2"]).code == 0


def test_a_snapshot(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "docs.snapshot").write_bytes(b"")
    ran = run_cli(["audit", tmp_path / "docs.snapshot"])
    assert ran.code == 2
    assert "restore it into a server" in ran.err
