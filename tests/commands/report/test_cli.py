"""``qembed report`` and ``qembed evalset merge-judgements``: what they print, write and how they exit."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eval_folders import eval_folder
from stored_benches import full_bench

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full_bench(tmp_path_factory.mktemp("report"))


class TestReport:
    def test_the_page_is_written_beside_the_bench(self, folder: Path, run_cli: Run) -> None:
        code, out, err = run_cli(["report", folder])
        assert (code, out) == (0, "")
        assert err.startswith(f"Wrote {folder / 'report.html'} (")
        assert (folder / "report.html").read_text().startswith("<!doctype html>")

    def test_the_newest_in_reports_is_taken(
        self, folder: Path, run_cli: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder.parent.parent)
        assert run_cli(["report", "-o", "page.html"]).code == 0
        assert Path("page.html").is_file()

    def test_markdown_goes_to_stdout(self, folder: Path, run_cli: Run, tmp_path: Path) -> None:
        code, out, err = run_cli(["report", folder, "--format", "md"])
        assert (code, err) == (0, "")
        assert out.startswith("### ")
        run_cli(["report", folder, "--format", "md", "-o", tmp_path / "a.md"])
        assert (tmp_path / "a.md").read_text() == out

    def test_a_page_to_stdout(self, folder: Path, run_cli: Run) -> None:
        assert run_cli(["report", folder, "-o", "-"]).out.startswith("<!doctype html>")

    def test_compare(self, folder: Path, run_cli: Run, tmp_path: Path) -> None:
        code, out, _ = run_cli(["report", "--compare", folder, folder, "--format", "md"])
        assert (code, out.splitlines()[0]) == (0, "### No system is shown to have changed.")
        assert run_cli(["report", "--compare", folder, folder, "-o", tmp_path / "c.html"]).code == 0
        assert "What changed?" in (tmp_path / "c.html").read_text()

    def test_compare_as_data(self, folder: Path, run_cli: Run) -> None:
        code, out, _ = run_cli(["report", "--compare", folder, folder, "--format", "json"])
        found = json.loads(out)
        assert (code, found["schema"], found["headline"]) == (
            0,
            "qembed.compare/1",
            "No system is shown to have changed.",
        )
        stored = json.loads((folder / "bench.json").read_text())
        assert [row["name"] for row in found["systems"]] == [system["name"] for system in stored["systems"]]
        assert all(row["difference"] == 0 and row["p"] == 1 for row in found["systems"])
        code, out, _ = run_cli(["report", "--compare", folder, folder, "--format", "csv"])
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [row["name"] for row in rows] == [row["name"] for row in found["systems"]]
        assert [float(row["system"]) for row in rows] == [row["system"] for row in found["systems"]]
        assert run_cli(["report", folder, "--format", "csv"]).code == 2

    def test_index(self, folder: Path, run_cli: Run) -> None:
        assert run_cli(["report", "--index", folder.parent]).code == 0
        assert folder.name in (folder.parent / "index.html").read_text()

    @pytest.mark.parametrize(
        "arguments",
        [
            ["a", "--index", "b"],
            ["a", "--compare", "b", "c"],
            ["--index", "b", "--format", "md"],
            ["a", "--links", "https://example.org/"],
        ],
    )
    def test_what_cannot_be(self, run_cli: Run, arguments: list[str]) -> None:
        assert run_cli(["report", *arguments]).code == 2

    def test_no_bench(self, run_cli: Run, tmp_path: Path) -> None:
        code, _, err = run_cli(["report", tmp_path])
        assert code == 2
        assert "no stored bench" in err
        assert "next:  make one: qembed bench" in err

    def test_a_page_of_another_version(self, run_cli: Run, tmp_path: Path) -> None:
        (tmp_path / "bench.json").write_text('{"schema": "qembed.bench/99"}')
        assert run_cli(["report", tmp_path]).code == 5


class TestMergeJudgements:
    @pytest.fixture
    def eval_set(self, tmp_path: Path) -> Path:
        return eval_folder(tmp_path / "set", {"q1": "one"}, {"test": ["q1 a 2"]})

    @pytest.fixture
    def exported(self, tmp_path: Path) -> Path:
        path = tmp_path / "qrels.tsv"
        path.write_text(
            "query-id\tcorpus-id\tscore\tjudge\tjudged-at\nq1\tb\t1\tAnna\t2026-11-25T10:00:00Z\n"
        )
        return path

    def test_merged(self, eval_set: Path, exported: Path, run_cli: Run) -> None:
        code, out, _ = run_cli(["evalset", "merge-judgements", eval_set, exported])
        assert code == 0
        assert "1 added, 0 the same, 0 replaced, 0 kept as they were; 2 judgements now" in out
        assert "judgements.jsonl" in out
        assert run_cli(["evalset", "check", eval_set]).code == 0

    def test_a_conflict_is_shown_and_exits_3(self, eval_set: Path, exported: Path, run_cli: Run) -> None:
        exported.write_text(exported.read_text().replace("\tb\t", "\ta\t"))
        code, out, _ = run_cli(["evalset", "merge-judgements", eval_set, exported])
        assert code == 3
        assert "conflict: query 'q1', item 'a': 2 stays; Anna says 1 (qrels.tsv, line 2)" in out
        code, out, _ = run_cli(
            ["evalset", "merge-judgements", eval_set, exported, "--on-conflict", "replace", "--json"]
        )
        assert code == 0
        document = json.loads(out)
        assert document["merged"][0]["outcome"] == "replaced"
        assert document["merged"][0]["grade_before"] == 2

    def test_a_dry_run(self, eval_set: Path, exported: Path, run_cli: Run) -> None:
        before = (eval_set / "qrels" / "test.tsv").read_text()
        code, out, _ = run_cli(["evalset", "merge-judgements", eval_set, exported, "--dry-run"])
        assert code == 0
        assert "1 would be added" in out
        assert (eval_set / "qrels" / "test.tsv").read_text() == before
