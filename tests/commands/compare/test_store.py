"""Compared runs as files: the form of a bench, with what nobody knows left out."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from compared_runs import compared
from eval_folders import eval_folder

from qembed.commands.bench.bench import bench
from qembed.commands.bench.store import as_document
from qembed.commands.compare.compare import compare_runs
from qembed.commands.compare.store import compare_document, store_comparison
from qembed.commands.evalset.judge import judge_plan
from qembed.commands.evalset.judgements import merge_judgements
from qembed.errors import UsageError
from qembed.evaluation.eval_sets.beir import read_qrels
from qembed.evaluation.eval_sets.eval_set import load_eval_set
from qembed.evaluation.eval_sets.runs import read_run
from qembed.evaluation.measures import evaluate
from qembed.report.stored import read_bench

Run = Callable[..., Any]


@pytest.mark.parametrize("texts", [False, True])
def test_what_is_stored_reads_back(tmp_path: Path, texts: bool) -> None:
    found = compared(tmp_path, texts=texts)
    folder = store_comparison(found, tmp_path / "reports")
    stored = read_bench(folder)
    assert stored.names == [one.name for one in found.runs]
    assert stored.document == json.loads(json.dumps(compare_document(found))) | {
        "environment": stored.document["environment"]
    }
    for one in found.runs:
        again = read_run(folder / "runs" / f"{one.name}.trec")
        frame = evaluate(read_qrels(folder / "runs" / "qrels.txt"), again, found.measures)
        assert frame.equals(one.measured.values.loc[frame.index])
        for query, values in stored.values[one.name].items():
            assert values["nDCG@10"] == pytest.approx(one.measured.values.loc[query, "nDCG@10"], abs=1e-6)
    assert bool(stored.texts) == texts
    assert [line["text"] != "" for line in stored.queries] == [texts] * found.queries
    rows = list(csv.reader((folder / "unjudged.csv").read_text(encoding="utf-8").splitlines()))[1:]
    assert len(rows) == len(found.unjudged) == stored.document["unjudged"] > 0


def test_ids_with_blanks_are_mentioned(tmp_path: Path, run_cli: Run) -> None:
    found = compared(tmp_path)
    command = [
        "compare",
        *(one.path for one in found.runs),
        "--qrels",
        found.qrels,
        "-o",
        tmp_path / "reports",
    ]
    assert "runs/encoded_ids.jsonl says how they are written there" in run_cli(command).out
    assert "encoded_ids.jsonl" in run_cli([*command, "--csv"]).err
    for name, columns in (("*.trec", 6), ("qrels.txt", 4)):
        for path in (tmp_path / "reports").glob(f"*/runs/{name}"):
            assert {len(line.split()) for line in path.read_text().splitlines()} == {columns}


def test_nothing_is_invented(tmp_path: Path) -> None:
    document = compare_document(compared(tmp_path))
    assert document["command"] == "compare"
    assert document["sides"] == document["gates"] == []
    for key in ("ceilings", "waterfalls", "frontiers", "answerability", "agreements"):
        assert document[key] == {}
    for system in document["systems"]:
        assert system["kind"] == "run"
        assert system["latency_ms"] == {"stages": {}, "total": None}
        assert system["reranking"] is None
    assert document["eval_set"]["level"] == "item"
    assert document["systems"][1]["info"]["queries_not_answered"] == 1


def test_a_bench_has_the_same_keys(tmp_path: Path) -> None:
    from bench_folders import library

    made = library(tmp_path / "files")
    benched = as_document(bench(made.embeddings, made.eval_set, made.options()))
    found = compare_document(compared(tmp_path))
    assert list(found) == list(benched)
    assert list(found["eval_set"]) == list(benched["eval_set"])
    assert list(found["systems"][0]) == list(benched["systems"][0])


def test_judgements_of_one_eval_set_are_one_group(tmp_path: Path) -> None:
    """However they are named: by the folder, or by the file in it; and the texts do not matter."""
    found = compared(tmp_path)
    judged = eval_folder(tmp_path / "set", {q: f"text of {q}" for q in found.judgements.qrels}, {})
    (judged / "qrels" / "test.tsv").write_bytes(found.qrels.read_bytes())
    runs = [one.path for one in found.runs]
    hashes = {
        compare_document(compare_runs(runs, qrels))["eval_set"]["sha256"]
        for qrels in (judged, judged / "qrels" / "test.tsv")
    }
    assert len(hashes) == 1
    (tmp_path / "texts").mkdir()
    texts = compared(tmp_path / "texts", texts=True)
    hashes = {compare_document(one)["eval_set"]["sha256"] for one in (found, texts)}
    assert len(hashes) == 1


def test_judging_starts_from_texts(tmp_path: Path) -> None:
    without = store_comparison(compared(tmp_path), tmp_path / "reports")
    with pytest.raises(UsageError, match="texts of its results are not known"):
        judge_plan(without, tmp_path / "grades.tsv")
    (tmp_path / "export.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tnew\t2\n")
    with pytest.raises(UsageError, match="the text of query 'q0' is not known"):
        merge_judgements(tmp_path / "mine", [tmp_path / "export.tsv"], bench=without)
    assert not (tmp_path / "mine").exists()


def test_an_eval_set_begins_with_what_was_judged(tmp_path: Path) -> None:
    found = compared(tmp_path, texts=True)
    folder = store_comparison(found, tmp_path / "reports")
    plan = judge_plan(folder, tmp_path / "grades.tsv", checks=0)
    assert {(pair.query_id, pair.unit) for pair in plan.pairs} == {one[:2] for one in found.unjudged}
    query, unit, *_ = found.unjudged[0]
    (tmp_path / "export.tsv").write_text(f"query-id\tcorpus-id\tscore\n{query}\t{unit}\t2\n")
    merge_judgements(tmp_path / "mine", [tmp_path / "export.tsv"], bench=folder)
    qrels = load_eval_set(tmp_path / "mine").qrels
    expected = {name: dict(grades) for name, grades in found.judgements.qrels.items()}
    expected[query][unit] = 2
    assert qrels == expected


def test_a_full_disk_does_not_take_the_numbers_away(
    tmp_path: Path, run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    found = compared(tmp_path)
    monkeypatch.setattr("qembed.report.storing.write_json", full)
    runs = [one.path for one in found.runs]
    ran = run_cli(["compare", *runs, "--qrels", found.qrels, "-o", tmp_path / "reports"])
    assert ran.code == 1
    assert "compared with production, nDCG@10" in ran.out
    assert "No space left" in ran.err
