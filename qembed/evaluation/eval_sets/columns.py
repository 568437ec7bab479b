"""How a file of judgements is laid out, decided once from its first line.

    query-id <tab> corpus-id <tab> score     BEIR; also other names or order, more columns, quotes, commas
    q1 0 item 2                              TREC: query, iteration, item, grade; separated by tabs or blanks
    {"query-id": ..., "corpus-id": ..., "score": ...}    JSON lines, as MTEB writes them

Quotes are removed only where the whole first line is quoted, or where commas separate: elsewhere they are
part of an id.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final

import orjson

QUERY_NAMES: Final = ("query_id", "qid", "query", "queryid", "q_id", "topic", "topic_id", "topicid")
ITEM_NAMES: Final = (
    "corpus_id",
    "doc_id",
    "docid",
    "docno",
    "document_id",
    "passage_id",
    "chunk_id",
    "page_id",
    "item_id",
    "corpusid",
    "pid",
    "doc",
    "id",
)
GRADE_NAMES: Final = (
    "score",
    "relevance",
    "relevancy",
    "rel",
    "grade",
    "label",
    "rating",
    "judgement",
    "judgment",
)

BEIR_COLUMNS: Final = 3
TREC_COLUMNS: Final = 4
RUN_COLUMNS: Final = 6


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a file of judgements.

    Attributes:
        separator: Between columns; None for any white space.
        quoted: Fields may stand in double quotes.
        width: Number of columns.
        places: Positions of query id, item id and grade.
        header: The first line names the columns and is no judgement.
    """

    separator: str | None
    quoted: bool
    width: int
    places: tuple[int, int, int]
    header: bool

    def row(self, query_id: str, item_id: str, grade: int) -> str:
        """A new line; columns besides the three hold 0."""
        fields = ["0"] * self.width
        for place, value in zip(self.places, (query_id, item_id, str(grade)), strict=True):
            fields[place] = value
        return self._joined(fields)

    def regraded(self, line: str, grade: int) -> str:
        """The line with another grade; nothing else of it changes where columns are separated by tabs."""
        if self.separator is None:
            kept = line.rstrip()
            return f"{kept[: len(kept) - len(kept.split()[-1])]}{grade}"
        fields = next(csv.reader([line], delimiter=self.separator)) if self.quoted else line.split("\t")
        fields[self.places[2]] = str(grade)
        return self._joined(fields)

    def _joined(self, fields: Sequence[str]) -> str:
        if not self.quoted:
            return (self.separator or "\t").join(fields)
        text = StringIO()
        if self.separator == "\t":
            writer = csv.writer(text, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="")
        else:
            writer = csv.writer(text, delimiter=self.separator or ",", lineterminator="")
        writer.writerow(fields)
        return text.getvalue()


@dataclass(frozen=True, slots=True)
class JsonLayout:
    """JSON lines of judgements.

    Attributes:
        keys: Keys of query id, item id and grade.
    """

    keys: tuple[str, str, str]

    def row(self, query_id: str, item_id: str, grade: int) -> str:
        """A new line."""
        return orjson.dumps(dict(zip(self.keys, (query_id, item_id, grade), strict=True))).decode()

    def regraded(self, line: str, grade: int) -> str:
        """The line with another grade."""
        value = orjson.loads(line)
        key = next(key for key in value if _plain(key) in GRADE_NAMES)
        return orjson.dumps({**value, key: grade}).decode()


def layout_to_write(first: str) -> Layout | JsonLayout:
    """How to add lines to a file of judgements that begins with ``first``, which can be read."""
    if not first.startswith("{"):
        found = layout_of(first)
        assert found is not None
        return found
    keys = [
        next(key for name in names for key in orjson.loads(first) if _plain(key) == name)
        for names in (QUERY_NAMES, ITEM_NAMES, GRADE_NAMES)
    ]
    return JsonLayout((keys[0], keys[1], keys[2]))


def layout_of(first: str) -> Layout | None:
    """Layout of a file that begins with the line ``first``; None if it is none of the known ones."""
    separator, quoted = _separator(first)
    fields = split(first, separator, quoted=quoted)
    places = _places([_plain(field) for field in fields])
    if places is not None:
        return Layout(separator, quoted, len(fields), places, header=True)
    if len(fields) not in (BEIR_COLUMNS, TREC_COLUMNS):
        return None
    return Layout(separator, quoted, len(fields), (0, len(fields) - 2, len(fields) - 1), header=False)


def split(line: str, separator: str | None, *, quoted: bool) -> list[str]:
    """Fields of a line, without the white space around them."""
    if separator is None:
        return line.split()
    fields = next(csv.reader([line], delimiter=separator)) if quoted else line.split(separator)
    return [field.strip() for field in fields]


def run_columns(line: str) -> list[str]:
    """Columns of a run: between tabs where there are six, which may hold blanks; else between white space."""
    return line.split("\t") if line.count("\t") == RUN_COLUMNS - 1 else line.split()


def json_row(line: str) -> tuple[Any, Any, Any] | str:
    """Query id, item id and grade of a JSON object; or what is wrong with it."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"invalid JSON: {error.msg}, column {error.colno}"
    if not isinstance(value, dict):
        return "the line is no JSON object"
    named = {_plain(str(key)): item for key, item in value.items()}
    found = [_first(named, names) for names in (QUERY_NAMES, ITEM_NAMES, GRADE_NAMES)]
    if any(item is None for item in found):
        return f"the object has the keys {', '.join(map(str, value))}; expected query-id, corpus-id and score"
    query, item, grade = found
    return query, item, grade


def _separator(first: str) -> tuple[str | None, bool]:
    if "\t" in first:
        fields = first.rstrip().split("\t")
        return "\t", all(len(field) > 1 and field[0] == field[-1] == '"' for field in map(str.strip, fields))
    if len(first.split()) < BEIR_COLUMNS:
        for separator in (",", ";"):
            if first.count(separator) >= BEIR_COLUMNS - 1:
                return separator, True
    return None, False


def _places(names: Sequence[str]) -> tuple[int, int, int] | None:
    positions = {name: at for at, name in reversed(list(enumerate(names)))}
    query, item, grade = (_first(positions, known) for known in (QUERY_NAMES, ITEM_NAMES, GRADE_NAMES))
    return None if query is None or item is None or grade is None else (query, item, grade)


def _first(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((values[name] for name in names if name in values), None)


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")
