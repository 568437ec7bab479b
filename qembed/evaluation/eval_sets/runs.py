"""Runs read from disk: TREC's six columns, ranx's JSON, and tables with named columns as of ir-measures.

Nothing is unpickled. Files that end in ``.gz`` are read as they are. Ids are read as they were before
``run_ids`` wrote them.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qembed.errors import InputNotFound, Mismatch, QembedError
from qembed.evaluation.eval_sets.columns import RUNS
from qembed.evaluation.eval_sets.lines import decoded_lines, text_lines
from qembed.evaluation.eval_sets.rows import rows_of
from qembed.evaluation.eval_sets.run_ids import original_ids
from qembed.records import Finding, Run

_PICKLED = (".pkl", ".pickle", ".lz4", ".parquet", ".parq")


def read_run(path: Path) -> Run:
    """Query id -> item id -> score, higher is better; the content decides the layout, ranks are not read.

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
    run: Run = {}
    original = original_ids(path.parent)
    for number, fields in rows_of(_lines(path), RUNS):
        if isinstance(fields, str):
            raise _bad(fields, path, number)
        query, item = (original(str(name).strip()) for name in fields[:2])
        if not str(fields[0]).strip() or not str(fields[1]).strip():
            raise _bad("an id is empty", path, number)
        scores = run.setdefault(query, {})
        if item in scores:
            raise _bad(f"item {item!r} comes twice for query {query!r}", path, number)
        scores[item] = _score(fields[2])
        if not math.isfinite(scores[item]):
            raise _bad(f"the score {fields[2]!r} of item {item!r} is not a finite number", path, number)
    return run


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    if path.suffix.lower() != ".gz":
        yield from text_lines(path, _refuse)
        return
    try:
        with gzip.open(path, "rb") as file:
            yield from decoded_lines(file, path, _refuse)
    except FileNotFoundError as error:
        raise InputNotFound("the file does not exist", where=str(path), remedy="check its name") from error
    except (OSError, EOFError) as error:
        raise QembedError(f"cannot unpack: {error}", where=str(path), remedy="copy it again") from error


def _refuse(found: Finding) -> None:
    raise Mismatch(found.reason, where=str(found.place), remedy="save the file as UTF-8")


def _bad(reason: str, path: Path, line: int) -> Mismatch:
    return Mismatch(
        reason,
        where=f"{path}, line {line}",
        remedy="a run has TREC's six columns, ranx's JSON, or columns named query_id, doc_id and score",
    )


def _score(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
