"""The way back of an alias, and what may be deleted after a migration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import QdrantClient, models
from qdrant_stub import QdrantStub, qdrant_stub

from qembed.errors import CheckFailed, InputNotFound, QembedError, UsageError
from qembed.index.server.address import Address
from qembed.index.server.alias import aliases_of, move_alias
from qembed.index.server.client import connect
from qembed.index.server.configuration import Configuration, Dense, create_collection, wanted
from qembed.index.server.notes import Notes, prefixed
from qembed.index.server.retire import Drop, WayBack, drop, go_back, way_back, what_to_drop
from qembed.index.server.situation import Found, Situation, look

OLD = Found(Configuration({"": Dense(768, "Cosine")}), points=10)


def new(**notes: Any) -> Found:
    return Found(Configuration({"": Dense(3584, "Cosine")}), 10, {"replaces": "old", "points": 10, **notes})


def server(aliases: dict[str, str], **found: Found) -> Situation:
    return Situation("http://host:6333", (1, 18), frozenset(found), aliases, found)


MIGRATED = server({"docs": "new"}, old=OLD, new=new(**{"alias.docs": "old"}))
NAMED = server({}, old=OLD, new=new())
"""The old collection itself has the name that applications use."""


class TestWayBack:
    def test_to_where_it_pointed(self) -> None:
        assert way_back("docs", MIGRATED) == WayBack("docs", "new", "old")

    def test_to_where_somebody_says(self) -> None:
        assert way_back("docs", server({"docs": "new"}, old=OLD, new=OLD), "old").back == "old"

    @pytest.mark.parametrize(
        ("alias", "there", "kind", "words"),
        [
            ("docs", server({}, old=OLD), InputNotFound, "no alias 'docs'"),
            ("old", server({"docs": "old"}, old=OLD), UsageError, "is a collection, no alias"),
            ("docs", server({"docs": "new"}, new=new()), UsageError, "knows nothing of where it was"),
            (
                "docs",
                server({"docs": "new"}, new=new(**{"alias.docs": ""})),
                UsageError,
                "pointed to nothing",
            ),
            (
                "docs",
                server({"docs": "new"}, new=new(**{"alias.docs": "old"})),
                InputNotFound,
                "not there any",
            ),
        ],
    )
    def test_there_is_none(self, alias: str, there: Situation, kind: type, words: str) -> None:
        with pytest.raises(kind, match=words):
            way_back(alias, there)


class TestWhatToDrop:
    def test_what_the_alias_pointed_to(self) -> None:
        assert what_to_drop("docs", MIGRATED) == Drop("old", 10, {"": 768}, "new", None)

    def test_a_collection_whose_name_becomes_an_alias(self) -> None:
        assert what_to_drop("old", NAMED, "new") == Drop("old", 10, {"": 768}, "new", "old")

    def test_a_new_alias_for_what_replaces_a_collection(self) -> None:
        there = server({"live": "new"}, old=OLD, new=new(**{"alias.live": ""}))
        assert what_to_drop("live", there).old == "old"

    @pytest.mark.parametrize(
        ("alias", "there", "collection", "kind", "words"),
        [
            ("docs", server({}), None, InputNotFound, "no alias"),
            ("old", NAMED, None, UsageError, "which one replaces it"),
            ("typo", NAMED, "new", UsageError, "nothing says that 'new' replaces 'typo'"),
            ("old", NAMED, "elsewhere", InputNotFound, "no collection 'elsewhere'"),
            (
                "old",
                replace(NAMED, found={"old": OLD, "new": OLD}),
                "new",
                UsageError,
                "nothing says that 'new'",
            ),
            ("new", NAMED, "old", UsageError, "nothing says that 'old' replaces 'new'"),
            ("docs", MIGRATED, "old", UsageError, "points to 'new', not to 'old'"),
            ("docs", server({"docs": "new"}, old=OLD, new=OLD), None, UsageError, "nothing says that"),
            ("docs", replace(MIGRATED, names=frozenset({"new"})), None, InputNotFound, "not there any more"),
            # Somebody needs it.
            (
                "docs",
                replace(MIGRATED, aliases={"docs": "new", "b": "old"}),
                None,
                CheckFailed,
                "in use: b points",
            ),
            (
                "docs",
                server({"docs": "new"}, old=OLD, new=new(**{"alias.docs": "old", "alias.b": "old"})),
                None,
                CheckFailed,
                "what the alias 'b' pointed to, and that alias is gone",
            ),
            # The new one is no replacement.
            (
                "docs",
                server({"docs": "new"}, old=OLD, new=replace(MIGRATED.found["new"], points=9)),
                None,
                CheckFailed,
                "not complete: 9 of 10 points",
            ),
            (
                "docs",
                server({"docs": "new"}, old=OLD, new=replace(MIGRATED.found["new"], status="red")),
                None,
                CheckFailed,
                "status red",
            ),
            (
                "old",
                replace(
                    NAMED, found={"old": OLD, "new": replace(new(), notes={"replaces": "old"}, points=0)}
                ),
                "new",
                CheckFailed,
                "0 of 1 points",
            ),
        ],
    )
    def test_refused(
        self, alias: str, there: Situation, collection: str | None, kind: type, words: str
    ) -> None:
        with pytest.raises(kind, match=words):
            what_to_drop(alias, there, collection)

    def test_after_a_rollback_the_old_one_is_in_use(self) -> None:
        back = replace(MIGRATED, aliases={"docs": "old"})
        with pytest.raises(UsageError, match="nothing says that 'old' replaces"):
            what_to_drop("docs", back)


class TestOverHttp:
    @pytest.fixture
    def stub(self) -> Iterator[QdrantStub]:
        with qdrant_stub() as served:
            yield served

    @pytest.fixture
    def client(self, stub: QdrantStub) -> QdrantClient:
        client = connect(Address.of(stub.url, "docs"))
        create_collection(client, "old", wanted(2, "dot"))
        create_collection(client, "new", wanted(4, "dot"), metadata=prefixed({"replaces": "old"}))
        client.upsert("old", [models.PointStruct(id=1, vector=[1, 0])])
        client.upsert("new", [models.PointStruct(id=1, vector=[1, 0, 0, 0])])
        return client

    def test_there_and_back_and_gone(self, stub: QdrantStub, client: QdrantClient) -> None:
        move_alias(client, "docs", Notes(client, "old", stub.url, on_server=True))
        move_alias(client, "docs", Notes(client, "new", stub.url, on_server=True))
        elsewhere = connect(Address.of(stub.url, "docs"))  # all that another machine knows is the server
        for _ in range(2):
            go_back(elsewhere, WayBack("docs", aliases_of(client)["docs"], "old"))
            assert aliases_of(client) == {"docs": "old"}
        with pytest.raises(UsageError):
            what_to_drop("docs", look(client, stub.url, ["docs"]))
        move_alias(client, "docs", Notes(client, "new", stub.url, on_server=True))
        assert way_back("docs", look(elsewhere, stub.url, ["docs"])).back == "old"
        decided = what_to_drop("docs", look(elsewhere, stub.url, ["docs"]))
        assert decided == Drop("old", 1, {"": 2}, "new", None)
        drop(client, decided)
        assert {each.name for each in client.get_collections().collections} == {"new"}

    def test_its_name_becomes_an_alias(self, stub: QdrantStub, client: QdrantClient) -> None:
        drop(client, what_to_drop("old", look(client, stub.url, ["old", "new"]), "new"))
        assert aliases_of(client) == {"old": "new"}
        assert client.count("old").count == 1

    def test_a_kill_between_the_two_requests(self, stub: QdrantStub, client: QdrantClient) -> None:
        client.delete_collection("old")
        drop(client, what_to_drop("old", look(client, stub.url, ["old", "new"]), "new"))
        assert aliases_of(client) == {"old": "new"}

    def test_an_alias_that_was_made_meanwhile(self, stub: QdrantStub, client: QdrantClient) -> None:
        decided = what_to_drop("old", look(client, stub.url, ["old", "new"]), "new")
        move_alias(client, "x", Notes(client, "old", stub.url, on_server=True))
        with pytest.raises(CheckFailed, match="in use: x"):
            drop(client, decided)
        assert not stub.requests("DELETE")

    def test_the_alias_cannot_be_made(self, stub: QdrantStub, client: QdrantClient) -> None:
        decided = what_to_drop("old", look(client, stub.url, ["old", "new"]), "new")
        stub.fault("500", on="POST /collections/aliases")
        with pytest.raises(QembedError, match=r"is deleted, and the alias 'old' could not be made") as caught:
            drop(client, decided)
        assert "--collection new --alias old" in str(caught.value)
