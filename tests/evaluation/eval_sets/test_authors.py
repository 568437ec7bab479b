"""Who gave each grade: replayed from the log, whatever the order of merging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from eval_folders import eval_folder

from qembed.commands.evalset.evalset import convert_eval_set
from qembed.commands.evalset.judgement_file import judgement_line
from qembed.commands.evalset.judgements import merge_judgements
from qembed.errors import Mismatch
from qembed.evaluation.eval_sets.authors import authors_of, judged_by_words, read_log
from qembed.evaluation.eval_sets.beir import read_qrels
from qembed.evaluation.eval_sets.eval_set import EvalSet, load_eval_set

QUERIES = {"q1": "one", "q2": "two"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return eval_folder(tmp_path / "set", QUERIES, {"test": ["q1 a 2", "q1 b 0"]})


def merged(folder: Path, judge: str, *rows: str, **how: Any) -> EvalSet:
    """``q1 c 1`` given by a judge, merged; the eval set then."""
    path = folder.parent / f"{judge.replace(':', '-')}-{len(rows)}.tsv"
    lines = [judgement_line(*row.split(" "), judge, "2026-11-28T10:00:00Z") for row in rows]  # type: ignore[arg-type]
    path.write_text("\n".join([*lines, ""]))
    merge_judgements(folder, [path], **how)
    return load_eval_set(folder)


def test_what_the_log_does_not_know_is_peoples(folder: Path) -> None:
    found = load_eval_set(folder).authors
    assert (found.models, found.people, found.graded) == ({}, {"q1": {"a": 2, "b": 0}}, {})


def test_unless_the_card_says_that_a_model_judged(tmp_path: Path) -> None:
    card = 'name = "x"\njudged_by = "a language model"\n'
    folder = eval_folder(tmp_path / "set", QUERIES, {"test": ["q1 a 2"]}, card=card)
    assert load_eval_set(folder).authors.by_model() == {"a language model": 1}
    found = merged(folder, "Anna", "q1 a 2", "q2 b 1")
    assert found.authors.by_model() == {}, "a person confirms it"
    assert found.authors.people == {"q1": {"a": 2}, "q2": {"b": 1}}
    assert found.card.judged_by == "a language model", "no model merged: the card stays"


@pytest.mark.parametrize("first", ["people", "model"])
def test_people_outrank_models_in_either_order(folder: Path, first: str) -> None:
    model = ["q1 c 1", "q1 d 0", "q2 f 2", "q1 a 1"]
    steps = [("Anna", ["q1 c 1", "q1 d 2", "q2 e 0"]), ("model:tiny", model)]
    for judge, rows in steps if first == "people" else reversed(steps):
        found = merged(folder, judge, *rows)
    assert found.qrels == {"q1": {"a": 2, "b": 0, "c": 1, "d": 2}, "q2": {"e": 0, "f": 2}}
    authors = found.authors
    assert authors.models == {("q2", "f"): "tiny"}
    assert authors.people == {"q1": {"a": 2, "b": 0, "c": 1, "d": 2}, "q2": {"e": 0}}
    assert sorted(authors.on_both("tiny")) == [(1, 1), (2, 0), (2, 1)]
    assert found.card.judged_by == "people and a language model (tiny)"
    outcomes = {(e["judge"], e["item_id"]): e["outcome"] for e in read_log(folder)}
    wanted = "outranked" if first == "people" else "added"
    assert outcomes["model:tiny", "d"] == wanted
    assert outcomes["Anna", "d"] == ("added" if first == "people" else "replaced")


def test_not_even_with_replace_does_a_model_overrule_people(folder: Path) -> None:
    found = merged(folder, "model:tiny", "q1 a 0", on_conflict="replace")
    assert found.qrels["q1"]["a"] == 2
    assert merged(folder, "Anna", "q1 a 1", on_conflict="replace").qrels["q1"]["a"] == 1


def test_of_two_models_the_first_holds_unless_asked(folder: Path) -> None:
    merged(folder, "model:one", "q2 e 1")
    assert merged(folder, "model:two", "q2 e 2").authors.by_model() == {"one": 1}
    found = merged(folder, "model:two", "q2 e 2", "q2 f 1", on_conflict="replace")
    assert found.authors.by_model() == {"two": 2}
    assert found.card.judged_by == "people and a language model (one, two)"


def test_only_what_is_left_to_decide_is_a_conflict(folder: Path, run_cli: Any, tmp_path: Path) -> None:
    """A model that differs from people is counted, and is no conflict: exit code 0."""
    (tmp_path / "m.tsv").write_text(judgement_line("q1", "a", 0, "model:tiny", "2026-11-28") + "\n")
    ran = run_cli(["evalset", "merge-judgements", folder, tmp_path / "m.tsv"])
    assert ran.code == 0, ran.out
    assert "1 grade of a model differs from a person's, which holds" in " ".join(ran.out.split())
    (tmp_path / "p.tsv").write_text(judgement_line("q1", "a", 0, "Ben", "2026-11-28") + "\n")
    assert run_cli(["evalset", "merge-judgements", folder, tmp_path / "p.tsv"]).code == 3


def test_a_grade_that_was_changed_by_hand_is_peoples(folder: Path) -> None:
    merged(folder, "model:tiny", "q2 e 1")
    path = folder / "qrels" / "test.tsv"
    path.write_text(path.read_text().replace("q2\te\t1", "q2\te\t2"))
    found = load_eval_set(folder).authors
    assert (found.by_model(), found.people["q2"]) == ({}, {"e": 2})


def test_each_split_has_its_own(folder: Path) -> None:
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq2\te\t1\n")
    merged(folder, "model:tiny", "q2 e 1")
    assert load_eval_set(folder).authors.by_model() == {"tiny": 1}
    assert load_eval_set(folder, split="dev").authors.people == {"q2": {"e": 1}}


def test_with_the_log_gone_nobody_takes_a_models_grades_for_peoples(folder: Path) -> None:
    merged(folder, "model:tiny", "q2 e 1")
    (folder / "judgements.jsonl").unlink()
    found = load_eval_set(folder)
    assert found.authors.by_model() == {"people and a language model (tiny)": 3}
    assert found.authors.people == {}


def test_a_broken_log_stops(folder: Path) -> None:
    (folder / "judgements.jsonl").write_text('{"query_id": "q1"}\n')
    with pytest.raises(Mismatch, match="no judgement"):
        load_eval_set(folder)


def test_readers_of_beir_see_three_columns(folder: Path) -> None:
    merged(folder, "model:tiny", "q2 e 1")
    lines = (folder / "qrels" / "test.tsv").read_text().splitlines()
    assert lines[0] == "query-id\tcorpus-id\tscore"
    assert all(line.count("\t") == 2 for line in lines)
    assert read_qrels(folder / "qrels" / "test.tsv")["q2"] == {"e": 1}


def test_a_grade_from_before_the_rule_is_found_in_the_log() -> None:
    """Logs of earlier versions: a person's grade that was not taken still counts as theirs."""
    base = {"query_id": "q", "item_id": "a", "judged_at": "", "qrels": "test.tsv"}
    log = [
        {**base, "grade": 2, "judge": "model:tiny", "outcome": "added"},
        {**base, "grade": 0, "judge": "Anna", "outcome": "kept"},
    ]
    found = authors_of({"q": {"a": 2}}, log, "test", "")
    assert (found.models, found.people) == ({("q", "a"): "tiny"}, {"q": {"a": 0}})
    assert found.on_both("tiny") == [(0, 2)]
    assert authors_of({"q": {"a": 2}}, log, "dev", "").people == {"q": {"a": 2}}
    assert orjson.dumps(judged_by_words(found, "two experts")) == b'"two experts and a language model (tiny)"'


def test_converted_sets_keep_their_authors(folder: Path, tmp_path: Path) -> None:
    before = merged(folder, "model:tiny", "q2 e 1", "q1 b 1").authors
    convert_eval_set(folder, tmp_path / "trec", to="trec")
    assert load_eval_set(tmp_path / "trec").authors == before
    assert before.models == {("q2", "e"): "tiny"}


def test_stats_count_them(folder: Path, run_cli: Any) -> None:
    assert "not by people" not in run_cli(["evalset", "stats", folder]).out
    merged(folder, "model:tiny", "q2 e 1")
    words = "1 of 3 grades are by a language model (tiny), not by people"
    assert words in " ".join(run_cli(["evalset", "stats", folder]).out.split())
    assert orjson.loads(run_cli(["evalset", "stats", folder, "--json"]).out)["grades_by_model"] == {"tiny": 1}
    assert "grades_by_models" in run_cli(["evalset", "stats", folder, "--csv"]).out
