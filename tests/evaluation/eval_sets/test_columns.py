"""Layouts of judgements as tools write them: read as meant, or refused with the line and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from eval_folders import IN_ONE_PIECE, LAYOUTS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qembed.errors import Mismatch
from qembed.evaluation.eval_sets.beir import check_ids, read_qrels
from qembed.evaluation.eval_sets.columns import layout_of
from qembed.evaluation.eval_sets.eval_set import load_eval_set
from qembed.records import Finding

READ = {"q1": {"d1": 1, "d2": 0}, "q2": {"d3": 2}}


@pytest.mark.parametrize("text", [*LAYOUTS.values(), *IN_ONE_PIECE.values()], ids=[*LAYOUTS, *IN_ONE_PIECE])
def test_a_layout_is_read_as_it_is_meant(tmp_path: Path, text: str) -> None:
    path = tmp_path / "qrels"
    path.write_text(text, encoding="utf-8")
    assert read_qrels(path) == READ


def test_quotes_are_part_of_an_id_unless_the_whole_line_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "qrels"
    path.write_text('query-id\tcorpus-id\tscore\nq1\t"a" and "b"\t1\n"q2"\t"c"\t1\n')
    assert read_qrels(path) == {"q1": {'"a" and "b"': 1}, '"q2"': {'"c"': 1}}


def test_a_comma_in_an_id(tmp_path: Path) -> None:
    path = tmp_path / "qrels"
    path.write_text('query-id,corpus-id,score\nq1,"a, b",1\n')
    assert read_qrels(path) == {"q1": {"a, b": 1}}


@pytest.mark.parametrize(
    ("text", "kind", "line", "words"),
    [
        ("a,b\n", "bad-row", 1, "expected 3 (BEIR) or 4 (TREC)"),
        ("frage\ttext\twertung\nq1\td1\t1\n", "bad-grade", 1, "a header has query-id, corpus-id, score"),
        ("query-id,corpus-id,score\nq1,d1\n", "bad-row", 2, "2 columns; expected"),
        ('{"query-id": "q1", "score": 1}\n', "bad-row", 1, "the keys query-id, score; expected"),
        ('{"query-id": "q1"\n', "bad-row", 1, "invalid JSON"),
        ('{"query-id": "q1", "corpus-id": "d", "score": 1}\n[1]\n', "bad-row", 2, "no JSON object"),
        ('{"query-id": "q1", "corpus-id": "d", "score": "much"}\n', "bad-grade", 1, "'much'"),
        ('{"query-id": "q1", "corpus-id": " ", "score": 1}\n', "bad-row", 1, "an id is empty"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, kind: str, line: int, words: str) -> None:
    path = tmp_path / "qrels"
    path.write_text(text)
    found: list[Finding] = []
    read_qrels(path, found.append)
    assert [(one.kind, one.place.line) for one in found if one.kind != "no-header"][:1] == [(kind, line)]
    assert words in next(one.reason for one in found if one.kind == kind)
    with pytest.raises(Mismatch):
        read_qrels(path)


@pytest.mark.parametrize("name", ["test.tsv", "test.txt", "test.csv", "test.jsonl", "test.json"])
def test_every_suffix_is_a_split(tmp_path: Path, name: str) -> None:
    (tmp_path / "qrels").mkdir()
    written = {".csv": LAYOUTS["commas"], ".jsonl": LAYOUTS["json lines"], ".json": IN_ONE_PIECE["ranx"]}
    text = written.get(Path(name).suffix, LAYOUTS["beir"])
    (tmp_path / "qrels" / name).write_text(text)
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "a"}\n{"_id": "q2", "text": "b"}\n')
    assert load_eval_set(tmp_path).qrels == READ


@pytest.mark.parametrize("name", [" a", "a ", "\u00a0a"])
def test_blanks_around_an_id_are_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(Exception, match="blanks around"):
        check_ids({name: 1}, "beir", tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_any_first_line_has_a_layout_or_none(line: str) -> None:
    found = layout_of(line)
    assert found is None or max(found.places) < found.width
