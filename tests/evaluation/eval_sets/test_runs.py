"""Runs of other tools, written by those tools where they are installed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest
import ranx

from qembed.errors import InputNotFound, Mismatch, QembedError
from qembed.evaluation.eval_sets.beir import read_qrels
from qembed.evaluation.eval_sets.runs import read_run
from qembed.evaluation.eval_sets.trec import write_runs

RUN = {"q1": {"d1": 3.5, "d2": 1.25}, "q2": {"d3": -0.5}}
TREC = "q1 Q0 d1 1 3.5 x\nq1 Q0 d2 2 1.25 x\nq2 Q0 d3 1 -0.5 x\n"


def test_what_ranx_writes(tmp_path: Path) -> None:
    run = ranx.Run(RUN, name="x")
    for name in ("run.json", "run.trec"):
        run.save(str(tmp_path / name))
        assert read_run(tmp_path / name) == RUN


def test_what_qembed_writes(tmp_path: Path) -> None:
    write_runs(tmp_path, {"run.trec": ("two words", {"q 1": {"d 1": 2.0, "d2": 1.0}})}, {}, "qrels.txt")
    assert read_run(tmp_path / "run.trec") == {"q 1": {"d 1": 2.0, "d2": 1.0}}


@pytest.mark.parametrize("separator", [",", "\t"])
def test_a_table_of_ir_measures(tmp_path: Path, separator: str) -> None:
    rows = [(query, item, score) for query, scores in RUN.items() for item, score in scores.items()]
    frame = pd.DataFrame(rows, columns=["query_id", "doc_id", "score"])
    frame.to_csv(tmp_path / "run.csv", sep=separator, index=False)
    assert read_run(tmp_path / "run.csv") == RUN


def test_json_lines(tmp_path: Path) -> None:
    lines = (
        f'{{"query_id": "{query}", "doc_id": "{item}", "score": {score}}}\n'
        for query, scores in RUN.items()
        for item, score in scores.items()
    )
    (tmp_path / "run.jsonl").write_text("".join(lines))
    assert read_run(tmp_path / "run.jsonl") == RUN


def test_a_list_of_json(tmp_path: Path) -> None:
    rows = [
        {"query_id": query, "doc_id": item, "score": score}
        for query, scores in RUN.items()
        for item, score in scores.items()
    ]
    (tmp_path / "run.json").write_text(json.dumps(rows, indent=1))
    assert read_run(tmp_path / "run.json") == RUN


def test_runs_of_other_tools_are_read_by_score(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("1 Q0 a 1 3.5 bm25\n1 Q0 b 2 9 bm25\n2  Q0 a 1\t-1e3 bm25\n")
    assert read_run(tmp_path / "r") == {"1": {"a": 3.5, "b": 9.0}, "2": {"a": -1000.0}}


@pytest.mark.parametrize("name", ["[q1]", "{", "{}", '{"', '{"a"', "[", "[]", "[{", '[{"a"'])
def test_an_id_that_begins_with_a_bracket_is_no_json(tmp_path: Path, name: str) -> None:
    (tmp_path / "r").write_text(f"{name} Q0 [d1] 1 3.5 x\n")
    assert read_run(tmp_path / "r") == {name: {"[d1]": 3.5}}
    (tmp_path / "q").write_text(f"{name} 0 [d1] 1\n")
    assert read_qrels(tmp_path / "q") == {name: {"[d1]": 1}}


def test_tabs_keep_blanks_in_ids(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("q 1\tQ0\td 1\t1\t3.5\tx\nq2\tQ0\td2\t1\t3.5\tx\n")
    assert read_run(tmp_path / "r") == {"q 1": {"d 1": 3.5}, "q2": {"d2": 3.5}}


def test_a_run_without_a_result_is_empty(tmp_path: Path) -> None:
    (tmp_path / "r").touch()
    assert read_run(tmp_path / "r") == {}


def test_packed(tmp_path: Path) -> None:
    (tmp_path / "run.trec.gz").write_bytes(gzip.compress(TREC.encode()))
    assert read_run(tmp_path / "run.trec.gz") == RUN
    (tmp_path / "run.trec.gz").write_bytes(gzip.compress(TREC.encode())[:-9])
    with pytest.raises(QembedError, match="cannot unpack"):
        read_run(tmp_path / "run.trec.gz")


@pytest.mark.parametrize(
    ("name", "text", "words", "where"),
    [
        ("run.lz4", "x", "are not read", None),
        ("run.pkl", "x", "are not read", None),
        ("run.csv", "query_id,doc_id,score\nq1,,1\n", "an id is empty", "line 2"),
        ("run.trec", TREC + "q2 Q0 d4 2 high x\n", "not a finite number", "line 4"),
        ("run.trec", "q1 0 d1 1\n", "4 columns", "line 1"),
        ("run.trec", TREC + "q2 Q0 d4 2 nan x\n", "not a finite number", "line 4"),
        ("run.trec", TREC + "q2 Q0 d4 2 inf x\n", "not a finite number", "line 4"),
        ("run.trec", TREC + "q2 Q0 d3 2 -0.75 x\n", "twice", "line 4"),
        ("run.trec", TREC + "q2 Q0 d4 2 x\n", "5 columns", "line 4"),
        ("run.csv", "query_id,doc_id,score\nq1,d1\n", "2 columns", "line 2"),
        ("run.jsonl", '{"query_id": "q", "doc_id": "d", "score": 1}\n{"a": 1}\n', "the keys a", "line 2"),
        ("run.json", '{"q1": {"d1": null}}', "not a finite number", "line 1"),
    ],
)
def test_what_is_no_run_is_refused(
    tmp_path: Path, name: str, text: str, words: str, where: str | None
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Mismatch, match=words) as caught:
        read_run(tmp_path / name)
    assert caught.value.where == (f"{tmp_path / name}, {where}" if where else str(tmp_path / name))
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["run.trec", "run.trec.gz"])
def test_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputNotFound):
        read_run(tmp_path / name)
