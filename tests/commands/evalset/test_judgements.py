"""Judgements of people come into the qrels, and none is lost."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from eval_folders import HEADER, IN_ONE_PIECE, LAYOUTS, eval_folder
from hypothesis import given
from hypothesis import strategies as st

from qembed.commands.evalset import judgements
from qembed.commands.evalset.judgement_file import read_judgements
from qembed.commands.evalset.judgements import merge_judgements
from qembed.errors import InputNotFound, Mismatch, QembedError, UsageError
from qembed.evaluation.eval_sets.beir import read_qrels
from qembed.evaluation.eval_sets.columns import layout_of
from qembed.evaluation.eval_sets.eval_set import load_eval_set

QUERIES = {"q1": "one", "q2": "two"}
FULL = f"{HEADER}\tjudge\tjudged-at"
WHEN = "2026-11-25T10:00:00Z"


@pytest.fixture
def eval_set(tmp_path: Path) -> Path:
    return eval_folder(tmp_path / "set", QUERIES, {"test": ["q1 a 2", "q1 b 0", "q2 c 1"]})


def exported(folder: Path, *rows: str, name: str = "qrels.tsv", judge: str = "Anna") -> Path:
    """``q1 a 2`` becomes a row with who and when."""
    path = folder / name
    lines = ["\t".join([*row.split(" "), judge, WHEN]) for row in rows]
    path.write_text("\n".join([FULL, *lines, ""]), encoding="utf-8")
    return path


def log(eval_set: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (eval_set / "judgements.jsonl").read_text().splitlines()]


def test_new_grades_are_added_behind_the_rows_that_are_there(eval_set: Path, tmp_path: Path) -> None:
    before = (eval_set / "qrels" / "test.tsv").read_text()
    done = merge_judgements(eval_set, [exported(tmp_path, "q1 c 1", "q2 a 0")])
    assert (eval_set / "qrels" / "test.tsv").read_text() == f"{before}q1\tc\t1\nq2\ta\t0\n"
    assert (done.count("added"), done.judgements) == (2, 5)
    assert load_eval_set(eval_set).qrels["q2"] == {"c": 1, "a": 0}


def test_merges_at_once_lose_no_grade(eval_set: Path, tmp_path: Path) -> None:
    files = [exported(tmp_path, f"q1 item{at} 1", name=f"{at}.tsv") for at in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda file: merge_judgements(eval_set, [file]), files))
    assert {f"item{at}" for at in range(16)} <= load_eval_set(eval_set).qrels["q1"].keys()
    assert len(log(eval_set)) == 16


@pytest.mark.parametrize("line", ["{", "[]", "7", '{"query_id": "q1"}'])
def test_a_broken_log_is_named_and_nothing_is_merged(eval_set: Path, tmp_path: Path, line: str) -> None:
    (eval_set / "judgements.jsonl").write_text(f"{line}\n")
    before = (eval_set / "qrels" / "test.tsv").read_bytes()
    with pytest.raises(Mismatch, match="a line of the log is no judgement") as caught:
        merge_judgements(eval_set, [exported(tmp_path, "q1 c 1")])
    assert caught.value.where == f"{eval_set / 'judgements.jsonl'}, line 1"
    assert (eval_set / "qrels" / "test.tsv").read_bytes() == before


def test_who_and_when_are_kept(eval_set: Path, tmp_path: Path) -> None:
    merge_judgements(eval_set, [exported(tmp_path, "q1 c 1")])
    (entry,) = log(eval_set)
    assert entry.pop("merged_at")
    assert entry == {
        "query_id": "q1",
        "item_id": "c",
        "grade": 1,
        "judge": "Anna",
        "judged_at": WHEN,
        "file": "qrels.tsv",
        "line": 2,
        "comment": "",
        "need": "",
        "outcome": "added",
        "grade_before": None,
        "qrels": "test.tsv",
    }


def test_a_conflict_keeps_the_grade_and_both_are_in_the_log(eval_set: Path, tmp_path: Path) -> None:
    before = (eval_set / "qrels" / "test.tsv").read_bytes()
    done = merge_judgements(eval_set, [exported(tmp_path, "q1 a 0", "q1 b 0")])
    assert [(entry.outcome, entry.before) for entry in done.merged] == [("kept", 2), ("same", 0)]
    assert (eval_set / "qrels" / "test.tsv").read_bytes() == before
    assert [(entry["grade"], entry["grade_before"], entry["outcome"]) for entry in log(eval_set)] == [
        (0, 2, "kept"),
        (0, 0, "same"),
    ]


def test_a_grade_is_replaced_when_that_is_asked_for(eval_set: Path, tmp_path: Path) -> None:
    done = merge_judgements(eval_set, [exported(tmp_path, "q1 b 2")], on_conflict="replace")
    assert done.count("replaced") == 1
    assert (eval_set / "qrels" / "test.tsv").read_text() == f"{HEADER}\nq1\ta\t2\nq1\tb\t2\nq2\tc\t1\n"
    assert log(eval_set)[0]["grade_before"] == 0


def test_two_judges_who_disagree_are_a_conflict(eval_set: Path, tmp_path: Path) -> None:
    files = [
        exported(tmp_path, "q1 z 1", name="anna.tsv"),
        exported(tmp_path, "q1 z 2", name="ben.tsv", judge="Ben"),
    ]
    done = merge_judgements(eval_set, files)
    assert [entry.outcome for entry in done.merged] == ["added", "kept"]
    assert done.conflicts[0].judgement.judge == "Ben"
    assert load_eval_set(eval_set).qrels["q1"]["z"] == 1
    assert [entry["judge"] for entry in log(eval_set)] == ["Anna", "Ben"]


def test_merging_twice_changes_nothing(eval_set: Path, tmp_path: Path) -> None:
    path = exported(tmp_path, "q1 c 1", "q1 a 0")
    merge_judgements(eval_set, [path])
    files = [eval_set / "qrels" / "test.tsv", eval_set / "judgements.jsonl"]
    before = [file.read_bytes() for file in files]
    merge_judgements(eval_set, [path])
    assert [file.read_bytes() for file in files] == before


def test_a_dry_run_writes_nothing(eval_set: Path, tmp_path: Path) -> None:
    before = (eval_set / "qrels" / "test.tsv").read_bytes()
    done = merge_judgements(eval_set, [exported(tmp_path, "q1 c 1")], dry_run=True)
    assert done.judgements == 4
    assert (eval_set / "qrels" / "test.tsv").read_bytes() == before
    assert not done.log.exists()


def test_files_of_trec_stay_files_of_trec(tmp_path: Path) -> None:
    folder = eval_folder(tmp_path / "set", QUERIES, {})
    path = folder / "qrels" / "test.txt"
    path.write_text("q1 0 a -1\nq2  Q0  c 1\n")
    merge_judgements(folder, [exported(tmp_path, "q2 c 2", "q1 b 1")], on_conflict="replace")
    assert path.read_text() == "q1 0 a -1\nq2  Q0  c 2\nq1\t0\tb\t1\n"
    assert read_qrels(path) == {"q1": {"a": -1, "b": 1}, "q2": {"c": 2}}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=list(LAYOUTS))
def test_every_layout_of_qrels_keeps_its_form(eval_set: Path, tmp_path: Path, text: str) -> None:
    path = eval_set / "qrels" / "test.tsv"
    path.write_text(text)
    new = exported(tmp_path, "q1 d1 2", "q2 a,b 3")
    merge_judgements(eval_set, [new], on_conflict="replace")
    assert read_qrels(path) == {"q1": {"d1": 2, "d2": 0}, "q2": {"d3": 2, "a,b": 3}}
    before, after = text.splitlines(), path.read_text().splitlines()
    assert len(after) == len(before) + 1
    assert set(before) - set(after) <= {before[0 if before[0].startswith(("q1", "{")) else 1]}
    assert (after[0][0] == "{") == (before[0][0] == "{")
    assert before[0][0] == "{" or layout_of(after[0]) == layout_of(before[0])


@pytest.mark.parametrize("text", IN_ONE_PIECE.values(), ids=list(IN_ONE_PIECE))
def test_json_in_one_piece_takes_no_line(eval_set: Path, tmp_path: Path, text: str) -> None:
    path = eval_set / "qrels" / "test.tsv"
    path.write_text(text)
    with pytest.raises(UsageError, match="JSON in one piece") as caught:
        merge_judgements(eval_set, [exported(tmp_path, "q1 d9 2")])
    assert "evalset convert" in (caught.value.remedy or "")
    assert path.read_text() == text


def test_three_columns_and_a_judge_who_is_named(eval_set: Path, tmp_path: Path) -> None:
    path = tmp_path / "plain.tsv"
    path.write_text(f"{HEADER}\nq1\tc\t1\n")
    os.utime(path, (0, 0))
    (found,) = read_judgements(path, judge="Cleo")
    assert (found.judge, found.judged_at) == ("Cleo", "1970-01-01T00:00:00+00:00")
    assert read_judgements(path)[0].judge == "unknown"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q1\tc\n", "line 2"),
        ("q1\tc\thigh\n", "'high' is not a whole number"),
        (f"q1\tc\t{10**30}\n", "is not a whole number"),
        ("q1\tc\t-1\n", "'-1' is not a whole number"),
        ("q1\t\t1\n", "columns"),
        ("q9\tc\t1\n", "no query 'q9'"),
    ],
)
def test_nothing_is_merged_of_a_file_with_a_wrong_line(
    eval_set: Path, tmp_path: Path, text: str, said: str
) -> None:
    good, bad = exported(tmp_path, "q1 c 1", name="good.tsv"), tmp_path / "bad.tsv"
    bad.write_text(f"{HEADER}\n{text}")
    before = (eval_set / "qrels" / "test.tsv").read_bytes()
    with pytest.raises(Mismatch, match=said):
        merge_judgements(eval_set, [good, bad])
    assert (eval_set / "qrels" / "test.tsv").read_bytes() == before
    assert not (eval_set / "judgements.jsonl").exists()


def test_nothing_to_merge(eval_set: Path, tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="no judgement in the file"):
        merge_judgements(eval_set, [exported(tmp_path)])
    with pytest.raises(InputNotFound, match="does not exist"):
        merge_judgements(eval_set, [tmp_path / "absent.tsv"])


def test_after_a_crash_between_log_and_qrels_the_same_command_completes_it(
    eval_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exported(tmp_path, "q1 c 1")

    def full(*_: Any) -> None:
        raise QembedError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(judgements, "_write_qrels", full)
        with pytest.raises(QembedError):
            merge_judgements(eval_set, [path])
    assert len(log(eval_set)) == 1
    merge_judgements(eval_set, [path])
    assert load_eval_set(eval_set).qrels["q1"]["c"] == 1
    assert len(log(eval_set)) == 1


PAIRS = st.dictionaries(
    st.tuples(st.sampled_from(["q1", "q2"]), st.sampled_from("abcdef")), st.integers(0, 3), min_size=1
)


@given(there=PAIRS, given_=PAIRS, on_conflict=st.sampled_from(["keep", "replace"]))
def test_every_grade_is_in_the_qrels_or_in_the_log(
    tmp_path_factory: pytest.TempPathFactory, there: Any, given_: Any, on_conflict: Any
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    rows = [f"{query} {item} {grade}" for (query, item), grade in there.items()]
    eval_set = eval_folder(folder / "set", QUERIES, {"test": rows})
    merge_judgements(
        eval_set,
        [exported(folder, *(f"{query} {item} {grade}" for (query, item), grade in given_.items()))],
        on_conflict=on_conflict,
    )
    qrels = read_qrels(eval_set / "qrels" / "test.tsv")
    flat = {(query, item): grade for query, grades in qrels.items() for item, grade in grades.items()}
    expected = {**given_, **there} if on_conflict == "keep" else {**there, **given_}
    assert flat == expected
    assert {(entry["query_id"], entry["item_id"]): entry["grade"] for entry in log(eval_set)} == given_
    replaced = {
        (e["query_id"], e["item_id"]): e["grade_before"]
        for e in log(eval_set)
        if e["grade_before"] is not None
    }
    assert all(there[pair] == grade for pair, grade in replaced.items())
    assert all(flat[pair] == grade or replaced[pair] == grade for pair, grade in there.items())


def test_comment_and_need_are_kept(eval_set: Path, tmp_path: Path) -> None:
    path = tmp_path / "full.tsv"
    lines = (
        "q1\tc\t1\tAnna\t2026-01-01T00:00:00Z\tonly half\tthe name of the page",
        "q1\td\t0\tAnna\t\tno\t",
    )
    path.write_text("\n".join([f"{FULL}\tcomment\tneed", *lines, ""]))
    merge_judgements(eval_set, [path])
    assert [(entry["comment"], entry["need"]) for entry in log(eval_set)] == [
        ("only half", "the name of the page"),
        ("no", ""),
    ]


def test_two_judges_and_how_conflicts_are_decided(eval_set: Path, tmp_path: Path, run_cli: Any) -> None:
    """Agreement is printed, conflicts are written to be decided, and the decision is merged."""
    pairs = {"anna": "q1 x 1,q1 y 0,q1 z 2,q2 x 1", "ben": "q1 x 1,q1 y 0,q1 z 0,q2 y 1"}
    files = [
        exported(tmp_path, *rows.split(","), name=f"{judge}.tsv", judge=judge)
        for judge, rows in pairs.items()
    ]
    decide = tmp_path / "decide.tsv"
    ran = run_cli(["evalset", "merge-judgements", eval_set, *files, "--conflicts", decide])
    assert ran.code == 3
    assert "anna and ben: 3 items graded by both, 67% alike, Cohen's kappa 0.50 (" in ran.out
    header, row = decide.read_text().splitlines()
    assert row.split("\t") == ["q1", "z", "", "", "", "there: 2; ben: 0", ""]
    decide.write_text(f"{header}\n" + row.replace("z\t", "z\t1", 1) + "\n")
    done = run_cli(
        ["evalset", "merge-judgements", eval_set, decide, "--on-conflict", "replace", "--judge", "Eva"]
    )
    assert done.code == 0, done.err
    assert "q1\tz\t1" in (eval_set / "qrels" / "test.tsv").read_text()
    assert log(eval_set)[-1]["judge"] == "Eva"
