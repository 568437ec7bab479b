"""A bench as files: what ``report.storing`` writes, and what only a bench knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qembed.commands.bench.result import BenchResult
from qembed.evaluation.diagnose.agreement import PERSISTENCE, Agreement
from qembed.evaluation.eval_sets.eval_set import EvalSet
from qembed.evaluation.systems.judges import judges_entry
from qembed.evaluation.systems.rows import Row
from qembed.evaluation.systems.side import Side, describe_side
from qembed.report.hits import Shown, Used
from qembed.report.storing import (
    Contents,
    document_of,
    eval_set_entry,
    eval_set_hash,
    hash_of,
    run_files,
    system_entry,
    write_folder,
)

_LENGTH_BINS = 24


def as_document(result: BenchResult) -> dict[str, Any]:
    """The result as one JSON document; docs/bench.md lists its keys."""
    files = run_files(row.system.name for row in result.rows)
    return document_of(
        command="bench",
        created=result.created,
        seconds=result.seconds,
        passed=result.passed,
        eval_set=eval_set_entry(
            result.eval_set.folder,
            result.eval_set.card,
            result.qrels,
            result.eval_set.judged,
            result.eval_set.groups,
            _hash_of(result.eval_set),
        ),
        sides=[
            {**describe_side(side), "relevant_absent": absent, "lengths": _lengths(side)}
            for side, absent in zip(result.sides, result.absent, strict=True)
        ],
        measures=[str(measure) for measure in result.measures],
        systems=[_system(row, file) for row, file in zip(result.rows, files, strict=True)],
        ceilings={str(depth): value for depth, value in result.ceilings.items()},
        waterfalls={
            name: {"k": found.k, "shares": found.shares} for name, found in result.waterfalls.items()
        },
        frontiers={name: asdict(found) for name, found in result.frontiers.items()},
        answerability=result.answerability,
        unjudged=len(result.unjudged),
        unjudged_queries={
            "count": len(result.waiting.queries),
            "shown": list(result.asked_along),
            "in_other_splits": result.waiting.elsewhere,
        },
        outlook=_outlook(result),
        judges=judges_entry(result.judges),
        agreements={name: _agreement(found) for name, found in result.agreements.items()},
        gates=[
            {
                "gate": gated.result.gate.text,
                "system": gated.system,
                "outcome": gated.result.outcome,
                "passed": gated.result.passed,
                "words": gated.result.words,
            }
            for gated in result.gates
        ],
        findings=result.findings,
        options=asdict(result.options),
    )


def _outlook(result: BenchResult) -> dict[str, Any] | None:
    if result.outlook is None:
        return None
    system, baseline = result.headline
    return {"system": system, "baseline": baseline, **asdict(result.outlook)}


def _agreement(found: Agreement) -> dict[str, Any]:
    return {
        "overlap": {str(k): asdict(estimate) for k, estimate in found.overlaps.items()},
        "rank_biased_overlap": {"p": PERSISTENCE, **asdict(found.rbo)},
        "least": [{"query_id": query, "rank_biased_overlap": value} for query, value in found.least],
    }


def store_bench(result: BenchResult, reports: Path, name: str | None = None) -> Path:
    """Write a bench into a new folder ``NNNN_NAME`` below ``reports``; returns the folder.

    ``bench.json`` is written last: a folder without it is of a run that was interrupted.

    Args:
        result: What was found.
        reports: Made if need be.
        name: The eval set's own when None.

    Raises:
        UsageError: The name cannot be part of a folder's.
        OSError: The disk is full.
    """
    contents = Contents(
        shown=[_shown(row, result.sides.index(row.system.side)) for row in result.rows],
        qrels=result.qrels,
        queries=result.eval_set.queries,
        measures=[str(measure) for measure in result.measures],
        unjudged=result.unjudged,
        asked_along=result.asked_along,
        by_models=result.judges.units if result.judges else {},
        texts=partial(_texts, result),
        losses=(
            [system, loss.query_id, loss.unit, loss.relevance, loss.stage, loss.rank_before, loss.rank_after]
            for system, found in result.waterfalls.items()
            for loss in found.losses
        ),
    )
    return write_folder(reports, name or result.eval_set.card.name, contents, partial(as_document, result))


def _shown(row: Row, side: int) -> Shown:
    system = row.system

    def found_by(query: str) -> dict[str, str]:
        return system.side.units.best_texts(system.texts.get(query, {}))

    return Shown(system.name, system.run, row.values, side, found_by)


def _texts(result: BenchResult, used: Used) -> Iterator[dict[str, Any]]:
    for number, side in enumerate(result.sides):
        collection = side.collection
        for at, chunk_id in enumerate(collection.ids):
            if (number, chunk_id) in used:
                yield {
                    "side": number,
                    "chunk_id": chunk_id,
                    "text": collection.texts[at],
                    "pages": collection.pages[at],
                    "chunks": len(collection.chunks[at]),
                    "tokens": int(collection.tokens[at]),
                }


def _system(row: Row, file: str) -> dict[str, Any]:
    system = row.system
    work = system.reranking.work if system.reranking else None
    return system_entry(
        system.name,
        system.kind,
        file,
        row,
        system.info,
        latency_ms={
            "stages": {stage: asdict(found) for stage, found in row.stages.items()},
            "total": None if row.latency is None else asdict(row.latency),
        },
        reranking=None
        if work is None
        else {
            "pairs": work.pairs,
            "unique_pairs": work.unique_pairs,
            "truncated_pairs": work.truncated_pairs,
            "tokens": work.tokens,
            "seconds": work.seconds,
            "pairs_per_second": row.pairs_per_second,
            "splits": work.splits,
            "failures": list(work.failures),
        },
    )


def _lengths(side: Side) -> dict[str, Any] | None:
    """Texts by tokens before truncation; what the model reads is one of the edges where a text is longer.

    ``counts[i]`` texts have more than ``edges[i]`` tokens (the first: 0 or more) and at most the next edge;
    the last count is of those beyond the last edge. None where nobody knows the tokens.
    """
    tokens = side.collection.tokens[side.collection.tokens >= 0]
    if not len(tokens):
        return None
    longest = int(tokens.max())
    limit = side.max_tokens or longest or 1
    top = float(np.quantile(tokens, 0.99))
    if longest > limit:
        top = max(top, limit)
    step = limit / max(1, round(limit / max(1.0, top / _LENGTH_BINS)))
    edges = [round(step * at) for at in range(int(np.ceil(top / step - 1e-9)) + 1)] or [0]
    bounds = [-0.5, *(edge + 0.5 for edge in edges[1:]), np.inf]
    counts = np.histogram(tokens, bins=bounds)[0]
    return {"edges": edges, "counts": counts.tolist(), "longest": longest}


def _hash_of(eval_set: EvalSet) -> str:
    """SHA-256 over the queries, the qrels that were read, and the card; of questions over their file."""
    if not eval_set.qrels:
        return hash_of({eval_set.queries_file.name: eval_set.queries_file})
    return eval_set_hash(eval_set.folder, eval_set.queries_file, eval_set.qrels_file)
