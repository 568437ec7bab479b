"""Runs written in TREC's six columns: query, ``Q0``, item, rank, score, name of the run; and their qrels.

Ids hold no white space (``run_ids``), so every tool finds the columns. The written order is that of
``ordering.ranked`` for every reader, also for those that read scores as float32 or break ties otherwise
(trec_eval: by id, descending): a score that does not lie below the one before it in float32 is written as the
next lower float32. Other scores are written to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from qembed.errors import Mismatch
from qembed.evaluation.eval_sets.lines import write_lines
from qembed.evaluation.eval_sets.run_ids import Names, written_ids
from qembed.evaluation.retrieve.ordering import ranked
from qembed.records import Qrels, Run

_LOWEST = np.float32(-np.inf)
_LARGEST = float(np.finfo(np.float32).max)


def write_runs(folder: Path, runs: Mapping[str, tuple[str, Run]], qrels: Qrels, qrels_file: str) -> None:
    """Write runs, and their qrels so that ``trec_eval -c`` averages over the queries that ``mean()`` does.

    Every query of a run stands in the order of ``ranked``, ranks from 1. Queries without a relevant item are
    left out of the qrels: they have no value here, and trec_eval would count them 0.

    Args:
        folder: Where the files go, all into one folder; those that are there are replaced.
        runs: File -> name of the run, in which white space becomes ``_``, and query id -> item id -> score.
        qrels: Query id -> item id -> grade.
        qrels_file: Its file.

    Raises:
        Mismatch: A score is not finite, or beyond float32.
        QembedError: The disk is full or cannot be written.
    """
    tables: list[Mapping[str, Mapping[str, float]]] = [qrels, *(run for _, run in runs.values())]
    ids = {name for table in tables for query, items in table.items() for name in (query, *items)}
    written = written_ids((folder / qrels_file).parent, ids)
    for file, (name, run) in runs.items():
        write_lines(folder / file, _run_lines(run, "_".join(name.split()) or "qembed", written))
    write_lines(
        folder / qrels_file,
        (
            f"{written(query)}\t0\t{written(item)}\t{grade}"
            for query, grades in qrels.items()
            if any(grade > 0 for grade in grades.values())
            for item, grade in grades.items()
        ),
    )


def _run_lines(run: Run, tag: str, written: Names) -> Iterator[str]:
    for query, scores in run.items():
        items = ranked(scores)
        falls = falling(query, [float(scores[item]) for item in items])
        for rank, (item, score) in enumerate(zip(items, falls, strict=True), start=1):
            yield f"{written(query)}\tQ0\t{written(item)}\t{rank}\t{score!r}\t{tag}"


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
