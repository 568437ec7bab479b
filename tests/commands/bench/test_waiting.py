"""A set that is partly judged: the others are in no number, are said, and can be judged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_folders import FakeReranker, Made, library, oracle

from qembed.commands.bench import bench as module
from qembed.commands.bench.bench import bench
from qembed.commands.bench.store import as_document, store_bench
from qembed.evaluation.eval_sets.eval_set import load_eval_set, waiting
from qembed.report.stored import read_bench

Run = Callable[..., Any]
JUDGED = 12


def qrels_of(made: Made, first: int, last: int) -> str:
    """The rows of queries ``first`` to ``last``."""
    head, *rows = (made.eval_set / "qrels" / "test.tsv").read_text().splitlines()
    return "\n".join([head, *(row for row in rows if first <= int(row[1:3]) < last), ""])


@pytest.fixture(autouse=True)
def rerankers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_reranker", lambda spec, *, options: FakeReranker(spec, oracle))


@pytest.fixture
def partly(tmp_path: Path) -> Made:
    """Twelve of twenty queries are judged."""
    made = library(tmp_path / "library")
    (made.eval_set / "qrels" / "test.tsv").write_text(qrels_of(made, 0, JUDGED))
    return made


@pytest.fixture
def only(tmp_path: Path) -> Made:
    """The same without the other eight."""
    made = library(tmp_path / "only")
    (made.eval_set / "qrels" / "test.tsv").write_text(qrels_of(made, 0, JUDGED))
    queries = (made.eval_set / "queries.jsonl").read_text().splitlines(keepends=True)
    (made.eval_set / "queries.jsonl").write_text("".join(queries[:JUDGED]))
    return made


def numbers(document: dict[str, Any]) -> dict[str, Any]:
    """All that is measured; not the work and not the provenance."""
    parts = ("name", "estimates", "comparisons", "pool")
    systems = [{key: system[key] for key in parts} for system in document["systems"]]
    kept = ("measures", "ceilings", "waterfalls", "frontiers", "answerability", "gates")
    return {"systems": systems, **{key: document[key] for key in kept}}


def test_the_others_are_in_no_number(partly: Made, only: Made, tmp_path: Path) -> None:
    options = {"rerankers": ("good",), "depths": (5, 20), "gates": ("nDCG@10>=0.1",), "baseline": None}
    results = [bench(made.embeddings, made.eval_set, made.options(**options)) for made in (partly, only)]
    documents = [json.loads(json.dumps(as_document(result), default=str)) for result in results]
    assert numbers(documents[0]) == numbers(documents[1])
    assert [document["eval_set"]["queries"] for document in documents] == [JUDGED, JUDGED]
    names = [f"q{at:02d}" for at in range(JUDGED, 20)]
    assert documents[0]["unjudged_queries"] == {"count": 8, "shown": names, "in_other_splits": 0}
    assert documents[1]["unjudged_queries"] == {"count": 0, "shown": [], "in_other_splits": 0}
    stored = [read_bench(store_bench(result, tmp_path / "reports")) for result in results]
    assert [line["query_id"] for line in stored[0].waiting] == names
    assert all(
        line["judged"] == {} and line["systems"]["vectors > good"]["hits"] for line in stored[0].waiting
    )
    assert [len(bench_.queries) for bench_ in stored] == [JUDGED, JUDGED]
    assert [bench_.values for bench_ in stored[:1]] == [stored[1].values]
    asked = {query for query, *_ in stored[0].unjudged}
    assert set(names) < asked
    assert not set(names) & {query for query, *_ in stored[1].unjudged}


def test_queries_of_another_split_are_not_asked(partly: Made) -> None:
    whole = library(partly.eval_set.parent.parent / "whole")
    (partly.eval_set / "qrels" / "dev.tsv").write_text(qrels_of(whole, JUDGED - 2, 17))
    found = waiting(load_eval_set(partly.eval_set))
    assert (list(found.queries), found.elsewhere) == (["q17", "q18", "q19"], 5)
    result = bench(partly.embeddings, partly.eval_set, partly.options())
    assert result.asked_along == ("q17", "q18", "q19")


def test_no_more_than_so_many_are_asked(partly: Made, monkeypatch: pytest.MonkeyPatch, run_cli: Run) -> None:
    monkeypatch.setattr(module, "MOST_ASKED_ALONG", 3)
    result = bench(partly.embeddings, partly.eval_set, partly.options())
    assert (len(result.waiting.queries), result.asked_along) == (8, ("q12", "q13", "q14"))


def test_the_terminal_says_it_and_what_to_do(partly: Made, tmp_path: Path, run_cli: Run) -> None:
    command = ["bench", partly.embeddings, "-e", partly.eval_set, "--query-vectors", partly.query_vectors]
    ran = run_cli([*command, "--latency-queries", "0", "-o", tmp_path / "reports", "-q"])
    assert ran.code == 0, ran.err
    words = " ".join(ran.out.split())
    assert "8 of 20 queries are not judged: they are in no number" in words
    assert f"qembed evalset merge-judgements {partly.eval_set} qrels.tsv" in re.sub(r"\s+", " ", ran.out)
    assert "So far vectors + bm25 against vectors: better on" in words
    as_csv = run_cli([*command, "--latency-queries", "0", "--no-store", "--csv", "-q"])
    assert "8 queries are not judged: they are in no number" in as_csv.err


def test_judging_goes_on_from_there(partly: Made, tmp_path: Path, run_cli: Run) -> None:
    whole = library(tmp_path / "whole")
    (tmp_path / "qrels.tsv").write_text(qrels_of(whole, JUDGED, 16))
    assert run_cli(["evalset", "merge-judgements", partly.eval_set, tmp_path / "qrels.tsv"]).code == 0
    result = bench(partly.embeddings, partly.eval_set, partly.options())
    assert (len(result.qrels), len(result.asked_along)) == (16, 4)
