"""Rows of judgements and of runs, in every layout that either may have.

    columns       BEIR, TREC, tables with a first line that names them (``columns``)
    JSON lines    {"query-id": ..., "corpus-id": ..., "score": ...}
    JSON          a list of such objects; or {query: {item: value}}, as ranx writes it

JSON in one piece is read whole, all else as a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Final, TypeAlias

import orjson

from qembed.evaluation.eval_sets.columns import (
    GRADE_NAMES,
    ITEM_NAMES,
    QRELS,
    QUERY_NAMES,
    Bare,
    Layout,
    first_of,
    layout_of,
    plain,
    split,
)
from qembed.evaluation.eval_sets.lines import begins_json

Fields: TypeAlias = tuple[Any, Any, Any]
"""Query id, item id, and grade or score, as the file has them."""

_WIDTHS: Final = {
    3: "query id, item id, grade",
    4: "query id, iteration, item id, grade",
    6: "query id, Q0, item id, rank, score, name of the run",
}


def rows_of(
    lines: Iterable[tuple[int, str]],
    bare: Bare = QRELS,
    decided: Callable[[int, str, Layout | None], None] | None = None,
) -> Iterator[tuple[int, Fields | str]]:
    """Line and fields of every row, or what is wrong with the line; streamed, but for JSON in one piece.

    Args:
        lines: Numbered lines that are not blank.
        bare: Layouts without names of columns.
        decided: Called with each line from which a layout was made out, or could not be.
    """
    left = iter(lines)
    layout = None
    for number, line in left:
        if layout is None:
            if begins_json(line):
                yield from _json(number, line, left)
                return
            layout = layout_of(line, bare)
            if decided is not None:
                decided(number, line, layout)
            if layout is not None and layout.header:
                continue
        yield number, _columns(line, layout, bare)


def _columns(line: str, layout: Layout | None, bare: Bare) -> Fields | str:
    if layout is None:
        known = " or ".join(f"{width} ({'BEIR' if width == 3 else 'TREC'})" for width in bare)
        return f"{len(line.split())} columns; expected {known}, or a first line that names them"
    fields = split(line, layout.separator, quoted=layout.quoted)
    if len(fields) != layout.width:
        return f"{len(fields)} columns; expected {_WIDTHS.get(layout.width) or layout.width}"
    query, item, value = (fields[place] for place in layout.places)
    return query, item, value


def _json(number: int, line: str, left: Iterator[tuple[int, str]]) -> Iterator[tuple[int, Fields | str]]:
    first = _json_line(line)
    if not isinstance(first, str):
        yield number, first
        yield from ((number, _json_line(line)) for number, line in left)
        return
    every = list(chain([(number, line)], left))
    whole = _whole("\n".join(line for _, line in every))
    if whole is None:
        yield from ((number, _json_line(line)) for number, line in every)
    else:
        yield from ((number, fields) for fields in whole)


def _json_line(line: str) -> Fields | str:
    try:
        return _object(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        return f"invalid JSON: {error.msg}, column {error.colno}"


def _whole(text: str) -> Iterator[Fields | str] | None:
    """Rows of one JSON document; None if it is none that has rows."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if isinstance(value, list):
        return map(_object, value)
    if isinstance(value, dict) and all(isinstance(items, dict) for items in value.values()):
        return ((query, item, found) for query, items in value.items() for item, found in items.items())
    return None


def _object(value: Any) -> Fields | str:
    if not isinstance(value, dict):
        return "no JSON object"
    named = {plain(str(key)): item for key, item in value.items()}
    query, item, found = (first_of(named, names) for names in (QUERY_NAMES, ITEM_NAMES, GRADE_NAMES))
    if any(one is None or isinstance(one, dict | list) for one in (query, item, found)):
        return f"the object has the keys {', '.join(map(str, value))}; expected query-id, corpus-id and score"
    return query, item, found
