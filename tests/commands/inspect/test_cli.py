"""``qembed inspect``: the table, the JSON, the exit codes, what goes where."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
WriteChunks = Callable[..., Path]
MENU = "Home\n\n- [Docs](https://example.org/docs/)\n- [Blog](https://example.org/blog/)"


@pytest.fixture
def eco(tmp_path: Path, write_chunks: WriteChunks) -> Path:
    pages = {
        "docs/a": [MENU, "Filtering by payload"],
        "docs/b": [MENU, "x" * 90],
        "wiki/a": [MENU, "Snapshots"],
    }
    return write_chunks(tmp_path / "eco", pages)


def row(out: str, name: str) -> list[str]:
    (found,) = [line.split() for line in out.splitlines() if line.split()[:1] == [name]]
    return found


class TestTable:
    def test_counts(self, eco: Path, run_cli: Run) -> None:
        code, out, err = run_cli(["inspect", eco])
        assert code == 0
        assert row(out, "docs")[1:5] == ["2", "4", "3", "25%"]
        assert row(out, "wiki")[1:5] == ["1", "2", "2", "0%"]
        assert row(out, "total")[1:5] == ["3", "6", "4", "33%"]
        assert "2 of 6 chunks (33%)" in out
        assert "No findings" in out
        assert "Add --model" in out
        assert "truncated" not in out
        assert "reading chunks" in err

    def test_largest_group_as_plain_words(self, eco: Path, run_cli: Run) -> None:
        out = run_cli(["inspect", eco]).out
        assert re.search(r"^ *3 +Home Docs Blog *$", out, re.MULTILINE)
        assert "Home Docs" not in run_cli(["inspect", eco, "--groups", "0"]).out

    def test_tokens(self, eco: Path, run_cli: Run, minilm: Path) -> None:
        code, out, _ = run_cli(["inspect", eco, "--model", "minilm"])
        assert code == 0
        assert "truncated" in out
        assert "all-MiniLM-L6-v2 reads 256 tokens" in " ".join(out.split())

    def test_names_are_not_markup(self, tmp_path: Path, run_cli: Run, write_chunks: WriteChunks) -> None:
        write_chunks(tmp_path / "eco", {"[red]/a": ["[bold]text[/bold]", "[bold]text[/bold]"], "b/a": ["x"]})
        code, out, _ = run_cli(["inspect", tmp_path / "eco"])
        assert code == 0
        assert "[red]" in out
        assert "[bold]text[/bold]" in out

    def test_limit_is_per_subdirectory(self, eco: Path, run_cli: Run) -> None:
        out = run_cli(["inspect", eco, "--limit", "1"]).out
        assert [row(out, name)[2] for name in ("docs", "wiki", "total")] == ["1", "1", "2"]

    def test_ten_findings_are_shown(self, eco: Path, run_cli: Run) -> None:
        (eco / "docs" / "c.jsonl").write_text("oops\n" * 12)
        out = run_cli(["inspect", eco]).out
        assert "12 findings" in out
        assert out.count("docs/c.jsonl, line ") == 10
        assert "and 2 more" in out


class TestJson:
    def test_one_document_on_stdout_and_progress_on_stderr(self, eco: Path, run_process: Run) -> None:
        (eco / "docs" / "c.json").write_text('[{"text": "last"}, oops')
        code, out, err = run_process(["inspect", eco, "--json"])
        assert code == 0
        document = json.loads(out)
        assert document["collection"] == "eco"
        assert document["model"] is None
        assert document["total"]["tokens"] is None
        assert document["total"]["chunks"] == 7
        assert document["subdirectories"]["docs"]["files"] == 3
        (group,) = document["duplicate_groups"]
        assert (group["copies"], group["text"], group["example_id"]) == (3, MENU, "eco:docs:a.md:chunk:0")
        (finding,) = document["findings"]
        assert finding == {
            "kind": "invalid-json",
            "place": {"path": "docs/c.json", "item": None, "line": 1},
            "reason": "expecting value; the item before it stayed",
            "lost": "rest of file",
        }
        assert "reading chunks" in err

    def test_whatever_is_broken_it_is_one_document(self, tmp_path: Path, run_cli: Run) -> None:
        (tmp_path / "a.jsonl").write_bytes(
            b'{"\\udfff": 1}\n{"text": "\\ud800"}\n\xff\xfe\n{"text": "a", "m": NaN}\n'
            b'{"_id": "\\ud800", "text": "b"}\n'
        )
        (tmp_path / "b.json").write_bytes(b'["\xff", "\\ud800", {"text": 1e999}, oops')
        code, out, _ = run_cli(["inspect", tmp_path, "--collection", "c", "--json"])
        assert code == 0
        document = json.loads(out)
        assert document["total"]["chunks"] == 1
        assert len(document["findings"]) == 9


class TestExitCodes:
    def test_findings_are_no_failure(self, eco: Path, run_cli: Run) -> None:
        (eco / "docs" / "c.json").write_text("")
        assert run_cli(["inspect", eco]).code == 0

    def test_strict(self, eco: Path, run_cli: Run) -> None:
        assert run_cli(["inspect", eco, "--strict"]).code == 0
        (eco / "docs" / "c.json").write_text("")
        code, out, _ = run_cli(["inspect", eco, "--strict"])
        assert code == 3
        assert "docs/c.json: empty-file" in out

    @pytest.mark.parametrize("strict", [[], ["--strict"]])
    def test_ids_that_are_not_unique(
        self, eco: Path, run_cli: Run, write_chunks: WriteChunks, strict: list[str]
    ) -> None:
        item = {"text": "again", "metadata": {"filename": "a.md", "chunk_index": 0}}
        write_chunks(eco, {"docs/other": [item]})
        code, out, _ = run_cli(["inspect", eco, *strict])
        assert code == 3
        flat = " ".join(out.split())
        assert "docs/a_chunks.json, item 0 and docs/other_chunks.json, item 0" in flat

    def test_model_that_is_not_there(self, eco: Path, run_cli: Run) -> None:
        code, out, err = run_cli(["inspect", eco, "--model", "nobody/no-such-model"])
        assert (code, out) == (4, "")
        assert "nobody/no-such-model" in err


class TestRealData:
    def test_what_the_collection_of_the_mission_holds(
        self, real_data: Path, minilm: Path, run_cli: Run
    ) -> None:
        code, out, _ = run_cli(["inspect", real_data / "qdrant_ecosystem", "--model", "minilm", "--json"])
        assert code == 0
        total = json.loads(out)["total"]
        assert (total["chunks"], total["unique_texts"], total["files"]) == (8108, 5034, 336)
        assert round(100 * (1 - total["unique_texts"] / total["chunks"])) == 38
        tokens = total["tokens"]
        assert tokens["lengths"]["total"] == 2_682_366
        assert round(100 * tokens["truncated_chunks"] / total["chunks"]) == 87
        assert tokens["lengths"]["total"] - tokens["tokens_lost"] == pytest.approx(2.01e6, rel=0.01)
        subdirectories = json.loads(out)["subdirectories"]
        assert len(subdirectories) == 6
        for field in ("files", "chunks"):
            assert sum(held[field] for held in subdirectories.values()) == total[field]
