"""What a check of an eval set finds, and where."""

from __future__ import annotations

import re
from pathlib import Path

from eval_folders import eval_folder

from qembed.evaluation.eval_sets.check import check_against, check_queries
from qembed.evaluation.eval_sets.eval_set import load_eval_set
from qembed.evaluation.eval_sets.findings import KINDS, severity
from qembed.records import Finding

DOCS = Path(__file__).resolve().parents[3] / "docs" / "eval-sets.md"
QUERIES = {"q1": "one", "q2": "two", "q3": "three", "q4": "ONE "}
ROWS = ["q1 a 2", "q1 b 0", "q2 c 1", "q3 a 0"]


def seen(findings: list[Finding]) -> list[tuple[str, str, int | None]]:
    return [(found.kind, Path(found.place.path).name, found.place.line) for found in findings]


def test_queries_by_themselves(tmp_path: Path) -> None:
    eval_set = load_eval_set(eval_folder(tmp_path, QUERIES, {"test": ROWS}))
    found = check_queries(eval_set)
    assert seen(found) == [
        ("unanswerable", "queries.jsonl", 3),
        ("unjudged-query", "queries.jsonl", 4),
        ("same-text", "queries.jsonl", 4),
    ]
    assert "the text of query 'q1'" in found[2].reason


def test_a_query_of_another_split_is_judged(tmp_path: Path) -> None:
    queries = {"q1": "one", "q2": "two", "q3": "three"}
    eval_set = load_eval_set(eval_folder(tmp_path, queries, {"test": ["q1 a 1"], "train": ["q2 a 1"]}))
    assert seen(check_queries(eval_set)) == [("unjudged-query", "queries.jsonl", 3)]


def test_all_zero(tmp_path: Path) -> None:
    eval_set = load_eval_set(eval_folder(tmp_path, QUERIES, {"test": ["q1 a 0", "q2 b 0"]}))
    found = check_queries(eval_set)
    assert found[0].kind == "nothing-relevant"
    assert severity(found[0]) == "error"


def test_items_that_the_corpus_does_not_have(tmp_path: Path) -> None:
    eval_set = load_eval_set(eval_folder(tmp_path, QUERIES, {"test": [*ROWS, "q9 z 1"]}))
    found = check_against(eval_set, {"a", "other"}, set())
    missing = [each for each in found if each.kind == "unknown-item"]
    assert seen(missing) == [("unknown-item", "test.tsv", 3), ("unknown-item", "test.tsv", 4)]
    assert missing[0].reason == "the corpus has no chunk 'b' (query 'q1')"
    assert [each for each in found if each.kind != "unknown-item"] == check_queries(eval_set)
    assert not [each for each in check_against(eval_set, {"a", "b", "c"}, set()) if severity(each) == "error"]


def test_pages_are_looked_up_among_pages(tmp_path: Path) -> None:
    eval_set = load_eval_set(eval_folder(tmp_path, QUERIES, {"test": ROWS}, card='level = "page"'))
    found = check_against(eval_set, {"a", "b", "c"}, {"a", "b"})
    assert [each.reason for each in found if severity(each) == "error"] == [
        "the corpus has no page 'c' (query 'q2')"
    ]


class TestAnotherCorpus:
    def test_is_said_once(self, tmp_path: Path) -> None:
        eval_set = load_eval_set(eval_folder(tmp_path, QUERIES, {"test": ROWS}))
        errors = [
            each for each in check_against(eval_set, {"x:1", "x:2"}, {"p"}) if severity(each) == "error"
        ]
        assert seen(errors) == [("other-corpus", "test.tsv", None)]
        assert "none of the 3 judged chunks" in errors[0].reason
        assert "qrels name 'a', its chunks are called like 'x:1'" in errors[0].reason

    def test_an_empty_one(self, tmp_path: Path) -> None:
        eval_set = load_eval_set(eval_folder(tmp_path, QUERIES, {"test": ROWS}))
        assert "it has no chunks" in check_against(eval_set, set(), set())[0].reason

    def test_a_wrong_level_is_recognised(self, tmp_path: Path) -> None:
        eval_set = load_eval_set(eval_folder(tmp_path, QUERIES, {"test": ROWS}))
        assert 'write level = "page"' in check_against(eval_set, {"x"}, {"a", "b", "c"})[0].reason
        paged = load_eval_set(eval_folder(tmp_path, QUERIES, {"test": ROWS}, card='level = "page"'))
        assert 'write level = "chunk"' in check_against(paged, {"a"}, {"x"})[0].reason


def test_the_documentation_explains_every_kind() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for kind, about in KINDS.items():
        row = re.search(rf"^\|[^|]*`{kind}`[^|]*\|\s*(\w+)\s*\|", text, re.MULTILINE)
        assert row, kind
        assert row[1] == about.severity, kind
        assert about.lost in ("row", "query", "nothing")
