"""The numbers of ``compare`` are those of ranx and of trec_eval on the same files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval
import ranx

from qembed.commands.compare.compare import CompareOptions, compare_runs
from qembed.commands.compare.store import store_comparison
from qembed.records import Qrels, Run

REPOSITORY = Path(__file__).resolve().parents[3]

RANX = {
    "nDCG@10": "ndcg@10",
    "recall@10": "recall@10",
    "recall@100": "recall@100",
    "MRR@10": "mrr@10",
    "precision@5": "precision@5",
    "MAP": "map",
    "Rprec": "r-precision",
}
TREC = {
    "nDCG@10": "ndcg_cut_10",
    "recall@10": "recall_10",
    "recall@100": "recall_100",
    "precision@5": "P_5",
    "MAP": "map",
    "Rprec": "Rprec",
}


def made(queries: int = 30, items: int = 150) -> tuple[Qrels, Run]:
    """Ids are whole numbers, as of MS MARCO; the last query has no answer, the first is not answered."""
    random = np.random.default_rng(11)
    qrels: Qrels = {}
    run: Run = {}
    for query in range(queries):
        grades = random.permutation([*random.integers(1, 4, size=6), *([0] * 20)])
        judged = random.permutation(items)[: len(grades)]
        qrels[str(1000 + query)] = {str(item): int(grade) for item, grade in zip(judged, grades, strict=True)}
        scores = random.normal(size=items)
        scores[judged] += grades
        run[str(1000 + query)] = {str(item): float(scores[item]) for item in range(items)}
    qrels["1029"] = dict.fromkeys(qrels["1029"], 0)
    del run["1000"]
    return qrels, run


def trec(run: Run) -> str:
    return "".join(f"{q} Q0 {i} 0 {score!r} x\n" for q, scores in run.items() for i, score in scores.items())


def table(path: Path, run: Run, separator: str) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(["query_id", "doc_id", "score"])
        writer.writerows([q, i, repr(score)] for q, scores in run.items() for i, score in scores.items())


def lines(run: Run) -> str:
    rows = ({"query_id": q, "doc_id": i, "score": s} for q, scores in run.items() for i, s in scores.items())
    return "".join(f"{json.dumps(row)}\n" for row in rows)


WRITERS: dict[str, Callable[[Path, Run], object]] = {
    "run.trec": lambda path, run: path.write_text(trec(run)),
    "run.json": lambda path, run: path.write_text(json.dumps(run)),
    "run.gz": lambda path, run: path.write_bytes(gzip.compress(trec(run).encode())),
    "run.csv": lambda path, run: table(path, run, ","),
    "run.tsv": lambda path, run: table(path, run, "\t"),
    "run.jsonl": lambda path, run: path.write_text(lines(run)),
}
RANX_READS = ("run.trec", "run.gz")  # of its JSON it leaves the file open


def by_ranx(qrels: ranx.Qrels, run: ranx.Run, queries: list[str]) -> dict[str, list[float]]:
    """Measure -> values of ``queries``, by ranx alone; a query without results counts 0."""
    run.make_comparable(qrels)
    found = ranx.evaluate(qrels, run, list(RANX.values()), return_mean=False)
    order = list(qrels.to_dict())
    return {
        name: [float(found[theirs][order.index(query)]) for query in queries] for name, theirs in RANX.items()
    }


@pytest.mark.parametrize("name", WRITERS)
def test_values_are_those_of_ranx_and_trec_eval(tmp_path: Path, name: str) -> None:
    qrels, run = made()
    (tmp_path / "qrels.txt").write_text(
        "".join(f"{q} 0 {i} {grade}\n" for q, grades in qrels.items() for i, grade in grades.items())
    )
    WRITERS[name](tmp_path / name, run)
    other = {q: {i: -score for i, score in scores.items()} for q, scores in run.items()}
    (tmp_path / "other.trec").write_text(trec(other))
    options = CompareOptions(measures=tuple(RANX), resamples=100)
    frame = compare_runs([tmp_path / "other.trec", tmp_path / name], tmp_path / "qrels.txt", options).runs[1]
    values = frame.measured.values.drop(index="1029")
    assert frame.measured.values.loc["1029"].isna().all(), "no answer, no value"
    queries = list(values.index)
    judged = ranx.Qrels.from_file(str(tmp_path / "qrels.txt"), kind="trec")
    theirs = ranx.Run.from_file(str(tmp_path / name)) if name in RANX_READS else ranx.Run.from_dict(run)
    for measure, column in by_ranx(judged, theirs, queries).items():
        assert values[measure].to_numpy() == pytest.approx(column), measure
    found = pytrec_eval.RelevanceEvaluator(qrels, set(TREC.values())).evaluate(run)
    for measure, theirs_too in TREC.items():
        column = [found.get(query, {}).get(theirs_too, 0.0) for query in queries]
        assert values[measure].to_numpy() == pytest.approx(column), measure


def test_ties_are_broken_in_what_is_stored(tmp_path: Path) -> None:
    """ranx orders equal scores as it likes, and trec_eval by id, descending; in runs/ there are none."""
    qrels, run = made()
    tied = {
        query: {item: float(round(score)) for item, score in scores.items()} for query, scores in run.items()
    }
    (tmp_path / "qrels.txt").write_text(
        "".join(f"{q} 0 {i} {grade}\n" for q, grades in qrels.items() for i, grade in grades.items())
    )
    for name, scores in (("tied", tied), ("run", run)):
        (tmp_path / f"{name}.trec").write_text(trec(scores))
    options = CompareOptions(measures=tuple(RANX), resamples=100)
    found = compare_runs([tmp_path / "run.trec", tmp_path / "tied.trec"], tmp_path / "qrels.txt", options)
    stored = store_comparison(found, tmp_path / "reports") / "runs"
    values = found.runs[1].measured.values.drop(index="1029")
    judged = ranx.Qrels.from_file(str(stored / "qrels.txt"), kind="trec")
    again = by_ranx(judged, ranx.Run.from_file(str(stored / "tied.trec")), list(values.index))
    for measure, column in again.items():
        assert values[measure].to_numpy() == pytest.approx(column), measure
    for measure in RANX:
        mean = found.runs[1].measured.estimates[measure].mean
        assert mean == pytest.approx(np.mean(again[measure])), "the mean is over the same queries"


def test_the_example_of_the_documentation(
    run_cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its command and its program, on the files that lie in the repository, give the numbers of its table."""
    page = (REPOSITORY / "docs" / "compare.md").read_text(encoding="utf-8")
    folder = re.search(r"^    cd (\S+)$", page, re.MULTILINE)
    command = re.search(r"^    qembed (compare vectors\.trec .*)$", page, re.MULTILINE)
    program = re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert folder
    assert command
    assert program
    monkeypatch.chdir(REPOSITORY / folder[1])
    ran = run_cli(shlex.split(command[1]))
    assert ran.code == 0, ran.err
    ours = {
        row["run"]: [f"{float(row[name]):.3f}" for name in ("nDCG@10", "recall@100", "MAP")]
        for row in csv.DictReader(io.StringIO(ran.out))
    }
    capsys.readouterr()
    exec(compile(program[1], "docs/compare.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    theirs = {name: numbers for name, *numbers in map(str.split, lines)}
    shown = {
        row[0]: list(row[1:])
        for row in re.findall(r"^\| (\S+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", page, re.M)
    }
    assert ours == theirs == shown
