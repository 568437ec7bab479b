"""``qembed evalset``: what it prints and how it exits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eval_folders import eval_folder

Run = Callable[..., Any]
WriteChunks = Callable[..., Path]
QUERIES = {"q1": "how to begin", "q2": "how to end", "q3": "and then"}
PROSE = "Some words of plain prose that stand below and tell the reader enough to know what is meant here."


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    rows = ["q1 a 2", "q1 b 1", "q2 b 1", "q3 a 0"]
    return eval_folder(tmp_path / "sound", QUERIES, {"test": rows}, corpus={"a": "A", "b": "B"})


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    rows = ["q1 a 1", *(f"q2 x{number} 1" for number in range(5)), "q3 b high"]
    return eval_folder(tmp_path / "broken", QUERIES, {"test": rows}, corpus={"a": "A", "b": "B"})


def narrow(text: str) -> bool:
    return all(len(line) <= 80 for line in text.splitlines())


class TestCheck:
    def test_a_sound_one(self, sound: Path, run_cli: Run) -> None:
        code, out, _ = run_cli(["evalset", "check", sound])
        assert code == 0
        assert narrow(out)
        lines = [line.rstrip() for line in out.splitlines()]
        assert lines[:4] == [
            "sound: judged by chunk, split test",
            "  queries     3, 3 of them judged",
            "  judgements  4 in qrels/test.tsv",
            "  corpus      2 chunks of 1 page",
        ]
        assert "  queries.jsonl:3  nothing that was judged answers query 'q3'" in lines
        assert lines[-1] == "sound, with 1 note."

    def test_errors_are_shown_with_line_and_remedy(self, broken: Path, run_cli: Run) -> None:
        code, out, _ = run_cli(["evalset", "check", broken])
        assert code == 3
        assert narrow(out)
        assert "unknown-item (5 errors)" in out
        assert "qrels/test.tsv:3  the corpus has no chunk 'x0' (query 'q2')" in out
        assert "and 2 more (--all lists them)" in out
        assert "'x4'" not in out
        assert "remove the rows, or judge again" in out
        assert "6 errors, 1 warning: mend this before you measure." in out
        assert "'x4'" in run_cli(["evalset", "check", broken, "--all"]).out

    def test_strict(self, tmp_path: Path, run_cli: Run) -> None:
        folder = eval_folder(tmp_path, QUERIES, {"test": ["q1 a 1", "q1 a 1", "q2 a 1", "q3 a 1"]})
        code, out, _ = run_cli(["evalset", "check", folder])
        assert code == 0
        assert "--corpus CHUNKS checks" in out
        code, out, _ = run_cli(["evalset", "check", folder, "--strict"])
        assert code == 3
        assert "1 warning (--strict)" in out

    def test_json_is_all_of_stdout(self, broken: Path, run_cli: Run) -> None:
        code, out, _ = run_cli(["evalset", "check", broken, "--json"])
        document = json.loads(out)
        assert code == 3
        assert (document["schema"], document["sound"]) == ("qembed.evalset-check/1", False)
        assert (document["errors"], document["warnings"], document["notes"]) == (6, 1, 0)
        assert document["corpus"]["chunks"] == 2
        assert document["findings"][0]["place"]["line"] == 8
        assert document["findings"][0]["severity"] == "error"

    def test_markup_in_ids_is_printed_as_it_is(self, tmp_path: Path, run_cli: Run) -> None:
        folder = eval_folder(tmp_path, {"q[red]": "[bold]"}, {"test": ["q[red] d[/x] 1"]}, corpus={"a": "A"})
        code, out, _ = run_cli(["evalset", "check", folder])
        assert code == 3
        assert "'d[/x]'" in out

    def test_a_split_that_is_not_there(self, sound: Path, run_cli: Run) -> None:
        code, out, err = run_cli(["evalset", "check", sound, "--split", "dev"])
        assert (code, out) == (2, "")
        assert "there is test" in err
        assert "next:  pass --split test" in err

    def test_chunks_and_their_collection(
        self, tmp_path: Path, write_chunks: WriteChunks, run_cli: Run
    ) -> None:
        chunks = write_chunks(tmp_path / "eco", {"docs/a": ["one"]})
        folder = eval_folder(tmp_path / "set", {"q": "one"}, {"test": ["q mine:docs:a.md:chunk:0 1"]})
        code, out, _ = run_cli(["evalset", "check", folder, "--corpus", chunks])
        assert code == 3
        assert narrow(out)
        assert "see --collection" in out
        assert run_cli(["evalset", "check", folder, "--corpus", chunks, "--collection", "mine"]).code == 0


class TestStats:
    def test_for_people(self, sound: Path, run_cli: Run) -> None:
        code, out, _ = run_cli(["evalset", "stats", sound])
        assert code == 0
        assert narrow(out)
        assert "3, 1 of them answered by nothing" in out
        assert "grade 0: 1, grade 1: 2, grade 2: 1" in out
        assert "relevant, where any" in out

    def test_json(self, sound: Path, run_cli: Run) -> None:
        document = json.loads(run_cli(["evalset", "stats", sound, "--json"]).out)
        assert document["schema"] == "qembed.evalset-stats/1"
        assert document["card"]["name"] == "sound"
        assert document["grades"] == {"0": 1, "1": 2, "2": 1}
        assert document["judgements_per_query"] == {"min": 1, "median": 1.0, "mean": 4 / 3, "max": 2}

    def test_findings_are_pointed_at(self, broken: Path, run_cli: Run) -> None:
        out = run_cli(["evalset", "stats", broken]).out
        assert f"1 finding in these files: qembed evalset check {broken}" in out.replace("\n", " ")


class TestConvert:
    def test_a_folder(self, sound: Path, tmp_path: Path, run_cli: Run) -> None:
        code, out, err = run_cli(["evalset", "convert", sound, tmp_path / "trec", "--to", "trec"])
        assert (code, err) == (0, "")
        assert "3 queries, judgements: test 4" in out
        assert "The corpus was not copied" in out
        assert (tmp_path / "trec" / "qrels" / "test.txt").read_text().startswith("q1\t0\ta\t2\n")

    def test_a_file_as_json(self, sound: Path, tmp_path: Path, run_cli: Run) -> None:
        source = sound / "qrels" / "test.tsv"
        code, out, _ = run_cli(["evalset", "convert", source, tmp_path / "t", "--to", "trec", "--json"])
        assert code == 0
        assert json.loads(out) == {
            "output": str(tmp_path / "t"),
            "files": [str(tmp_path / "t")],
            "queries": 3,
            "judgements": {"test": 4},
            "findings": [],
        }

    def test_lost_lines(self, broken: Path, tmp_path: Path, run_cli: Run) -> None:
        code, _, err = run_cli(["evalset", "convert", broken, tmp_path / "trec", "--to", "trec"])
        assert code == 3
        assert "line 8: bad-grade: the grade 'high' is not an integer" in err


class TestDraft:
    @pytest.fixture
    def chunks(self, tmp_path: Path, write_chunks: WriteChunks) -> Path:
        pages = {
            f"docs/{name}": [f"## The {name} index of {name}s\n{PROSE}"] for name in ("hash", "tree", "list")
        }
        return write_chunks(tmp_path / "eco", pages)

    def test_for_people(self, chunks: Path, tmp_path: Path, run_cli: Run) -> None:
        code, out, _ = run_cli(["evalset", "draft", chunks, "-o", tmp_path / "set"])
        assert code == 0
        assert "3 queries, synthetic until you edit them" in out
        assert "3 chunks of 3 pages, 3 candidates" in out
        assert "100 were asked for" in out
        assert "heading  The hash index of hashs" in out
        assert f"qembed evalset check {tmp_path / 'set'} --corpus {chunks}" in out
        assert "synthetic = true" in (tmp_path / "set" / "card.toml").read_text()

    def test_json(self, chunks: Path, tmp_path: Path, run_cli: Run) -> None:
        command = ["evalset", "draft", chunks, "-o", tmp_path / "set", "--queries", "2", "--json"]
        document = json.loads(run_cli(command).out)
        assert [query["id"] for query in document["queries"]] == ["d001", "d002"]
        assert document["queries"][0]["chunk_ids"][0].startswith("eco:docs:")
        assert document["card"]["synthetic"] is True

    def test_it_does_not_replace(self, chunks: Path, tmp_path: Path, run_cli: Run) -> None:
        command = ["evalset", "draft", chunks, "-o", tmp_path / "set"]
        assert run_cli(command).code == 0
        assert run_cli(command).code == 2
        assert run_cli([*command, "--force"]).code == 0
