"""The file of judgements: what a report exports, and what a model that judges writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from qembed.errors import InputNotFound, Mismatch
from qembed.evaluation.eval_sets.beir import check_ids, parse_grade
from qembed.evaluation.eval_sets.findings import refuse
from qembed.evaluation.eval_sets.lines import text_lines

HEADER = ("query-id", "corpus-id", "score", "judge", "judged-at", "comment", "need")
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judgement:
    """One grade that somebody gave.

    Attributes:
        query_id: The query.
        item_id: The chunk or page.
        grade: 0 or more.
        judge: Who; ``unknown`` where nobody said.
        judged_at: UTC time, ISO 8601; of a file that does not say, when it was written.
        file: Name of the file that it came from.
        line: Its line there, from 1.
        comment: What the judge wrote beside the grade.
        need: What would answer the query, in the judge's words.
    """

    query_id: str
    item_id: str
    grade: int
    judge: str
    judged_at: str
    file: str
    line: int
    comment: str = ""
    need: str = ""


def judgement_line(
    query_id: str, item_id: str, grade: int | str, judge: str = "", judged_at: str = "", comment: str = ""
) -> str:
    """A judgement as a line of the file that ``read_judgements`` reads, and that a report exports."""
    return "\t".join([query_id, item_id, str(grade), judge, judged_at, comment, ""])


def read_judgements(path: Path, *, judge: str | None = None) -> list[Judgement]:
    """The judgements of a file: three columns as in qrels, or five with who and when, or seven
    with comment and need; tabs between them.

    Raises:
        InputNotFound: The file is not there.
        Mismatch: A line is no judgement.
    """
    path = Path(path)
    entries = []
    for number, line in text_lines(path, refuse):
        fields = [field.strip() for field in line.split("\t")]
        if tuple(fields[:3]) == HEADER[:3]:
            continue
        entries.append(_judgement(fields, judge, path, number))
    if not entries:
        raise InputNotFound(
            "no judgement in the file", where=str(path), remedy="export it from a report after judging"
        )
    return entries


def _judgement(fields: list[str], judge: str | None, path: Path, line: int) -> Judgement:
    where = f"{path}, line {line}"
    if len(fields) not in (3, 5, 6, 7) or not all(fields[:3]):
        raise Mismatch(
            f"{len(fields)} columns; expected {', '.join(HEADER)} with tabs between them",
            where=where,
            remedy="export it again; nothing was merged",
        )
    query_id, item_id, grade, who, when, comment, need = [*fields, "", "", "", ""][:7]
    if (relevance := parse_grade(grade)) is None or relevance < 0:
        raise Mismatch(
            f"the grade {grade!r} is not a whole number of 0 or more",
            where=where,
            remedy="0 does not help, 1 helps, 2 answers the query; nothing was merged",
        )
    check_ids({query_id: None, item_id: None}, "beir", path)
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return Judgement(
        query_id,
        item_id,
        relevance,
        who or judge or UNKNOWN,
        when or written,
        path.name,
        line,
        comment,
        need,
    )
