"""Runs of other tools: TREC's six columns, ranx's JSON, and tables with named columns as of ir-measures.

Nothing is unpickled. Files that end in ``.gz`` are read as they are.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from qembed.errors import InputNotFound, Mismatch, QembedError
from qembed.evaluation.eval_sets.columns import RUN_COLUMNS, Layout, json_row, layout_of, run_columns, split
from qembed.evaluation.eval_sets.lines import decoded_lines, text_lines
from qembed.records import Run

_PICKLED = (".pkl", ".pickle", ".lz4", ".parquet", ".parq")


def read_foreign_run(path: Path) -> Run:
    """Query id -> item id -> score, higher is better; the content decides the format.

    Raises:
        InputNotFound: The file is not there.
        Mismatch: It is no run, a line cannot be read, an item comes twice for one query, or a score is not a
            finite number.
    """
    if path.suffix.lower() in _PICKLED:
        raise Mismatch(
            f"runs in {path.suffix} files are not read",
            where=str(path),
            remedy="save it as TREC or JSON; with ranx: run.save('run.trec') or run.save('run.json')",
        )
    lines = list(_lines(path))
    if not lines:
        raise Mismatch("the run is empty", where=str(path), remedy="give a run with at least one result")
    start = lines[0][1].lstrip()
    if start.startswith("{") and (found := _ranx(lines)) is not None:
        rows: Iterable[tuple[int, str, str, Any]] = found
    elif start.startswith("{"):
        rows = _json_rows(lines, path)
    elif (layout := layout_of(lines[0][1])) is not None and layout.header:
        rows = _table(lines[1:], layout, path)
    elif len(run_columns(start)) == RUN_COLUMNS:
        rows = _trec(lines, path)
    else:
        raise Mismatch(
            f"this is not a run: the first line has {len(start.split())} columns",
            where=f"{path}, line {lines[0][0]}",
            remedy="give TREC's six columns, ranx's JSON, or columns named query_id, doc_id and score",
        )
    return _run_of(rows, path)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    def refuse_line(found: Any) -> None:
        raise Mismatch(found.reason, where=str(found.place), remedy="save the file as UTF-8")

    if path.suffix.lower() != ".gz":
        yield from text_lines(path, refuse_line)
        return
    try:
        with gzip.open(path, "rb") as file:
            yield from decoded_lines(file, path, refuse_line)
    except FileNotFoundError as error:
        raise InputNotFound("the file does not exist", where=str(path), remedy="check its name") from error
    except (OSError, EOFError) as error:
        raise QembedError(f"cannot unpack: {error}", where=str(path), remedy="copy it again") from error


def _ranx(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str, str, Any]] | None:
    """Rows of ``{query: {item: score}}``; None if the file is anything else."""
    try:
        value = orjson.loads("\n".join(line for _, line in lines))
    except orjson.JSONDecodeError:
        return None
    if not all(isinstance(scores, dict) for scores in value.values()):
        return None
    number = lines[0][0]
    return ((number, query, item, score) for query, scores in value.items() for item, score in scores.items())


def _json_rows(lines: list[tuple[int, str]], path: Path) -> Iterator[tuple[int, str, str, Any]]:
    for number, line in lines:
        found = json_row(line)
        if isinstance(found, str):
            raise _bad(found, path, number)
        query, item, score = found
        yield number, str(query), str(item), score


def _table(lines: list[tuple[int, str]], layout: Layout, path: Path) -> Iterator[tuple[int, str, str, Any]]:
    query, item, score = layout.places
    for number, line in lines:
        fields = split(line, layout.separator, quoted=layout.quoted)
        if len(fields) != layout.width:
            raise _bad(f"{len(fields)} columns; the first line has {layout.width}", path, number)
        yield number, fields[query], fields[item], fields[score]


def _trec(lines: list[tuple[int, str]], path: Path) -> Iterator[tuple[int, str, str, Any]]:
    for number, line in lines:
        fields = run_columns(line)
        if len(fields) != RUN_COLUMNS:
            raise _bad(f"{len(fields)} columns; a run has {RUN_COLUMNS}", path, number)
        yield number, fields[0].strip(), fields[2].strip(), fields[4]


def _bad(reason: str, path: Path, line: int) -> Mismatch:
    return Mismatch(reason, where=f"{path}, line {line}", remedy="write the run again, or correct the line")


def _run_of(rows: Iterable[tuple[int, str, str, Any]], path: Path) -> Run:
    run: Run = {}
    for number, query, item, value in rows:
        scores = run.setdefault(query, {})
        if item in scores:
            raise _bad(f"item {item!r} comes twice for query {query!r}", path, number)
        score = _score(value)
        if not math.isfinite(score):
            raise _bad(f"the score {value!r} of item {item!r} is not a finite number", path, number)
        scores[item] = score
    return run


def _score(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
