"""Collections, payload indexes, indexing held back and aliases, over HTTP against the stub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from qdrant_client import QdrantClient
from qdrant_stub import QdrantStub, qdrant_stub

from qembed.errors import Mismatch, QembedError, UsageError
from qembed.index.server.address import Address
from qembed.index.server.alias import aliases_of, move_alias, point
from qembed.index.server.client import connect, version
from qembed.index.server.configuration import configuration_of, create_collection, wanted
from qembed.index.server.fields import FieldIndex, index_fields, missing_fields
from qembed.index.server.indexing import hold_indexing, restore_indexing
from qembed.index.server.notes import Notes, keeps_metadata, prefixed
from qembed.index.server.situation import look

PATCHES = r"PATCH /collections/docs$"


@pytest.fixture
def stub() -> Iterator[QdrantStub]:
    with qdrant_stub() as served:
        yield served


@pytest.fixture
def client(stub: QdrantStub) -> QdrantClient:
    return connect(Address.of(stub.url, "docs"))


def notes(stub: QdrantStub, client: QdrantClient, name: str = "docs", file: Path | None = None) -> Notes:
    return Notes(client, name, stub.url, keeps_metadata(version(client)), file)


def threshold(client: QdrantClient, name: str = "docs") -> int | None:
    return client.get_collection(name).config.optimizer_config.indexing_threshold


class TestCreate:
    @pytest.mark.parametrize("vector", ["", "dense"])
    @pytest.mark.parametrize("quantization", ["scalar", "binary", "turbo"])
    def test_the_server_has_what_was_wanted(
        self, client: QdrantClient, vector: str, quantization: str
    ) -> None:
        want = wanted(8, "dot", vector=vector, quantization=quantization, on_disk=True)  # type: ignore[arg-type]
        create_collection(client, "docs", want)
        assert configuration_of(client.get_collection("docs")) == want

    def test_notes_that_were_made_with_it(self, stub: QdrantStub, client: QdrantClient) -> None:
        create_collection(client, "docs", wanted(8, "dot"), metadata=prefixed({"replaces": "old"}))
        assert notes(stub, client).read() == {"replaces": "old"}


class TestFields:
    def test_the_server_says_what_was_made(self, stub: QdrantStub, client: QdrantClient) -> None:
        create_collection(client, "docs", wanted(8, "dot"))
        want = [FieldIndex("kind", "keyword"), FieldIndex('"Header 1"', "text"), FieldIndex("n", "integer")]
        index_fields(client, "docs", want)
        there = look(client, stub.url, ["docs"]).found["docs"]
        assert there.fields == {"kind": "keyword", '"Header 1"': "text", "n": "integer"}
        assert missing_fields(want, there.fields, "docs") == []


class TestNotes:
    @pytest.mark.parametrize("server", ["1.15.4", "1.18.0"])
    def test_kept_and_forgotten(self, server: str, tmp_path: Path) -> None:
        with qdrant_stub(version=server) as stub:
            client = connect(Address.of(stub.url, "docs"))
            create_collection(client, "docs", wanted(8, "dot"), metadata={"theirs": 1})
            kept = notes(stub, client, file=tmp_path / "notes.json")
            assert kept.on_server is (server == "1.18.0")
            kept.write({"a": 1, "alias.x": ""})
            kept.write({"b": 2, "a": None})
            assert kept.read() == {"alias.x": "", "b": 2}
            other = notes(stub, client, "other", file=tmp_path / "notes.json")
            if not kept.on_server:
                assert other.read() == {}
            else:
                assert client.get_collection("docs").config.metadata == {
                    "theirs": 1,
                    "qembed.alias.x": "",
                    "qembed.b": 2,
                }

    def test_a_damaged_file(self, stub: QdrantStub, client: QdrantClient, tmp_path: Path) -> None:
        (tmp_path / "notes.json").write_text("{")
        with pytest.raises(Mismatch, match="no notes of qembed"):
            Notes(client, "docs", stub.url, on_server=False, file=tmp_path / "notes.json").read()


@pytest.mark.parametrize("server", ["1.15.4", "1.18.0"])
class TestIndexing:
    @pytest.fixture
    def stub(self, server: str) -> Iterator[QdrantStub]:
        with qdrant_stub(version=server) as served:
            yield served

    @pytest.fixture
    def kept(self, stub: QdrantStub, client: QdrantClient, tmp_path: Path) -> Notes:
        create_collection(client, "docs", wanted(8, "dot"))
        stub.given["docs"]["optimizers_config"] = {"indexing_threshold": 20_000}
        return notes(stub, client, file=tmp_path / "notes.json")

    def test_held_and_restored(self, client: QdrantClient, kept: Notes) -> None:
        assert hold_indexing(client, kept)
        assert threshold(client) == 0
        assert restore_indexing(client, kept) == 20_000
        assert threshold(client) == 20_000
        assert restore_indexing(client, kept) is None

    def test_a_second_hold_does_not_forget_what_it_was(self, client: QdrantClient, kept: Notes) -> None:
        hold_indexing(client, kept)
        assert hold_indexing(client, kept)
        assert restore_indexing(client, kept) == 20_000

    @pytest.mark.parametrize("number", [1, 2])
    @pytest.mark.parametrize("fault", ["drop-before", "drop-after"])
    def test_a_kill_anywhere_while_it_is_held(
        self, stub: QdrantStub, client: QdrantClient, kept: Notes, number: int, fault: str
    ) -> None:
        stub.fault(fault, on=PATCHES, number=number if kept.on_server else 1)  # an older one gets no notes
        with pytest.raises(Exception, match=r"disconnected|reset"):
            hold_indexing(client, kept)
        hold_indexing(client, kept)
        assert threshold(client) == 0
        assert restore_indexing(client, kept) == 20_000
        assert threshold(client) == 20_000

    @pytest.mark.parametrize("fault", ["drop-before", "drop-after"])
    def test_a_kill_while_it_is_restored(
        self, stub: QdrantStub, client: QdrantClient, kept: Notes, fault: str
    ) -> None:
        hold_indexing(client, kept)
        stub.fault(fault, on=PATCHES)
        with pytest.raises(Exception, match=r"disconnected|reset"):
            restore_indexing(client, kept)
        restore_indexing(client, kept)
        assert threshold(client) == 20_000

    def test_somebody_else_holds_it_back(self, stub: QdrantStub, client: QdrantClient, kept: Notes) -> None:
        stub.given["docs"]["optimizers_config"] = {"indexing_threshold": 0}
        assert not hold_indexing(client, kept)
        assert restore_indexing(client, kept) is None

    def test_a_server_that_names_no_threshold(
        self, stub: QdrantStub, client: QdrantClient, kept: Notes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stub.given["docs"].pop("optimizers_config")
        info = client.get_collection("docs")
        info.config.optimizer_config.indexing_threshold = None
        with monkeypatch.context() as patched:
            patched.setattr(client, "get_collection", lambda name: info)
            hold_indexing(client, kept)
        assert restore_indexing(client, kept) == 10_000


def test_without_a_place_for_notes_nothing_is_held_back(stub: QdrantStub, client: QdrantClient) -> None:
    stub.version = "1.15.0"
    create_collection(client, "docs", wanted(8, "dot"))
    assert not hold_indexing(client, notes(stub, client))
    assert not stub.requests(PATCHES)


class TestAlias:
    @pytest.fixture(autouse=True)
    def collections(self, client: QdrantClient) -> None:
        for name in ("old", "new"):
            create_collection(client, name, wanted(8, "dot"))

    def test_moves_in_one_request_and_writes_down_where_it_was(
        self, stub: QdrantStub, client: QdrantClient
    ) -> None:
        assert move_alias(client, "live", notes(stub, client, "old")) is None
        assert move_alias(client, "live", notes(stub, client, "new")) == "old"
        assert aliases_of(client) == {"live": "new"}
        first, second = stub.requests("POST /collections/aliases")
        assert [list(each) for each in orjson.loads(first.body)["actions"]] == [["create_alias"]]
        assert [list(each) for each in orjson.loads(second.body)["actions"]] == [
            ["delete_alias"],
            ["create_alias"],
        ]
        assert notes(stub, client, "new").read() == {"alias.live": "old"}
        assert notes(stub, client, "old").read() == {"alias.live": ""}

    def test_again_it_stays_and_so_does_the_note(self, stub: QdrantStub, client: QdrantClient) -> None:
        move_alias(client, "live", notes(stub, client, "old"))
        for _ in range(2):
            assert move_alias(client, "live", notes(stub, client, "new")) == "old"
        assert len(stub.requests("POST /collections/aliases")) == 2

    @pytest.mark.parametrize("fault", ["drop-before", "drop-after"])
    def test_a_kill_between(self, stub: QdrantStub, client: QdrantClient, fault: str) -> None:
        move_alias(client, "live", notes(stub, client, "old"))
        stub.fault(fault, on="POST /collections/aliases")
        with pytest.raises(Exception, match=r"disconnected|reset"):
            move_alias(client, "live", notes(stub, client, "new"))
        assert move_alias(client, "live", notes(stub, client, "new")) == "old"
        assert aliases_of(client) == {"live": "new"}

    def test_the_name_of_a_collection(self, stub: QdrantStub, client: QdrantClient) -> None:
        with pytest.raises(UsageError, match="is a collection") as caught:
            move_alias(client, "old", notes(stub, client, "new"))
        assert "--alias old --drop-old" in str(caught.value)
        assert not stub.requests("POST /collections/aliases")

    def test_what_the_server_says_is_looked_at(
        self, client: QdrantClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client, "update_collection_aliases", lambda operations: True)
        with pytest.raises(QembedError, match="points to None"):
            point(client, "live", "new", None)
