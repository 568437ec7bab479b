"""Runs on disk in TREC's six columns: query, ``Q0``, item, rank, score, name of the run; and their qrels.

Columns are separated by tabs, which every tool reads, and which keeps ids with spaces whole here. The written
order is that of ``ordering.ranked`` for every reader, also for those that read scores as float32 or break
ties otherwise (trec_eval: by id, descending): a score that does not lie below the one before it in float32 is
written as the next lower float32. Other scores are written to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from qembed.errors import Mismatch
from qembed.evaluation.eval_sets.beir import check_ids, check_qrels_ids
from qembed.evaluation.eval_sets.columns import RUN_COLUMNS, run_columns
from qembed.evaluation.eval_sets.findings import finding, refuse
from qembed.evaluation.eval_sets.lines import text_lines, write_lines
from qembed.evaluation.retrieve.ordering import ranked
from qembed.records import OnFinding, Qrels, Run

_LOWEST = np.float32(-np.inf)
_LARGEST = float(np.finfo(np.float32).max)


def read_run(path: Path, on_finding: OnFinding = refuse) -> Run:
    """Query id -> item id -> score. The file's ranks are not read: the order of a run is that of its scores.

    Raises:
        InputNotFound: The file is not there.
        Mismatch: An item comes twice for one query, or a score is NaN; without ``on_finding`` also a broken
            line.
    """
    run: Run = {}
    for number, line in text_lines(path, on_finding):
        fields = run_columns(line)
        if len(fields) != RUN_COLUMNS:
            reason = f"{len(fields)} columns; expected query id, Q0, item id, rank, score, name of the run"
            on_finding(finding("bad-row", path, reason, line=number))
            continue
        query_id, _, item_id, _, text, _ = fields
        score = _score(text, path, number)
        scores = run.setdefault(query_id, {})
        if item_id in scores:
            raise Mismatch(
                f"item {item_id!r} comes twice for query {query_id!r}",
                where=f"{path}, line {number}",
                remedy="keep the line that counts: a run names each item once",
            )
        scores[item_id] = score
    return run


def write_run(path: Path, run: Mapping[str, Mapping[str, float]], *, name: str = "qembed") -> None:
    """Write a run, every query in the order of ``ranked``; ranks from 1.

    Args:
        path: The file; replaced when it is there.
        run: Query id -> item id -> score.
        name: Last column; white space in it becomes ``_``.

    Raises:
        Mismatch: A score is not finite, or beyond float32.
        UsageError: An id holds a tab or a line break.
        QembedError: The disk is full or cannot be written.
    """
    check_ids(run, "beir", path)
    for scores in run.values():
        check_ids(scores, "beir", path)
    tag = "_".join(name.split()) or "qembed"

    def lines() -> Iterator[str]:
        for query_id, scores in run.items():
            items = ranked(scores)
            written = falling(query_id, [float(scores[item]) for item in items])
            for rank, (item, score) in enumerate(zip(items, written, strict=True), start=1):
                yield f"{query_id}\tQ0\t{item}\t{rank}\t{score!r}\t{tag}"

    write_lines(path, lines())


def write_run_qrels(path: Path, qrels: Qrels) -> None:
    """Write the qrels of a run so that ``trec_eval -c`` averages over the queries that ``mean()`` does.

    Queries without a relevant item are left out: they have no value here, and trec_eval would count them 0.
    Four columns with tabs between, as in ``write_run``.

    Raises:
        UsageError: An id holds a tab or a line break.
        QembedError: The disk is full or cannot be written.
    """
    check_qrels_ids(qrels, "beir", path)
    write_lines(
        path,
        (
            f"{query}\t0\t{item}\t{grade}"
            for query, grades in qrels.items()
            if any(grade > 0 for grade in grades.values())
            for item, grade in grades.items()
        ),
    )


def falling(query_id: str, scores: list[float]) -> list[float]:
    """Scores that fall strictly also when read as float32; each is kept where it does so already.

    Args:
        query_id: Named where a score cannot be written.
        scores: Highest first.

    Raises:
        Mismatch: A score is not finite, or beyond float32.
    """
    result: list[float] = []
    before = math.inf
    for score in scores:
        if not math.isfinite(score) or abs(score) > _LARGEST:
            raise Mismatch(
                f"the score {score!r} of query {query_id!r} is beyond what a run can hold",
                remedy="find out what made it: a model in fp16 may overflow, try --precision fp32",
            )
        rounded = float(np.float32(score))
        if rounded >= before:
            score = rounded = float(np.nextafter(np.float32(before), _LOWEST))
        result.append(score)
        before = rounded
    return result


def _score(text: str, path: Path, line: int) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if math.isnan(score):
        raise Mismatch(
            f"the score {text!r} is not a number",
            where=f"{path}, line {line}",
            remedy="write the run again: an item without a score has no place in any order",
        )
    return score
