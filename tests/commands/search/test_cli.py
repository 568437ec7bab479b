"""``qembed search``: what people and pipes see, filters, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from qembed.commands.embed.embed import EmbedOptions, embed
from qembed.models import EncoderOptions

RunCli = Callable[[Sequence[str | Path]], Any]
PAGES = {
    "docs/intro": ["home docs search", "a vector and a point [link](http://x/y) " + "x " * 200, "index"],
    "code/client": ["home docs search", "text of a model", "[bold]not markup[/bold] :smile:"],
}


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    write_chunks: Callable[[Path, Mapping[str, Sequence[Any]]], Path],
    tiny: Path,
) -> Path:
    root = tmp_path_factory.mktemp("search")
    write_chunks(root / "docs", PAGES)
    options = EmbedOptions(model=str(tiny), encoder=EncoderOptions(device="cpu"))
    return embed(root / "docs", root / "out", options).files.embeddings.parent


def ask(run_cli: RunCli, folder: Path, *arguments: str) -> dict[str, Any]:
    ran = run_cli(["search", folder, *arguments, "--json"])
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert isinstance(document, dict)
    return document


class TestForPeople:
    def test_ranks_scores_ids_and_snippets(self, run_cli: RunCli, folder: Path) -> None:
        ran = run_cli(["search", folder, "vector point", "-k", "2"])
        assert ran.code == 0
        lines = ran.out.splitlines()
        assert lines[0] == "vector point"
        assert lines[1].split()[0] == "1"
        assert float(lines[1].split()[1]) <= 1
        assert lines[1].split()[2].startswith("docs:")
        assert sum(line.lstrip()[:1] in "12" and ":chunk:" in line for line in lines) == 2

    def test_copies_are_one_line_with_a_count(self, run_cli: RunCli, folder: Path) -> None:
        ran = run_cli(["search", folder, "home docs search", "-k", "1"])
        assert "docs:code:client.md:chunk:0  (+1 identical)" in ran.out

    def test_snippets_are_short_and_full_is_not(self, run_cli: RunCli, folder: Path) -> None:
        short = run_cli(["search", folder, "vector", "-f", "chunk_index=1", "-s", "docs"]).out
        full = run_cli(["search", folder, "vector", "-f", "chunk_index=1", "-s", "docs", "--full"]).out
        assert "http://x/y" not in short
        assert "http://x/y" in full
        assert short.count("x ") < 100 < full.count("x")

    def test_text_is_no_markup(self, run_cli: RunCli, folder: Path) -> None:
        out = run_cli(["search", folder, "[red]markup", "--full", "-s", "code"]).out
        assert "[bold]not markup[/bold] :smile:" in out
        assert out.startswith("[red]markup\n")

    def test_nothing_found(self, run_cli: RunCli, folder: Path) -> None:
        ran = run_cli(["search", folder, "x", "-s", "absent"])
        assert ran.code == 0
        assert "no chunk meets the conditions" in ran.out

    def test_several_questions(self, run_cli: RunCli, folder: Path) -> None:
        out = run_cli(["search", folder, "vector", "model", "-k", "1"]).out
        assert out.index("vector\n") < out.index("model\n")


class TestForPipes:
    def test_shape(self, run_cli: RunCli, folder: Path, tiny: Path) -> None:
        document = ask(run_cli, folder, "vector", "model", "-k", "3")
        assert document["index"] == {"name": "memory", "exact": True, "points": 6}
        assert document["model"] == str(tiny)
        assert [answer["question"] for answer in document["answers"]] == ["vector", "model"]
        for answer in document["answers"]:
            assert [result["rank"] for result in answer["results"]] == [1, 2, 3]
            for result in answer["results"]:
                assert list(result) == ["rank", "score", "chunk_id", "text", "metadata", "copies"]
            scores = [result["score"] for result in answer["results"]]
            assert scores == sorted(scores, reverse=True)

    def test_stderr_is_quiet(self, run_cli: RunCli, folder: Path) -> None:
        assert run_cli(["search", folder, "x", "--json"]).err == ""

    def test_filters(self, run_cli: RunCli, folder: Path) -> None:
        def found(*arguments: str) -> set[str]:
            (answer,) = ask(run_cli, folder, "x", *arguments)["answers"]
            return {name for hit in answer["results"] for name in (hit["chunk_id"], *hit["copies"])}

        assert found("-s", "code") == {f"docs:code:client.md:chunk:{n}" for n in range(3)}
        assert found("-f", "chunk_index>=1", "-f", "subdirectory!=code") == {
            "docs:docs:intro.md:chunk:1",
            "docs:docs:intro.md:chunk:2",
        }
        assert found("-s", "docs", "--filter", "filename=intro.md", "--filter", "chunk_index=0") == {
            "docs:docs:intro.md:chunk:0"
        }

    def test_more_than_there_is(self, run_cli: RunCli, folder: Path) -> None:
        (answer,) = ask(run_cli, folder, "x", "-k", "500")["answers"]
        assert len(answer["results"]) == 5

    @pytest.mark.parametrize("index", ["memory", "edge", "exact"])
    def test_every_index_says_which_it_is(self, run_cli: RunCli, folder: Path, index: str) -> None:
        if index == "edge":
            pytest.importorskip("qdrant_edge")
        document = ask(run_cli, folder, "vector", "--index", index, "-s", "docs", "-f", "chunk_index>0")
        assert document["index"] == {"name": index, "exact": True, "points": 6}
        assert {hit["chunk_id"] for hit in document["answers"][0]["results"]} == {
            "docs:docs:intro.md:chunk:1",
            "docs:docs:intro.md:chunk:2",
        }


class TestExitCodes:
    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            ([], 2, "QUESTION"),
            (["x", "-k", "0"], 2, "-k"),
            (["x", "-f", "nonsense"], 2, "is not a condition"),
            (["x", "--index", "faiss"], 2, "--index"),
            (["  "], 2, "the question is empty"),
            (["x", "-m", "./absent"], 4, "no model folder"),
        ],
    )
    def test_errors(self, run_cli: RunCli, folder: Path, arguments: list[str], code: int, words: str) -> None:
        ran = run_cli(["search", folder, *arguments])
        assert ran.code == code
        assert words in ran.err
        assert ran.out == ""
        assert "Traceback" not in ran.err

    def test_no_embeddings(self, run_cli: RunCli, tmp_path: Path) -> None:
        ran = run_cli(["search", tmp_path, "x"])
        assert ran.code == 2
        assert "no embeddings" in ran.err

    def test_another_dimension(
        self, run_cli: RunCli, folder: Path, tiny_models: Callable[[str], Path], tiny: Path
    ) -> None:
        ran = run_cli(["search", folder, "x", "-m", tiny_models("wide")])
        assert ran.code == 5
        assert str(tiny) in ran.err
        assert str(tiny_models("wide")) in ran.err

    def test_no_manifest(self, run_cli: RunCli, folder: Path, tmp_path: Path) -> None:
        file = tmp_path / "docs_embeddings.jsonl"
        file.write_bytes((folder / "docs_embeddings.jsonl").read_bytes())
        ran = run_cli(["search", file, "x"])
        assert ran.code == 2
        assert "--model" in ran.err
