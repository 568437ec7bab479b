"""Judgements for runs: a file that lies anywhere, an eval set, or a file in one."""

from __future__ import annotations

from pathlib import Path

import pytest
from eval_folders import HEADER, eval_folder

from qembed.errors import InputNotFound, Mismatch
from qembed.evaluation.eval_sets.bundled import bundled_eval_sets
from qembed.evaluation.eval_sets.eval_set import load_eval_set
from qembed.evaluation.eval_sets.judgements import load_judgements

CARD = 'name = "mine"\nlevel = "page"\nsplit = "dev"\n'


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    splits = {"dev": ["q1 a 1", "q1 b -1"], "test": ["q2 a 2", "q9 c 1"]}
    return eval_folder(tmp_path / "set", {"q1": "one", "q2": "two"}, splits, card=CARD, corpus={"a": "A"})


def test_an_eval_set_is_read_as_everywhere(judged: Path) -> None:
    found, whole = load_judgements(judged), load_eval_set(judged)
    assert (found.qrels, found.card, found.groups) == (whole.qrels, whole.card, whole.groups)
    assert (found.level, found.corpus) == ("page", judged / "corpus.jsonl")
    assert found.queries == {"q1": "one"}


def test_a_file_in_an_eval_set_is_that_split(judged: Path) -> None:
    found = load_judgements(judged / "qrels" / "test.tsv")
    assert (found.folder, found.card.name, found.card.split) == (judged, "mine", "test")
    assert found.qrels == {"q2": {"a": 2}, "q9": {"c": 1}}, "a run needs no text of a query"
    assert found.queries == {"q2": "two"}


def test_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "production.qrels.tsv"
    path.write_text(f"{HEADER}\nq1\ta\t1\n")
    found = load_judgements(path)
    assert (found.folder, found.card.name, found.level) == (None, "production", "item")
    assert (found.queries, found.corpus, found.groups, found.authors.models) == ({}, None, {}, {})


def test_a_bundled_one() -> None:
    assert load_judgements("handbook").folder == bundled_eval_sets()["handbook"]


def test_texts_of_queries_in_another_file(tmp_path: Path) -> None:
    path = tmp_path / "qrels.txt"
    path.write_text("q1 0 a 1\nq2 0 a 1\n")
    (tmp_path / "queries.tsv").write_text("q1\thow?\nq2\twhy?\nq3\twho?\n")
    assert load_judgements(path, tmp_path / "queries.tsv").queries == {"q1": "how?", "q2": "why?"}
    (tmp_path / "others.txt").write_text("how?\n")
    with pytest.raises(Mismatch, match="none of the queries is judged"):
        load_judgements(path, tmp_path / "others.txt")


def test_what_cannot_be_read(tmp_path: Path, judged: Path) -> None:
    with pytest.raises(InputNotFound, match="there are no judgements"):
        load_judgements(tmp_path / "absent.tsv")
    with pytest.raises(InputNotFound, match="no queries"):
        load_judgements(judged / "qrels")
    for text in ("", f"{HEADER}\n"):
        (tmp_path / "empty.tsv").write_text(text)
        with pytest.raises(Mismatch, match="no judgement can be read"):
            load_judgements(tmp_path / "empty.tsv")
