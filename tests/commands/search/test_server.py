"""``search`` of a collection on a server: asked in place, with the answers of the file that was uploaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import RunCli
from qdrant_client import models
from qdrant_stub import QdrantStub, qdrant_stub
from served import fill, plain, upload

from qembed.commands.embed.embed import EmbedOptions, embed
from qembed.commands.search.search import Result, open_index, search
from qembed.errors import DimensionMismatch, Mismatch, Unreachable, UsageError
from qembed.index import Condition, IndexKind, parse_condition
from qembed.index.server.retry import Patience
from qembed.models import EncoderOptions

CPU = EncoderOptions(device="cpu", precision="fp32")
PAGES = {
    "docs/intro": ["home docs search", "a vector and a point", "search the index", "filter a chunk"],
    "docs/usage": ["home docs search", "model query", "filter a chunk"],
    "code/client": ["home docs search", "text of a model", "x y z"],
}
WriteChunks = Callable[[Path, Mapping[str, Sequence[Any]]], Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting; no key from outside."""
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    monkeypatch.setattr("qembed.index.server.served.PATIENCE", Patience(limit_seconds=0.0))


@pytest.fixture(scope="module")
def model(tiny_models: Callable[[str], Path]) -> str:
    return str(tiny_models("prompted"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_chunks: WriteChunks, model: str) -> Path:
    root = tmp_path_factory.mktemp("search")
    write_chunks(root / "docs", PAGES)
    embed(root / "docs", root / "out", EmbedOptions(model=model, encoder=CPU))
    return root / "out"


@pytest.fixture
def stub() -> Iterator[QdrantStub]:
    with qdrant_stub() as served:
        yield served


@pytest.fixture
def address(stub: QdrantStub, folder: Path) -> str:
    return upload(stub.url, folder)


def assert_same(found: Sequence[Result], wanted: Sequence[Result]) -> None:
    """But for the order of scores that differ by rounding."""
    assert [one.score for one in found] == pytest.approx([one.score for one in wanted], abs=1e-6)
    assert {one.chunk_id: (one.text, one.metadata, one.copies) for one in found} == {
        one.chunk_id: (one.text, one.metadata, one.copies) for one in wanted
    }


@pytest.mark.parametrize(
    "where", [[], ["subdirectory=docs"], ["chunk_index>=1", "subdirectory!=code"], ["absent=1"]]
)
def test_the_answers_are_those_of_the_file(
    stub: QdrantStub, address: str, folder: Path, model: str, where: list[str]
) -> None:
    conditions: list[Condition] = list(map(parse_condition, where))
    found = search(address, "vector search", where=conditions, model=model, options=CPU)
    assert_same(found, search(folder, "vector search", where=conditions, options=CPU))
    assert not stub.requests("POST .*/scroll")


@pytest.mark.parametrize("index", ["exact", "memory"])
def test_an_index_that_is_named_searches_a_copy(
    stub: QdrantStub, address: str, folder: Path, model: str, index: IndexKind
) -> None:
    opened = open_index(address, model=model, options=CPU, index=index)
    assert opened.index.name == index
    assert_same(opened.ask("vector search"), search(folder, "vector search", options=CPU))
    assert not stub.requests("POST .*/query")


def test_texts_of_other_tools_and_points_without_any(stub: QdrantStub, model: str) -> None:
    points: dict[int | str, tuple[Any, dict[str, Any]]] = {
        n: ([1.0] * 31 + [n / 10], {"page_content": f"text {n}"} if n % 2 else {}) for n in range(4)
    }
    address = fill(stub.url, points, plain(32))
    found = search(address, "x", model=model, options=CPU)
    assert sorted((one.chunk_id, one.text) for one in found) == [
        ("0", ""), ("1", "text 1"), ("2", ""), ("3", "text 3"),
    ]  # fmt: skip


class TestRefusals:
    def test_the_model_is_asked_before_anything_is_read(self, stub: QdrantStub, address: str) -> None:
        stub.log.clear()
        for index in ("auto", "exact"):
            with pytest.raises(UsageError, match="which model made these vectors") as caught:
                open_index(address, index=index)
            assert (caught.value.where, caught.value.remedy) == (address, "name it with --model")
        assert stub.requests("POST /collections/[^/]+/points/(scroll|query)") == []

    def test_a_model_of_another_dimension(self, stub: QdrantStub, model: str) -> None:
        address = fill(stub.url, {}, plain(7))
        with pytest.raises(DimensionMismatch, match="the vectors have 7 dimensions") as caught:
            open_index(address, model=model, options=CPU)
        assert caught.value.where == address

    @pytest.mark.parametrize("index", ["auto", "exact"])
    def test_a_distance(self, stub: QdrantStub, model: str, index: IndexKind) -> None:
        address = fill(stub.url, {}, plain(32, models.Distance.MANHATTAN))
        with pytest.raises(Mismatch, match="compares by Manhattan"):
            open_index(address, model=model, options=CPU, index=index)

    def test_a_server_that_is_not_there(self, model: str) -> None:
        with pytest.raises(Unreachable, match="cannot be reached"):
            open_index("qdrant://127.0.0.1:9/docs", model=model, options=CPU)


def test_on_the_command_line(
    run_cli: RunCli, stub: QdrantStub, address: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "a-very-secret-key"
    stub.api_key = key
    monkeypatch.setenv("QDRANT_API_KEY", key)
    options = ["-m", model, "--device", "cpu", "--precision", "fp32"]
    shown = run_cli(["search", address, "vector search", *options, "-k", "2"])
    assert (shown.code, shown.out.count(":chunk:")) == (0, 2)
    ran = run_cli(["search", address, "vector search", *options, "-f", "subdirectory=code", "--json"])
    document = json.loads(ran.out)
    assert document["index"] == {"name": "server", "exact": False, "points": 10}
    assert {one["metadata"]["subdirectory"] for one in document["answers"][0]["results"]} == {"code"}
    assert key not in shown.out + shown.err + ran.out + ran.err


def test_a_key_that_is_refused(run_cli: RunCli, stub: QdrantStub, address: str, model: str) -> None:
    stub.api_key = "a-very-secret-key"
    ran = run_cli(["search", address, "vector search", "-m", model])
    assert (ran.code, ran.out) == (4, "")
    assert "QDRANT_API_KEY" in ran.err
    assert stub.api_key not in ran.err


def test_points_without_a_text_show_which_keys_there_are(
    run_cli: RunCli, stub: QdrantStub, model: str
) -> None:
    address = fill(stub.url, {1: ([1.0] * 32, {"body": "x", "doc": "y"})}, plain(32))
    options = ["-m", model, "--device", "cpu", "--precision", "fp32"]
    shown = " ".join(run_cli(["search", address, "vector", *options]).out.split())
    assert "no text; the keys are 'body', 'doc'; --text-key KEY names" in shown
    assert (
        " x "
        in " ".join(run_cli(["search", address, "vector", *options, "--text-key", "body"]).out.split()) + " "
    )
