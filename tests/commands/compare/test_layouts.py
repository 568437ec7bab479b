"""``evalset check``, ``bench`` and ``compare`` read the same judgements of a file, whatever its layout."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_folders import Item, write_embeddings, write_query_vectors
from eval_folders import HEADER, IN_ONE_PIECE, LAYOUTS, eval_folder

from qembed.evaluation.eval_sets.runs import read_run
from qembed.evaluation.eval_sets.trec import write_runs
from qembed.report.storing import file_name

Run = Callable[..., Any]

READ = {"q1": {"d1": 1, "d2": 0}, "q2": {"d3": 2}}
NAMES = {"json lines": "test.jsonl", "commas": "test.csv", "trec": "test.txt"}


def values(stored: Path) -> list[list[str]]:
    """Query, name of the run's file, and the measures; sorted."""
    rows = list(csv.reader((stored / "per_query.csv").read_text("utf-8").splitlines()))[1:]
    return sorted([query, file_name(system), *numbers] for query, _, system, *numbers in rows)


def read_by_all(folder: Path, run_cli: Run, **texts: str) -> dict[str, Any]:
    """Judgements as each command reads them from the eval set in ``folder``, with what it says of them."""
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text("utf-8").splitlines()]
    random = np.random.default_rng(0)
    out = write_embeddings(
        folder.parent / "out",
        [Item(name, text, random.normal(size=4).tolist()) for name, text in texts.items()],
    )
    vectors = write_query_vectors(
        folder.parent / "asked", {line["_id"]: random.normal(size=4).tolist() for line in queries}
    )
    checked = run_cli(["evalset", "check", folder, "--json"])
    reports = folder.parent / "reports"
    options = ["--query-vectors", vectors, "--index", "exact", "--latency-queries", "0", "-o", reports, "-q"]
    benched = run_cli(["bench", out, "-e", folder, *options, "--resamples", "100"])
    (qrels,) = (folder / "qrels").iterdir()
    runs = sorted((reports / f"0001_{folder.name}" / "runs").glob("*.trec"))
    compared = run_cli(["compare", *runs, "--qrels", qrels, "-o", reports, "--name", "runs"])
    assert (benched.code, compared.code) == (0, 0), (benched.err, compared.err)
    found = {}
    for name in (folder.name, "runs"):
        (stored,) = reports.glob(f"*_{name}")
        lines = (stored / "hits.jsonl").read_text("utf-8").splitlines()
        found[name] = {line["query_id"]: line["judged"] for line in map(json.loads, lines)}
        found[f"{name} values"] = values(stored)
        found[f"{name} hash"] = json.loads((stored / "bench.json").read_text())["eval_set"]["sha256"]
    return {
        "check": json.loads(checked.out),
        "bench": found[folder.name],
        "compare": found["runs"],
        "same values": found[f"{folder.name} values"] == found["runs values"],
        "same judgements": found[f"{folder.name} hash"] == found["runs hash"],
    }


@pytest.mark.parametrize("name", [*LAYOUTS, *IN_ONE_PIECE])
def test_every_layout(tmp_path: Path, run_cli: Run, name: str) -> None:
    folder = eval_folder(tmp_path / "set", {"q1": "one", "q2": "two"}, {})
    (folder / "qrels" / NAMES.get(name, "test.tsv")).write_text({**LAYOUTS, **IN_ONE_PIECE}[name])
    found = read_by_all(folder, run_cli, d1="one", d2="two", d3="three")
    check = found["check"]
    assert (check["errors"], check["judged"]) == (0, 2)
    assert found["bench"] == found["compare"] == READ
    assert found["same values"]
    assert found["same judgements"]


def test_grades_below_0_count_0_for_all(tmp_path: Path, run_cli: Run) -> None:
    folder = eval_folder(
        tmp_path / "set", {"q1": "one", "q2": "two"}, {"test": ["q1 d1 1", "q1 d2 -2", "q2 d3 2"]}
    )
    found = read_by_all(folder, run_cli, d1="one", d2="two", d3="three")
    assert found["bench"] == found["compare"] == READ


def test_chinese(tmp_path: Path, run_cli: Run) -> None:
    queries = {"1": "近似最近邻搜索", "2": "故乡"}
    folder = eval_folder(tmp_path / "set", queries, {"test": ["1 文一 1", "2 文二 2"]})
    found = read_by_all(folder, run_cli, 文一="举头望明月，低头思故乡。", 文二="床前明月光。")
    assert found["bench"] == found["compare"] == {"1": {"文一": 1}, "2": {"文二": 2}}
    assert found["same values"]


def test_queries_that_are_documents(tmp_path: Path, run_cli: Run) -> None:
    texts = {"0": "How do I learn Python?", "1": "Python, fast", "2": "What is rice?", "3": "Rice"}
    queries = {"0": texts["0"], "2": texts["2"]}
    folder = eval_folder(tmp_path / "set", queries, {"test": ["0 1 1", "2 3 1"]}, corpus=texts)
    found = read_by_all(folder, run_cli, **texts)
    assert found["bench"] == found["compare"] == {"0": {"1": 1}, "2": {"3": 1}}
    assert found["same values"], "bench has left each query's own document out of its runs"
    runs = sorted((tmp_path / "reports" / "0001_set" / "runs").glob("*.trec"))
    with_own = {
        path.name: ("x", {q: {q: 99.0, **scores} for q, scores in read_run(path).items()}) for path in runs
    }
    write_runs(tmp_path / "own", with_own, {}, "qrels.txt")
    again = run_cli(
        [
            "compare",
            *(tmp_path / "own" / name for name in with_own),
            "--qrels",
            folder,
            "-o",
            tmp_path / "reports",
        ]
    )
    assert "each one's own document is left out" in " ".join(again.out.split())
    assert values(tmp_path / "reports" / "0001_set") == values(tmp_path / "reports" / "0003_set")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{HEADER}\nq1\td1\n", "2 columns"),
        (f"{HEADER}\nq1\td1\tmuch\n", "the grade 'much' is not an integer"),
        ('{"q1": {"d1": "much"}}', "the grade 'much' is not an integer"),
        (f"{HEADER}\n", "judges none of the queries|no judgement can be read"),
    ],
)
def test_what_cannot_be_read_is_refused_by_all(tmp_path: Path, run_cli: Run, text: str, words: str) -> None:
    folder = eval_folder(tmp_path / "set", {"q1": "one"}, {})
    (folder / "qrels" / "test.tsv").write_text(text)
    out = write_embeddings(tmp_path / "out", [Item("d1", "one", [1, 0])])
    vectors = write_query_vectors(tmp_path / "asked", {"q1": [1, 0]})
    for name in ("a", "b"):
        (tmp_path / f"{name}.trec").write_text("q1 Q0 d1 1 2.5 x\n")
    commands = (
        ["evalset", "check", folder],
        ["bench", out, "-e", folder, "--query-vectors", vectors, "--no-store", "-q"],
        ["compare", tmp_path / "a.trec", tmp_path / "b.trec", "--qrels", folder, "--no-store"],
    )
    for command in commands:
        ran = run_cli(command)
        assert ran.code == 5, command
        assert any(part in ran.err for part in words.split("|")), ran.err
        assert str(folder / "qrels" / "test.tsv") in ran.err
