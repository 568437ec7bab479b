"""Queries and qrels on disk: the files of BEIR, and those of TREC where they say the same.

    queries.jsonl     {"_id": "q1", "text": "..."}          BEIR
    queries.tsv       q1 <tab> ...                          as TREC's tools read it
    qrels/test.tsv    query-id <tab> corpus-id <tab> score  BEIR, with this header
    qrels/test.txt    q1 0 item 2                           TREC: query, iteration, item, grade
    qrels/test.jsonl  {"query-id": ..., "corpus-id": ..., "score": ...}    MTEB; ``columns`` knows more

The contents of a file decide its form, not its name. A broken line is a finding, and reading continues;
without ``on_finding``, the first one that loses something is raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import orjson

from qembed.errors import Mismatch, UsageError
from qembed.evaluation.eval_sets.columns import BEIR_COLUMNS, RUN_COLUMNS, Layout
from qembed.evaluation.eval_sets.findings import finding, refuse
from qembed.evaluation.eval_sets.lines import begins_object, text_lines, write_lines
from qembed.evaluation.eval_sets.rows import Fields, rows_of
from qembed.evaluation.eval_sets.run_ids import Names, original_ids
from qembed.records import OnFinding, Qrels

Form: TypeAlias = Literal["beir", "trec"]

HEADER = "query-id\tcorpus-id\tscore"


@dataclass(frozen=True, slots=True)
class Row:
    """One judgement as its file has it.

    Attributes:
        line: Line of the file, from 1.
        query_id: The query.
        item_id: The chunk or page.
        grade: Relevance; TREC files also have negative ones.
    """

    line: int
    query_id: str
    item_id: str
    grade: int


def read_queries(path: Path, on_finding: OnFinding = refuse) -> dict[str, str]:
    """Query id -> text, in the order of the file; JSON lines of BEIR, or two columns with a tab between.

    Raises:
        InputNotFound: The file is not there.
        Mismatch: Two queries have one id; without ``on_finding`` also a line that cannot be read.
    """
    texts: dict[str, str] = {}
    places = _FirstLines((name, number) for number, name, _ in query_lines(path, lambda _: None))
    for line, query_id, text in query_lines(path, on_finding):
        if query_id not in texts:
            texts[query_id] = text
            continue
        first = places[query_id]
        if texts[query_id] != text:
            raise Mismatch(
                f"two queries have the id {query_id!r}",
                where=f"{path}, lines {first} and {line}",
                remedy="give one of them another id",
            )
        reason = f"query {query_id!r} stands in line {first} already, with the same text"
        on_finding(finding("duplicate-query", path, reason, line=line))
    return texts


def query_lines(path: Path, on_finding: OnFinding) -> Iterator[tuple[int, str, str]]:
    """(line, query id, text) of every line that holds a query."""
    for number, line in text_lines(path, on_finding):
        json = line.lstrip().startswith("{") and ("\t" not in line or begins_object(line))
        found = _json_query(line) if json else _tsv_query(line)
        if isinstance(found, tuple):
            yield number, *found
        else:
            kind = "not-json" if found.startswith("no JSON") else "bad-query"
            on_finding(finding(kind, path, found, line=number))


def write_queries(
    path: Path,
    queries: Mapping[str, str],
    *,
    form: Form = "beir",
    metadata: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write queries in the order of the mapping.

    Args:
        path: The file; replaced when it is there.
        queries: Query id -> text.
        form: ``beir``: JSON lines; ``trec``: id, tab, text with its white space folded.
        metadata: Query id -> what else to say of it; in JSON lines only.

    Raises:
        UsageError: An id cannot be written in this form.
        QembedError: The disk is full or cannot be written.
    """
    check_ids(queries, form, path)
    extra = metadata or {}

    def lines() -> Iterator[str]:
        for query_id, text in queries.items():
            if form == "trec":
                yield f"{query_id}\t{' '.join(text.split())}"
                continue
            record: dict[str, Any] = {"_id": query_id, "text": text}
            if query_id in extra:
                record["metadata"] = extra[query_id]
            yield orjson.dumps(record).decode()

    write_lines(path, lines())


def read_qrels(path: Path, on_finding: OnFinding = refuse) -> Qrels:
    """Query id -> item id -> grade as in the file, in its order; either form, told apart by its columns.

    Raises:
        InputNotFound: The file is not there.
        Mismatch: One pair has two grades, or the file is a run; without ``on_finding`` also a broken line.
    """
    qrels: Qrels = {}
    places = _FirstLines(((row.query_id, row.item_id), row.line) for row in qrels_rows(path, lambda _: None))
    for row in qrels_rows(path, on_finding):
        judged = qrels.setdefault(row.query_id, {})
        if row.item_id not in judged:
            judged[row.item_id] = row.grade
            continue
        pair = f"item {row.item_id!r} of query {row.query_id!r}"
        first = places[row.query_id, row.item_id]
        if judged[row.item_id] != row.grade:
            raise Mismatch(
                f"{pair} has two grades, {judged[row.item_id]} and {row.grade}",
                where=f"{path}, lines {first} and {row.line}",
                remedy="decide which one holds and remove the other line",
            )
        reason = f"{pair} stands in line {first} already, with the same grade"
        on_finding(finding("duplicate-row", path, reason, line=row.line))
    return qrels


def qrels_rows(path: Path, on_finding: OnFinding) -> Iterator[Row]:
    """Every judgement of a file, streamed, repeated ones too; ``columns`` lists the layouts.

    Raises:
        InputNotFound: The file is not there.
        Mismatch: The file is a run.
    """

    def decided(number: int, line: str, layout: Layout | None) -> None:
        if layout is None and len(line.split()) == RUN_COLUMNS:
            raise Mismatch(
                "the file is a run (six columns), not qrels", where=str(path), remedy="give the qrels"
            )
        if layout is not None and not layout.header and layout.width == BEIR_COLUMNS:
            on_finding(finding("no-header", path, "the header is missing", line=number))

    original = original_ids(path.parent)
    for number, fields in rows_of(text_lines(path, on_finding), decided=decided):
        row = fields if isinstance(fields, str) else _row(number, fields, original)
        if isinstance(row, Row):
            yield row
        else:
            kind = "bad-grade" if row.startswith("the grade") else "bad-row"
            on_finding(finding(kind, path, row, line=number))


def write_qrels(path: Path, qrels: Qrels, *, form: Form = "beir") -> None:
    """Write qrels in the order of the mapping.

    Raises:
        UsageError: An id cannot be written in this form.
        QembedError: The disk is full or cannot be written.
    """
    check_qrels_ids(qrels, form, path)

    def lines() -> Iterator[str]:
        if form == "beir":
            yield HEADER
        for query_id, judged in qrels.items():
            for item_id, grade in judged.items():
                row = (query_id, item_id, grade) if form == "beir" else (query_id, 0, item_id, grade)
                yield "\t".join(map(str, row))

    write_lines(path, lines())


def check_ids(ids: Mapping[str, Any], form: Form, path: Path) -> None:
    """Refuse ids that would not read back.

    Raises:
        UsageError: An id is empty, holds a tab or a line break, or begins or ends with a blank; in TREC's
            form, any white space.
    """
    for name in ids:
        parts = name.split() if form == "trec" else name.replace("\n", "\t").replace("\r", "\t").split("\t")
        if parts != [name] or name != name.strip() or not name:
            what = "white space" if form == "trec" else "tabs, line breaks, or blanks around them"
            raise UsageError(
                f"the id {name!r} cannot be written to a {form.upper()} file: ids must have no {what}",
                where=str(path),
                remedy="rename it" if form == "beir" else "rename it, or stay with --to beir",
            )


def check_qrels_ids(qrels: Qrels, form: Form, path: Path) -> None:
    """``check_ids`` of the queries and items of qrels.

    Raises:
        UsageError: As ``check_ids``.
    """
    check_ids(qrels, form, path)
    for judged in qrels.values():
        check_ids(judged, form, path)


def _json_query(line: str) -> tuple[str, str] | str:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"no JSON: {error.msg}, column {error.colno}"
    query_id, text = value.get("_id"), value.get("text")
    if isinstance(query_id, bool) or not isinstance(query_id, str | int) or query_id == "":
        return "the query has no '_id' that is a string or an integer"
    if not isinstance(text, str) or not text.strip():
        return f"query {str(query_id)!r} has no 'text', or an empty one"
    return str(query_id), text


def _tsv_query(line: str) -> tuple[str, str] | str:
    query_id, tab, text = line.partition("\t")
    if not tab or not query_id.strip() or not text.strip():
        return "neither a JSON object nor an id and a text with a tab between them"
    return query_id.strip(), text.strip()


def _row(number: int, fields: Fields, original: Names) -> Row | str:
    query_id, item_id = (str(name).strip() for name in fields[:2])
    if not query_id or not item_id:
        return "an id is empty"
    grade = parse_grade(fields[2])
    if grade is None:
        reason = f"the grade {str(fields[2]).strip()!r} is not an integer"
        return reason + ("" if number > 1 else " (a header has query-id, corpus-id, score)")
    return Row(number, original(query_id), original(item_id), grade)


def parse_grade(text: Any) -> int | None:
    """An integer, also as ``2.0``, which tools that know only floats write."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**31 else None


class _FirstLines:
    """Where each name stands first; found by one more pass, and only once a name has come twice."""

    def __init__(self, named: Iterator[tuple[Any, int]]) -> None:
        self._named = named
        self._lines: dict[Any, int] = {}

    def __getitem__(self, name: Any) -> int:
        for other, line in self._named:  # used up the first time
            self._lines.setdefault(other, line)
        return self._lines[name]
