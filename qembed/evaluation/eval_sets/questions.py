"""Questions without judgements, in whatever file people keep them.

    plain text      one question per line
    CSV, TSV        a column named query, question or text; or the only column
    JSON lines      strings, or objects with such a key
    JSON            a list of either

An id is taken from ``_id``, ``id`` or ``query_id``. Where there is none it is made from the text, so that a
question keeps its id, and its judgements, when others are added above it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson

from qembed.errors import Mismatch, UsageError
from qembed.evaluation.eval_sets.findings import finding, refuse
from qembed.evaluation.eval_sets.lines import begins_object, text_lines
from qembed.records import OnFinding

TEXT_KEYS: Final = ("query", "question", "text", "q", "prompt", "query_text")
ID_KEYS: Final = ("_id", "id", "query_id", "query-id", "qid", "question_id")
_ID_DIGITS = 8
_BEGINS_LIST = re.compile(r'\[\s*(["{\]]|$)')


def read_questions(path: Path, on_finding: OnFinding = refuse) -> dict[str, str]:
    """Query id -> text, in the order of the file.

    Args:
        path: The file; its first line decides the format, and the suffix for CSV and TSV.
        on_finding: Called for each line that cannot be read, and each question that comes twice.

    Raises:
        InputNotFound: The file is not there.
        UsageError: There is no question in it.
        Mismatch: Two questions have one id; without ``on_finding`` also a line that cannot be read.
    """
    questions: dict[str, str] = {}
    first: dict[str, int] = {}
    for line, query_id, text in _items(path, on_finding):
        query_id = query_id or made_id(text)
        if query_id not in questions:
            questions[query_id], first[query_id] = text, line
        elif questions[query_id] == text:
            reason = f"the same question as in line {first[query_id]}"
            on_finding(finding("duplicate-query", path, reason, line=line))
        else:
            raise Mismatch(
                f"two questions have the id {query_id!r}",
                where=f"{path}, lines {first[query_id]} and {line}",
                remedy="give one of them another id, or leave the ids out",
            )
    if not questions:
        raise UsageError("there is no question to ask", where=str(path), remedy="write one question per line")
    return questions


def made_id(text: str) -> str:
    """Id of a question that has none: ``q`` and eight hexadecimal digits of its SHA-256."""
    return "q" + sha256(text.encode()).hexdigest()[:_ID_DIGITS]


def _items(path: Path, on_finding: OnFinding) -> Iterator[tuple[int, str, str]]:
    """(line, id or "", text) of every question."""
    lines = list(text_lines(path, on_finding))
    start = lines[0][1].lstrip() if lines else ""
    if _BEGINS_LIST.match(start) or (start.startswith("[") and path.suffix.lower() == ".json"):
        found = _json_list(path, lines)
    elif _is_json(start) and path.suffix.lower() not in (".csv", ".tsv"):
        found = ((number, _loaded(line)) for number, line in lines)
    elif path.suffix.lower() in (".csv", ".tsv") or "\t" in start:
        found = _table(path, lines)
    else:
        found = iter(lines)
    for number, value in found:
        item = _item(value)
        if isinstance(item, str):
            kind = "not-json" if item.startswith("invalid JSON") else "bad-query"
            on_finding(finding(kind, path, item, line=number))
        else:
            yield number, *item


def _is_json(start: str) -> bool:
    """An object, even a broken one; or a whole string: a question may begin with a quotation."""
    return begins_object(start) or (start.startswith('"') and isinstance(_loaded(start), str))


def _item(value: Any) -> tuple[str, str] | str:
    """Id and text; or what is wrong."""
    if isinstance(value, orjson.JSONDecodeError):
        return f"invalid JSON: {value.msg}, column {value.colno}"
    if isinstance(value, str):
        text, query_id = value, ""
    elif isinstance(value, Mapping):
        keys = {str(key).strip().lower(): item for key, item in value.items()}
        text = next((keys[key] for key in TEXT_KEYS if isinstance(keys.get(key), str)), "")
        if not text.strip():
            known = ", ".join(map(str, value)) or "no key"
            return f"no question: the keys are {known}; expected one of {', '.join(TEXT_KEYS[:3])}"
        found = next((keys[key] for key in ID_KEYS if keys.get(key) not in (None, "")), "")
        if isinstance(found, bool) or not isinstance(found, str | int):
            return f"the id {found!r} is neither a string nor an integer"
        query_id = str(found).strip()
    else:
        return f"a question is a string or an object, not {type(value).__name__}"
    text = text.strip()
    return (query_id, text) if text else "the question is empty"


def _loaded(line: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return error


def _json_list(path: Path, lines: list[tuple[int, str]]) -> Iterator[tuple[int, Any]]:
    """Items of a JSON list; the line is that where the list begins."""
    loaded = _loaded("\n".join(line for _, line in lines))
    if isinstance(loaded, orjson.JSONDecodeError):
        at = lines[min(loaded.lineno, len(lines)) - 1][0]
        raise Mismatch(
            f"invalid JSON: {loaded.msg}", where=f"{path}, line {at}", remedy="or write one question per line"
        )
    return ((lines[0][0], item) for item in loaded)


def _table(path: Path, lines: list[tuple[int, str]]) -> Iterator[tuple[int, Any]]:
    """Rows of a table as objects; a table without names of columns has ids, then texts, or texts only."""
    separator = "\t" if "\t" in lines[0][1] or path.suffix.lower() == ".tsv" else ","
    reader = csv.reader((f"{line}\n" for _, line in lines), delimiter=separator)
    rows: Iterator[tuple[int, list[str]]] = (
        (lines[max(reader.line_num, 1) - 1][0], [field.strip() for field in row]) for row in reader
    )
    number, first = next(rows)
    names = [name.lower() for name in first]
    if not set(names) & set(TEXT_KEYS):
        if len(first) > len(("id", "text")):
            raise Mismatch(
                f"no column with questions: the first line has {', '.join(first)}",
                where=f"{path}, line {number}",
                remedy="name the column query in the first line, or write one question per line",
            )
        names = ["id", "text"] if len(first) > 1 else ["text"]
        yield number, dict(zip(names, first, strict=False))
    for number, row in rows:
        yield number, dict(zip(names, row, strict=False))
