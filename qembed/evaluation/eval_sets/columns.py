"""How a file of judgements or a run is laid out, decided once from its first line.

    query-id <tab> corpus-id <tab> score     BEIR; also other names or order, more columns, quotes, commas
    q1 0 item 2                              TREC: query, iteration, item, grade; separated by tabs or blanks
    q1 Q0 item 1 3.25 name                   TREC: a run
    {"query-id": ..., "corpus-id": ..., "score": ...}    JSON lines, as MTEB writes them

Quotes are removed only where the whole first line is quoted, or where commas separate: elsewhere they are
part of an id.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final, TypeAlias

import orjson

from qembed.errors import UsageError
from qembed.evaluation.eval_sets.lines import begins_json

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
RUN_COLUMNS: Final = 6

Bare: TypeAlias = Mapping[int, tuple[int, int, int]]
QRELS: Final[Bare] = {BEIR_COLUMNS: (0, 1, 2), 4: (0, 2, 3)}
"""Judgements without a first line that names the columns: BEIR's three, TREC's four."""
RUNS: Final[Bare] = {RUN_COLUMNS: (0, 2, 4)}
"""Runs without one: TREC's six."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a file of judgements, or of a run.

    Attributes:
        separator: Between columns; None for any white space.
        quoted: Fields may stand in double quotes.
        width: Number of columns.
        places: Positions of query id, item id, and grade or score.
        header: The first line names the columns and is no row.
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
        key = next(key for key in value if plain(key) in GRADE_NAMES)
        return orjson.dumps({**value, key: grade}).decode()


def layout_to_write(first: str) -> Layout | JsonLayout:
    """How to add lines to a file of judgements that begins with ``first``, which can be read."""
    if not begins_json(first):
        found = layout_of(first)
        assert found is not None
        return found
    try:
        value = orjson.loads(first)
    except orjson.JSONDecodeError:
        value = {}
    named = {plain(str(key)): key for key in value} if isinstance(value, dict) else {}
    query, item, grade = (first_of(named, names) for names in (QUERY_NAMES, ITEM_NAMES, GRADE_NAMES))
    if query is None or item is None or grade is None:
        raise UsageError(
            "no line can be added to JSON in one piece",
            remedy="convert the file first: qembed evalset convert FILE NEW --to beir",
        )
    return JsonLayout((query, item, grade))


def layout_of(first: str, bare: Bare = QRELS) -> Layout | None:
    """Layout of a file that begins with the line ``first``; None if it is none of the known ones.

    Args:
        first: The first line that is not blank.
        bare: Layouts without names of columns: number of columns -> places of query id, item id and value.
    """
    separator, quoted = _separator(first)
    fields = split(first, separator, quoted=quoted)
    places = _places([plain(field) for field in fields])
    if places is not None:
        return Layout(separator, quoted, len(fields), places, header=True)
    if len(fields) not in bare and bare is RUNS:
        separator, fields = None, first.split()  # tabs and blanks mixed
    if len(fields) not in bare:
        return None
    return Layout(separator, quoted, len(fields), bare[len(fields)], header=False)


def split(line: str, separator: str | None, *, quoted: bool) -> list[str]:
    """Fields of a line, without the white space around them."""
    if separator is None:
        return line.split()
    fields = next(csv.reader([line], delimiter=separator)) if quoted else line.split(separator)
    return [field.strip() for field in fields]


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
    query, item, grade = (first_of(positions, known) for known in (QUERY_NAMES, ITEM_NAMES, GRADE_NAMES))
    return None if query is None or item is None or grade is None else (query, item, grade)


def first_of(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of ``names`` that is there; None if none is."""
    return next((values[name] for name in names if name in values), None)


def plain(name: str) -> str:
    """The name of a column or key as ``QUERY_NAMES``, ``ITEM_NAMES`` and ``GRADE_NAMES`` spell it."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")
