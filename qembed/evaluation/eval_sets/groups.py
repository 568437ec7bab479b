"""Queries that are not independent of each other: copies, paraphrases, several questions about one thing.

A hundred copies of one query are one observation. Queries of one group are therefore drawn together in every
interval and test. Groups come from the key ``group`` of ``queries.jsonl`` (beside ``text`` or in
``metadata``); queries with the same text are a group without being told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson

from qembed.evaluation.eval_sets.lines import begins_object, text_lines
from qembed.records import Qrels

Groups = Mapping[str, str]
"""Query id -> label, of the queries that share their group with another one."""


def read_groups(path: Path) -> dict[str, str]:
    """Query id -> ``group``, of the queries of a file that have one. ``read_queries`` reports broken lines.

    Raises:
        InputNotFound: The file is not there.
    """
    found: dict[str, str] = {}
    for _, line in text_lines(path, lambda _: None):
        if not begins_object(line):
            continue
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        metadata = record.get("metadata")
        within = metadata.get("group") if isinstance(metadata, dict) else None
        group = record.get("group", within)
        if isinstance(group, str | int) and not isinstance(group, bool) and str(group).strip():
            found.setdefault(str(record.get("_id")), str(group))
    return found


def query_groups(queries: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Groups of at least two queries: those of one label, and those of the same text.

    Args:
        queries: Query id -> text; case and white space make no difference.
        given: Query id -> label.

    Returns:
        Query id -> the first query of its group.
    """
    first: dict[tuple[str, str], str] = {}
    leader: dict[str, str] = {}

    def lead(query: str) -> str:
        while leader[query] != query:
            query = leader[query]
        return query

    for query, text in queries.items():
        leader[query] = query
        keys = [("text", " ".join(text.lower().split()))]
        keys += [("group", given[query])] if query in given else []
        for key in keys:
            leader[lead(query)] = lead(first.setdefault(key, query))
    groups = {query: lead(query) for query in queries}
    sizes = Counter(groups.values())
    return {query: group for query, group in groups.items() if sizes[group] > 1}


def labels_of(groups: Groups, queries: Iterable[str]) -> list[str] | None:
    """One label per query, for the statistics; None where every query stands alone."""
    labels = [f"group {groups[query]}" if query in groups else f"query {query}" for query in queries]
    return labels if len(set(labels)) < len(labels) else None


def repeated(queries: Mapping[str, str]) -> int:
    """How many queries have the text of an earlier one."""
    return len(queries) - len({" ".join(text.lower().split()) for text in queries.values()})


def same_answers(qrels: Qrels, groups: Groups) -> int:
    """How many queries have exactly the relevant items of another one, which is not of their group."""
    answers: dict[frozenset[str], set[str]] = {}
    for query, grades in qrels.items():
        relevant = frozenset(item for item, grade in grades.items() if grade > 0)
        if relevant:
            answers.setdefault(relevant, set()).add(query)
    apart = (queries for queries in answers.values() if len({groups.get(one, one) for one in queries}) > 1)
    return sum(map(len, apart))
