"""A bench as files: one JSON document, values by query, losses, unjudged items, and runs for other tools."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from qembed.commands.bench.hits import write_hits
from qembed.commands.bench.result import BenchResult
from qembed.errors import UsageError
from qembed.evaluation.diagnose.agreement import PERSISTENCE, Agreement
from qembed.evaluation.diagnose.decisive import Unjudged
from qembed.evaluation.eval_sets.eval_set import CARD, EvalSet
from qembed.evaluation.eval_sets.groups import repeated
from qembed.evaluation.eval_sets.trec import write_runs
from qembed.evaluation.systems.rows import Row
from qembed.evaluation.systems.side import Side, describe_side
from qembed.models.device import device_name
from qembed.store import atomic_file, describe_finding, environment, locked, write_json

SCHEMA = "qembed.bench/2"
_LIBRARIES = ("qdrant-client", "qdrant-edge-py", "ranx", "scipy", "pandas", "numba", "bm25s", "PyStemmer")
QRELS = "runs/qrels.txt"
"""Judgements of the runs' units; with them trec_eval computes the bench's numbers."""
_LENGTH_BINS = 24
_LONGEST_NAME = 100
_NUMBERED = re.compile(r"(\d{4,})_.*")


def as_document(result: BenchResult) -> dict[str, Any]:
    """The result as one JSON document; docs/bench.md lists its keys."""
    return {
        "schema": SCHEMA,
        "created": result.created,
        "seconds": round(result.seconds, 3),
        "passed": result.passed,
        "judged": bool(result.measures),
        "eval_set": _eval_set(result),
        "sides": [
            {**describe_side(side), "relevant_absent": absent, "lengths": _lengths(side)}
            for side, absent in zip(result.sides, result.absent, strict=True)
        ],
        "measures": [str(measure) for measure in result.measures],
        "systems": [
            _system(row, file) for row, file in zip(result.rows, _run_files(result.rows), strict=True)
        ],
        "ceilings": {str(depth): value for depth, value in result.ceilings.items()},
        "waterfalls": {
            name: {"k": found.k, "shares": found.shares} for name, found in result.waterfalls.items()
        },
        "frontiers": {name: asdict(found) for name, found in result.frontiers.items()},
        "answerability": result.answerability,
        "unjudged": len(result.unjudged),
        "qrels": QRELS,
        "agreements": {name: _agreement(found) for name, found in result.agreements.items()},
        "gates": [
            {
                "gate": gated.result.gate.text,
                "system": gated.system,
                "outcome": gated.result.outcome,
                "passed": gated.result.passed,
                "words": gated.result.words,
            }
            for gated in result.gates
        ],
        "findings": [describe_finding(finding) for finding in result.findings],
        "options": _options(result),
        "environment": {
            **environment(),
            "evaluation_libraries": {name: _version(name) for name in _LIBRARIES},
            "cpu": device_name("cpu"),
            "cores": os.cpu_count(),
            # Of the last minute: far above the cores, others were at work while queries were timed.
            "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        },
    }


def _eval_set(result: BenchResult) -> dict[str, Any]:
    answered = [q for q, grades in result.qrels.items() if any(grade > 0 for grade in grades.values())]
    return {
        "folder": str(result.eval_set.folder),
        **asdict(result.eval_set.card),
        "queries": len(result.qrels),
        "answerable": len(answered),
        "judgements": sum(map(len, result.qrels.values())),
        "groups": len(set(result.eval_set.groups.values())),
        "queries_in_groups": len(result.eval_set.groups),
        "repeated_queries": repeated(result.eval_set.judged),
        "sha256": _hash_of(result.eval_set),
    }


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
    folder = _new_folder(reports, name or result.eval_set.card.name)
    runs = {
        file: (file_name(row.system.name), row.system.run)
        for row, file in zip(result.rows, _run_files(result.rows), strict=True)
    }
    write_runs(folder, runs, result.qrels, QRELS)
    measures = [str(measure) for measure in result.measures]
    _write_csv(
        folder / "per_query.csv",
        ["query_id", "query", "system", *measures],
        (
            [query, result.eval_set.queries.get(query, ""), row.system.name, *_numbers(row, query, measures)]
            for row in result.rows
            for query in row.values.index
        ),
    )
    _write_csv(
        folder / "losses.csv",
        ["system", "query_id", "unit", "relevance", "stage", "rank_before", "rank_after"],
        (
            [system, loss.query_id, loss.unit, loss.relevance, loss.stage, loss.rank_before, loss.rank_after]
            for system, found in result.waterfalls.items()
            for loss in found.losses
        ),
    )
    systems = [row.system for row in result.rows]
    write_hits(folder, systems, result.sides, result.qrels, result.eval_set.queries)
    _write_csv(folder / "unjudged.csv", list(Unjudged._fields), result.unjudged)
    write_json(folder / "bench.json", as_document(result))
    return folder


def file_name(system: str) -> str:
    """A system's name as part of a file name: ``vectors > maxsim:minilm`` is ``vectors-maxsim-minilm``."""
    return re.sub(r"[^\w.]+", "-", system).strip("-")[:_LONGEST_NAME]


def _run_files(rows: Sequence[Row]) -> list[str]:
    """The file of each system's run, below the report's folder; no two are the same."""
    files: list[str] = []
    for row in rows:
        name = file_name(row.system.name)
        taken = sum(re.fullmatch(rf"runs/{re.escape(name)}(-\d+)?\.trec", file) is not None for file in files)
        files.append(f"runs/{name}-{taken + 1}.trec" if taken else f"runs/{name}.trec")
    return files


def _new_folder(reports: Path, name: str) -> Path:
    part = file_name(name)
    if not part:
        raise UsageError(f"{name!r} cannot name a report", remedy="--name with letters or digits")
    reports.mkdir(parents=True, exist_ok=True)
    with locked(reports / "numbers"):  # two benches of different names would take one number
        while True:
            taken = [int(found[1]) for path in reports.iterdir() if (found := _NUMBERED.fullmatch(path.name))]
            folder = reports / f"{max(taken, default=0) + 1:04d}_{part}"
            try:
                folder.mkdir()
            except FileExistsError:  # somebody else made it
                continue
            return folder


def _system(row: Row, file: str) -> dict[str, Any]:
    system = row.system
    work = system.reranking.work if system.reranking else None
    return {
        "name": system.name,
        "kind": system.kind,
        "run": file,
        "estimates": {name: asdict(found) for name, found in row.estimates.items()},
        "comparisons": {name: asdict(found) for name, found in row.comparisons.items()},
        "difference_whatever_the_holes": row.holes,
        "pool": None if row.pool is None else asdict(row.pool),
        "latency_ms": {
            "stages": {stage: asdict(found) for stage, found in row.stages.items()},
            "total": None if row.latency is None else asdict(row.latency),
        },
        "reranking": None
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
        "info": system.info,
    }


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


def _options(result: BenchResult) -> dict[str, Any]:
    options = asdict(result.options)
    return {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}


def _numbers(row: Row, query: str, measures: Sequence[str]) -> list[str]:
    values = row.values.loc[query]
    return ["" if values[name] != values[name] else f"{values[name]:.6f}" for name in measures]


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())


def _hash_of(eval_set: EvalSet) -> str:
    """SHA-256 over the names and bytes of the queries, of the qrels that were read, and of the card."""
    digest = sha256()
    judged = (eval_set.qrels_file, eval_set.folder / CARD) if eval_set.qrels else ()
    for path in (eval_set.queries_file, *judged):
        if path.is_file():
            name = path.relative_to(eval_set.folder).as_posix() if eval_set.qrels else path.name
            digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
