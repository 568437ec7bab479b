"""Runs of other tools, compared; the numbers are those of pytrec_eval."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval

from qembed.commands.compare.compare import CompareOptions, compare_runs
from qembed.errors import InputNotFound, Mismatch, UsageError
from qembed.evaluation.statistics.compare import compare

Run = Callable[..., Any]
QUERIES = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Judgements, a good run (TREC), a bad one (ranx's JSON), and one that lacks queries (CSV)."""
    random = np.random.default_rng(5)
    rows, trec, table = [], [], ["query_id,doc_id,score"]
    bad: dict[str, dict[str, float]] = {}
    for query in range(QUERIES):
        scores = random.normal(size=130)
        for item in range(130):
            rows.append(f"q{query}\t0\td{item}\t{2 if item == 0 else int(item < 4)}")
            good = scores[item] + 2.5 * (item < 4)
            trec.append(f"q{query} Q0 d{item} 1 {good!r} x".replace("np.float64(", "").replace(")", ""))
            bad.setdefault(f"q{query}", {})[f"d{item}"] = float(scores[item])
            if query >= 5:
                table.append(f"q{query},d{item},{float(good)!r}")
    (tmp_path / "qrels.txt").write_text("\n".join(rows))
    (tmp_path / "good.trec").write_text("\n".join(trec))
    (tmp_path / "bad.json").write_text(json.dumps({**bad, "unknown": {"d": 1.0}}))
    (tmp_path / "some.csv").write_text("\n".join(table))
    return tmp_path


def test_numbers_are_those_of_trec_eval(folder: Path) -> None:
    found = compare_runs(
        [folder / "bad.json", folder / "good.trec"],
        folder / "qrels.txt",
        CompareOptions(measures=("nDCG@10", "recall@10", "MAP")),
    )
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.txt").read_text().splitlines():
        query, _, item, grade = line.split()
        qrels.setdefault(query, {})[item] = int(grade)
    runs: list[dict[str, dict[str, float]]] = [json.loads((folder / "bad.json").read_text()), {}]
    for line in (folder / "good.trec").read_text().splitlines():
        query, _, item, _, score, _ = line.split()
        runs[1].setdefault(query, {})[item] = float(score)
    judge = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.10", "map"})
    values = []
    for one, run in zip(found.runs, runs, strict=True):
        expected = judge.evaluate(run)
        for ours, theirs in (("nDCG@10", "ndcg_cut_10"), ("recall@10", "recall_10"), ("MAP", "map")):
            column = [expected[query][theirs] for query in one.measured.values.index]
            assert one.measured.values[ours].to_numpy() == pytest.approx(column)
        values.append([expected[query]["ndcg_cut_10"] for query in one.measured.values.index])
    comparison = found.runs[1].measured.comparisons["nDCG@10"]
    assert comparison == compare(*map(np.array, values))
    assert comparison.verdict == "better"


def test_what_is_missing_or_unknown_is_counted(folder: Path) -> None:
    found = compare_runs(
        [folder / "good.trec", folder / "some.csv", folder / "bad.json"],
        folder / "qrels.txt",
        CompareOptions(measures=("recall@10", "MAP")),
    )
    good, some, bad = found.runs
    assert (good.missing, good.unknown) == ((), ())
    assert some.missing == tuple(f"q{query}" for query in range(5))
    assert some.measured.values.loc["q0", "recall@10"] == 0
    assert bad.unknown == ("unknown",)
    assert [str(measure) for measure in found.measures] == ["recall@10", "MAP"]
    assert all(comparison.family == 2 for comparison in bad.measured.comparisons.values())


def test_names(folder: Path) -> None:
    (folder / "x").mkdir()
    (folder / "x" / "good.trec").write_bytes((folder / "good.trec").read_bytes())
    runs = [folder / "good.trec", folder / "x" / "good.trec"]
    assert [one.name for one in compare_runs(runs, folder / "qrels.txt").runs] == list(map(str, runs))
    with pytest.raises(UsageError, match="given twice"):
        compare_runs([runs[0], runs[0]], folder / "qrels.txt")


def test_what_cannot_be_compared(folder: Path) -> None:
    good, qrels = folder / "good.trec", folder / "qrels.txt"
    with pytest.raises(UsageError, match="nothing to be compared"):
        compare_runs([good], qrels)
    with pytest.raises(InputNotFound):
        compare_runs([good, folder / "absent"], qrels)
    (folder / "other.trec").write_text("z Q0 d 1 1 x")
    with pytest.raises(Mismatch, match="no query of the run is judged: its first is 'z'"):
        compare_runs([good, folder / "other.trec"], qrels)
    (folder / "zero.txt").write_text("q0 0 d0 0")
    with pytest.raises(UsageError, match="no item has a grade of 1 or more"):
        compare_runs([good, folder / "bad.json"], folder / "zero.txt")
    with pytest.raises(UsageError, match="judged@k cannot"):
        compare_runs([good, folder / "bad.json"], qrels, CompareOptions(measures=("judged@10",)))


def test_command_line(folder: Path, run_cli: Run) -> None:
    command = ["compare", folder / "bad.json", folder / "good.trec", "--qrels", folder / "qrels.txt"]
    ran = run_cli(command)
    assert (ran.code, ran.err) == (0, "")
    assert "40 of 40 queries have an answer" in " ".join(ran.out.split())
    assert "bad answers 1 queries that are not judged" in ran.out
    assert "better" in ran.out
    assert all(len(line) <= 80 for line in ran.out.splitlines() if str(folder) not in line)
    document = json.loads(run_cli([*command, "--json"]).out)
    assert document["runs"][1]["comparisons"]["nDCG@10"]["verdict"] == "better"
    assert "good" in run_cli([*command, "--csv"]).out.splitlines()[2]
    assert run_cli([*command[:2], "--qrels", folder / "qrels.txt"]).code == 2
