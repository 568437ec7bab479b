"""Questions in the files that people keep them in."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qembed.errors import InputNotFound, Mismatch, UsageError
from qembed.evaluation.eval_sets.questions import made_id, read_questions
from qembed.records import Finding

A, B = "how do I delete points?", "what is HNSW, and why?"
MADE = {made_id(A): A, made_id(B): B}
OWN = {"1": A, "b": B}

FILES = {
    "text": ("q.txt", f"{A}\n\n  {B}  \r\n", MADE),
    "text with commas and no suffix": ("questions", f"{A}\n{B}\n", MADE),
    "one column": ("q.csv", f'query\n{A}\n"{B}"\n', MADE),
    "one column without a name": ("q.csv", f'{A}\n"{B}"\n', MADE),
    "ids and questions": ("q.csv", f'id,Question\n1,{A}\nb,"{B}"\n', OWN),
    "more columns": ("q.csv", f'Topic,question,_id\nx,{A},1\ny,"{B}",b\n', OWN),
    "tabs": ("q.tsv", f"query_id\ttext\n1\t{A}\nb\t{B}\n", OWN),
    "tabs without names": ("q.txt", f"1\t{A}\nb\t{B}\n", OWN),
    "json lines": ("q.jsonl", f'{{"_id": 1, "text": "{A}"}}\n{{"_id": "b", "text": "{B}"}}\n', OWN),
    "json lines of strings": ("q.jsonl", f'"{A}"\n"{B}"\n', MADE),
    "json lines under another key": ("q.jsonl", f'{{"question": "{A}"}}\n{{"query": "{B}"}}\n', MADE),
    "a list of strings": ("q.json", f'[\n "{A}",\n "{B}"]', MADE),
    "a list of objects": ("q.json", f'[{{"qid": "1", "query": "{A}"}}, {{"id": "b", "query": "{B}"}}]', OWN),
    "byte order mark": ("q.txt", f"\ufeff{A}\n{B}\n", MADE),
}


@pytest.mark.parametrize(
    "text", ['"No space left" error?', "[urgent] how?", "{} or dict()?", "{a, b} as a set?"]
)
def test_a_question_may_begin_as_json_does(tmp_path: Path, text: str) -> None:
    (tmp_path / "q.txt").write_text(f"{text}\nand why?\n")
    assert list(read_questions(tmp_path / "q.txt").values()) == [text, "and why?"]


@pytest.mark.parametrize(("name", "text", "expected"), FILES.values(), ids=list(FILES))
def test_every_form(tmp_path: Path, name: str, text: str, expected: dict[str, str]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert list(read_questions(tmp_path / name).items()) == list(expected.items())


def test_a_made_id_does_not_depend_on_the_place(tmp_path: Path) -> None:
    path = tmp_path / "q.txt"
    path.write_text(f"{A}\n")
    before = read_questions(path)
    path.write_text(f"{B}\n{A}\n")
    assert before.items() <= read_questions(path).items()


def test_a_field_over_two_lines_keeps_its_line(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text('query\n"one\ntwo"\n""\n')
    found: list[Finding] = []
    assert list(read_questions(path, found.append).values()) == ["one\ntwo"]
    assert [(one.kind, one.place.line) for one in found] == [("bad-query", 4)]


@pytest.mark.parametrize(
    ("name", "text", "kind", "line", "words"),
    [
        (
            "q.jsonl",
            '"a"\n{"x": 1}\n',
            "bad-query",
            2,
            "the keys are x; expected one of query, question, text",
        ),
        ("q.jsonl", '"a"\n{"query": "b"\n', "not-json", 2, "invalid JSON"),
        ("q.jsonl", '"a"\n{"query": "b", "id": [1]}\n', "bad-query", 2, "neither a string nor an integer"),
        ("q.json", '["a",\n 7]', "bad-query", 1, "not int"),
        ("q.txt", f"{A}\n{A}\n", "duplicate-query", 2, "as in line 1"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, name: str, text: str, kind: str, line: int, words: str
) -> None:
    (tmp_path / name).write_text(text)
    found: list[Finding] = []
    assert len(read_questions(tmp_path / name, found.append)) == 1
    assert [(one.kind, one.place.line) for one in found] == [(kind, line)]
    assert words in found[0].reason


@pytest.mark.parametrize(
    ("name", "text", "error", "words"),
    [
        ("q.txt", "\n \n", UsageError, "no question"),
        ("q.csv", "query\n", UsageError, "no question"),
        ("q.json", "[1,", Mismatch, "invalid JSON"),
        ("q.csv", "a,b,c\n1,2,3\n", Mismatch, "the first line has a, b, c"),
        ("q.tsv", "1\tone\n1\tother\n", Mismatch, "two questions have the id '1'"),
    ],
)
def test_what_has_no_questions_is_refused(
    tmp_path: Path, name: str, text: str, error: type[Exception], words: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(error, match=words):
        read_questions(tmp_path / name)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        read_questions(tmp_path / "absent.txt")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(min_size=1).filter(lambda text: text == text.strip()), min_size=1, unique=True))
def test_a_json_list_reads_back(tmp_path: Path, texts: list[str]) -> None:
    (tmp_path / "q.json").write_bytes(orjson.dumps(texts))
    assert list(read_questions(tmp_path / "q.json").values()) == texts
