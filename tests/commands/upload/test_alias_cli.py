"""``qembed upload``: the plan, the way back and the end of an old collection, on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from qdrant_client import QdrantClient, models
from qdrant_stub import QdrantStub
from uploads import make_embeddings

from qembed.cli import group
from qembed.commands.upload.result import UploadResult
from qembed.errors import QembedError
from qembed.index.server.alias import aliases_of

Call = Callable[..., Result]


@pytest.fixture
def migrated(stub: QdrantStub, run: Callable[..., UploadResult], tmp_path: Path) -> Path:
    """The alias docs points to docs-3d. Returns embeddings of 4 dimensions that are to replace it."""
    run(make_embeddings(tmp_path / "old", 10, dimension=3), collection="docs-3d")
    action = models.CreateAlias(collection_name="docs-3d", alias_name="docs")
    client = QdrantClient(url=stub.url, check_compatibility=False)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=action)])
    return make_embeddings(tmp_path / "new", 10)


@pytest.fixture
def call(stub: QdrantStub, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run ``qembed upload`` with arguments, 80 columns wide."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("QDRANT_URL", stub.url)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(group, ["upload", "-q", *arguments])

    return invoke


def refused(result: Result, words: str) -> QembedError:
    assert isinstance(result.exception, QembedError)
    assert words in str(result.exception)
    return result.exception


def test_the_plan_in_80_columns(call: Call, stub: QdrantStub, migrated: Path) -> None:
    result = call(str(migrated), "--collection", "docs", "--migrate", "collection", "--dry-run")
    assert result.exit_code == 0, result.output
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert lines == [
        f"plan: nothing is changed yet at {stub.url}",
        "  1 create   collection docs-4d: vector of 4 dimensions, Cosine",
        "  2 hold     indexing waits until the points are there",
        "  3 send     10 points into docs-4d",
        "  4 restore  indexing begins",
        "  5 check    status green, exact count, a sample read back and compared",
        "  6 alias    docs: docs-3d -> docs-4d",
        "  7 keep     docs-3d stays as it is, 10 points",
        "next: the same command without --dry-run",
        f"later: qembed upload --url {stub.url} --alias docs --drop-old",
    ]


def test_the_plan_as_json(call: Call, migrated: Path) -> None:
    result = call(str(migrated), "--collection", "docs-3d", "--migrate", "collection", "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert plan["schema"] == "qembed.upload-plan/1"
    assert (plan["collection"], plan["create"], plan["replaces"]) == ("docs-3d-4d", True, "docs-3d")
    assert (plan["alias"], plan["bench"]) == (None, None)
    assert plan["steps"][0]["what"] == "create"
    assert "--alias docs moves that name" in plan["remarks"][0]


def test_upload_says_how_to_go_back(call: Call, stub: QdrantStub, migrated: Path) -> None:
    result = call(str(migrated), "--collection", "docs", "--migrate", "collection")
    assert "docs points to docs-4d; it pointed to docs-3d" in result.stdout
    assert f"back: qembed upload --url {stub.url} --alias docs --rollback" in result.stdout
    assert result.stdout.endswith(f"later: qembed upload --url {stub.url} --alias docs --drop-old\n")
    again = json.loads(call(str(migrated), "--collection", "docs", "--json").stdout)
    assert (again["alias"], again["back"]) == (None, None)


def test_back_and_gone(call: Call, stub: QdrantStub, migrated: Path) -> None:
    client = QdrantClient(url=stub.url, check_compatibility=False)
    arguments = (str(migrated), "--collection", "docs", "--migrate", "collection")
    call(*arguments)
    assert call("--alias", "docs", "--rollback", "--dry-run").stdout == (
        "docs would point to docs-3d again; docs-4d stays as it is\n"
    )
    assert aliases_of(client) == {"docs": "docs-4d"}
    back = json.loads(call("--alias", "docs", "--rollback", "--json").stdout)
    assert back == {
        "schema": "qembed.rollback/1",
        "alias": "docs",
        "before": "docs-4d",
        "now": "docs-3d",
        "dry_run": False,
    }
    assert aliases_of(client) == {"docs": "docs-3d"}
    call(*arguments)
    refused(call("--alias", "docs", "--drop-old"), "nobody can be asked here")
    assert call("--alias", "docs", "--drop-old", "--dry-run").stdout == (
        "would delete docs-3d (10 points of 3 dimensions, replaced by docs-4d)\n"
    )
    assert client.collection_exists("docs-3d")
    gone = json.loads(call("--alias", "docs", "--drop-old", "--yes", "--json").stdout)
    assert gone == {
        "schema": "qembed.drop-old/1",
        "collection": "docs-3d",
        "points": 10,
        "replaced_by": "docs-4d",
        "alias": None,
        "deleted": True,
    }
    assert not client.collection_exists("docs-3d")


def test_somebody_is_asked_before_a_collection_is_deleted(
    call: Call, stub: QdrantStub, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(str(migrated), "--collection", "docs", "--migrate", "collection")
    asked: list[str] = []

    def answer(question: str, **_: object) -> bool:
        asked.append(question)
        return len(asked) > 1

    monkeypatch.setattr("qembed.commands.upload.alias_cli.click.confirm", answer)
    monkeypatch.setattr("qembed.commands.upload.alias_cli._somebody", lambda: True)
    assert call("--alias", "docs", "--drop-old").stdout.startswith("kept docs-3d (10 points of 3 dimensions")
    assert call("--alias", "docs", "--drop-old").stdout == "deleted docs-3d\n"
    assert asked[0] == (
        "Delete docs-3d (10 points of 3 dimensions, replaced by docs-4d)? It cannot be undone."
    )


@pytest.mark.parametrize("action", ["--rollback", "--drop-old"])
def test_an_alias_must_be_named(call: Call, action: str) -> None:
    refused(call(action), "alias")


def test_contradictions_and_what_is_missing(call: Call, migrated: Path) -> None:
    refused(call("--alias", "docs", "--rollback", "--drop-old", "--yes"), "--drop-old deletes")
    assert "Missing EMBEDDINGS" in call("--collection", "docs").stderr
    assert "Missing --collection" in call(str(migrated)).stderr


def test_the_differences(call: Call, migrated: Path) -> None:
    said = str(refused(call(str(migrated), "--collection", "docs"), "does not fit"))
    assert said.splitlines() == [
        "the collection 'docs' does not fit these embeddings",
        "             collection  upload",
        "  dimension  3           4",
        "next: --migrate collection loads 'docs-4d' beside it and leaves it as it is, or",
        "      --migrate vector --vector NAME writes one named vector of its points, or",
        "      another --collection. --dry-run shows what would be done",
    ]
