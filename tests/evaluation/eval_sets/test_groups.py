"""Queries that are drawn together."""

from __future__ import annotations

from pathlib import Path

import orjson
from hypothesis import given
from hypothesis import strategies as st

from qembed.evaluation.eval_sets.groups import labels_of, query_groups, read_groups, repeated, same_answers


def test_the_group_of_a_line(tmp_path: Path) -> None:
    lines: list[object] = [
        {"_id": "a", "text": "x", "group": "g"},
        {"_id": "b", "text": "y", "metadata": {"group": 7}},
        {"_id": "c", "text": "z"},
        {"_id": 4, "text": "z", "group": "g", "metadata": {"group": "other"}},
        {"_id": "e", "text": "z", "group": None},
        {"_id": "f", "text": "z", "group": True, "metadata": "of the import"},
    ]
    file = tmp_path / "queries.jsonl"
    file.write_bytes(b"\n".join(map(orjson.dumps, lines)) + b"\nno json\n{broken\n")
    assert read_groups(file) == {"a": "g", "b": "7", "4": "g"}
    (tmp_path / "queries.tsv").write_text("a\tx\tg\n")
    assert read_groups(tmp_path / "queries.tsv") == {}


def test_labels_and_equal_texts_join() -> None:
    queries = {"a": "How?", "b": "Why?", "c": " how?", "d": "When?", "e": "Where?"}
    assert query_groups(queries, {}) == {"a": "a", "c": "a"}
    assert query_groups(queries, {"a": "g", "b": "g"}) == {"a": "a", "b": "a", "c": "a"}
    assert query_groups(queries, {"d": "alone"}) == {"a": "a", "c": "a"}
    joined = query_groups(queries, {"b": "g", "c": "g", "d": "h", "e": "h"})
    assert sorted(joined) == ["a", "b", "c", "d", "e"]
    assert joined["a"] == joined["b"] == joined["c"] != joined["d"] == joined["e"]
    assert repeated(queries) == 1


def test_labels_for_the_statistics() -> None:
    assert labels_of({}, ["a", "b"]) is None
    assert labels_of({"a": "a", "c": "a"}, ["a", "b"]) is None  # its other member has no value here
    assert labels_of({"a": "a", "c": "a"}, ["a", "b", "c"]) == ["group a", "query b", "group a"]


def test_queries_with_the_same_answers() -> None:
    qrels = {"a": {"x": 1}, "b": {"x": 2, "y": 0}, "c": {"x": 1, "y": 1}, "d": {"z": 0}, "e": {"z": 0}}
    assert same_answers(qrels, {}) == 2
    assert same_answers(qrels, {"a": "a", "b": "a"}) == 0


@given(
    st.dictionaries(st.integers(0, 12).map(str), st.sampled_from("pqrst"), max_size=12),
    st.dictionaries(st.integers(0, 12).map(str), st.sampled_from("gh"), max_size=8),
)
def test_groups_are_what_labels_and_texts_connect(queries: dict[str, str], given: dict[str, str]) -> None:
    groups = query_groups(queries, given)
    connected = {query: {query} for query in queries}
    for _ in queries:
        for one in queries:
            for other in queries:
                if given.get(one, one) == given.get(other, other) or queries[one] == queries[other]:
                    connected[one] = connected[other] = connected[one] | connected[other]
    for query, others in connected.items():
        joined = {other for other in groups if groups[other] == groups.get(query)}
        assert joined == (others if len(others) > 1 else set())
