"""A comparison as files, as ``stored`` reads them back: what ``bench`` and ``compare`` both write.

One JSON document, values by query, losses, unjudged items, hits with their texts, and runs for other tools.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from qembed.errors import UsageError
from qembed.evaluation.diagnose.decisive import Unjudged
from qembed.evaluation.eval_sets.card import CARD, Card
from qembed.evaluation.eval_sets.groups import Groups, repeated
from qembed.evaluation.eval_sets.trec import write_runs
from qembed.evaluation.systems.measured import Measured
from qembed.models.device import device_name
from qembed.records import Finding, Qrels
from qembed.report.hits import Shown, Used, write_hits
from qembed.report.stored import DOCUMENT, NUMBERED, SCHEMA
from qembed.store import atomic_file, describe_finding, environment, locked, write_json

QRELS: Final = "runs/qrels.txt"
"""Judgements of the runs' units; with them trec_eval computes the same numbers."""
_LIBRARIES = ("qdrant-client", "qdrant-edge-py", "ranx", "scipy", "pandas", "numba", "bm25s", "PyStemmer")
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Contents:
    """What is stored beside the document.

    Attributes:
        shown: The systems, in the order of the table.
        qrels: Over units.
        queries: Query id -> text, of those that have one.
        measures: In the order of the columns.
        unjudged: Units among the first ten of a system that nobody has judged, the most decisive first.
        texts: Lines of ``texts.jsonl`` for the hits that were written.
        asked_along: Queries that nobody has judged, whose hits are written too.
        by_models: Query id -> unit -> the model that graded it, where no person did.
        losses: Lines of ``losses.csv``.
    """

    shown: Sequence[Shown]
    qrels: Qrels
    queries: Mapping[str, str]
    measures: Sequence[str]
    unjudged: Sequence[Unjudged]
    texts: Callable[[Used], Iterable[dict[str, Any]]]
    asked_along: Sequence[str] = ()
    by_models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    losses: Iterable[Sequence[Any]] = ()


def write_folder(
    reports: Path, name: str, contents: Contents, document: Callable[[], Mapping[str, Any]]
) -> Path:
    """Write a new folder ``NNNN_NAME`` below ``reports``; returns the folder.

    ``bench.json`` is written last: a folder without it is of a run that was interrupted.

    Args:
        reports: Made if need be.
        name: Part of the folder's name.
        contents: All but the document.
        document: Makes ``bench.json``.

    Raises:
        UsageError: The name cannot be part of a folder's.
        OSError: The disk is full.
    """
    folder = new_folder(reports, name)
    (folder / "runs").mkdir()
    names = [one.name for one in contents.shown]
    runs = {
        file: (file_name(one.name), one.run)
        for one, file in zip(contents.shown, run_files(names), strict=True)
    }
    write_runs(folder, runs, contents.qrels, QRELS)
    _write_csv(
        folder / "per_query.csv", ["query_id", "query", "system", *contents.measures], _values(contents)
    )
    _write_csv(
        folder / "losses.csv",
        ["system", "query_id", "unit", "relevance", "stage", "rank_before", "rank_after"],
        contents.losses,
    )
    asked = {**contents.qrels, **{query: {} for query in contents.asked_along}}
    write_hits(folder, contents.shown, asked, contents.queries, contents.texts, contents.by_models)
    _write_csv(folder / "unjudged.csv", list(Unjudged._fields), contents.unjudged)
    write_json(folder / DOCUMENT, document())
    return folder


def document_of(
    *,
    command: str,
    created: str,
    seconds: float,
    eval_set: Mapping[str, Any],
    measures: Sequence[str],
    systems: Sequence[Mapping[str, Any]],
    unjudged: int,
    findings: Iterable[Finding],
    options: Mapping[str, Any],
    passed: bool = True,
    **known: Any,
) -> dict[str, Any]:
    """``bench.json``; docs/bench.md lists its keys.

    Args:
        command: What made it: ``bench`` or ``compare``.
        created: UTC time, ISO 8601.
        seconds: Wall time.
        eval_set: As ``eval_set_entry`` makes it.
        measures: In the order of the columns; none where nothing is judged.
        systems: As ``system_entry`` makes them, in the order of the table.
        unjudged: Number of unjudged units among the first ten.
        findings: What is wrong with the eval set.
        options: As asked for; paths become strings.
        passed: Every gate holds.
        known: What only a bench knows; empty without.
    """
    return {
        "schema": SCHEMA,
        "command": command,
        "created": created,
        "seconds": round(seconds, 3),
        "passed": passed,
        "judged": bool(measures),
        "eval_set": eval_set,
        "sides": known.get("sides", []),
        "measures": list(measures),
        "systems": list(systems),
        **{key: known.get(key, {}) for key in ("ceilings", "waterfalls", "frontiers", "answerability")},
        "unjudged": unjudged,
        "unjudged_queries": known.get("unjudged_queries", {"count": 0, "shown": [], "in_other_splits": 0}),
        "outlook": known.get("outlook"),
        "judges": known.get("judges"),
        "qrels": QRELS,
        "agreements": known.get("agreements", {}),
        "gates": known.get("gates", []),
        "findings": [describe_finding(finding) for finding in findings],
        "options": {key: str(value) if isinstance(value, Path) else value for key, value in options.items()},
        "environment": {
            **environment(),
            "evaluation_libraries": {name: _version(name) for name in _LIBRARIES},
            "cpu": device_name("cpu"),
            "cores": os.cpu_count(),
            # Of the last minute: far above the cores, others were at work while queries were timed.
            "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        },
    }


def system_entry(
    name: str,
    kind: str,
    file: str,
    found: Measured,
    info: Mapping[str, Any],
    *,
    latency_ms: Mapping[str, Any] | None = None,
    reranking: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One system in the document.

    Args:
        name: As it is shown.
        kind: ``vectors``, ``bm25``, ``fusion``, ``reranked``; ``run`` where nothing is known but its results.
        file: Its run, below the folder.
        found: Its numbers.
        info: Where it comes from.
        latency_ms: Times of its stages and of all together; nothing was timed when None.
        reranking: What its reranker did.
    """
    return {
        "name": name,
        "kind": kind,
        "run": file,
        "estimates": {measure: asdict(one) for measure, one in found.estimates.items()},
        "comparisons": {measure: asdict(one) for measure, one in found.comparisons.items()},
        "difference_whatever_the_holes": found.holes,
        "pool": None if found.pool is None else asdict(found.pool),
        "latency_ms": latency_ms or {"stages": {}, "total": None},
        "reranking": reranking,
        "info": info,
    }


def eval_set_entry(
    folder: Path, card: Card, qrels: Qrels, judged: Mapping[str, str], groups: Groups, sha256: str
) -> dict[str, Any]:
    """The eval set in the document.

    Args:
        folder: Where it lies, or the file.
        card: What it says of itself.
        qrels: Over judged units.
        judged: Query id -> text of the judged queries, as far as texts are known.
        groups: Queries that are drawn together.
        sha256: Hash of its files.
    """
    return {
        "folder": str(folder),
        **asdict(card),
        "queries": len(qrels),
        "answerable": sum(any(grade > 0 for grade in grades.values()) for grades in qrels.values()),
        "judgements": sum(map(len, qrels.values())),
        "groups": len(set(groups.values())),
        "queries_in_groups": len(groups),
        "repeated_queries": repeated(judged),
        "sha256": sha256,
    }


def hash_of(files: Mapping[str, Path]) -> str:
    """SHA-256 over names and bytes of files; one that is not there is left out."""
    digest = sha256()
    for name, path in files.items():
        if path.is_file():
            digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def eval_set_hash(folder: Path, *files: Path) -> str:
    """``hash_of`` files of an eval set and its card."""
    return hash_of({path.relative_to(folder).as_posix(): path for path in (*files, folder / CARD)})


def file_name(system: str) -> str:
    """A system's name as part of a file name: ``vectors > maxsim:minilm`` is ``vectors-maxsim-minilm``."""
    return re.sub(r"[^\w.]+", "-", system).strip("-")[:_LONGEST_NAME]


def run_files(systems: Iterable[str]) -> list[str]:
    """The file of each system's run, below the report's folder; no two are the same."""
    files: list[str] = []
    for system in systems:
        name = file_name(system)
        taken = sum(re.fullmatch(rf"runs/{re.escape(name)}(-\d+)?\.trec", file) is not None for file in files)
        files.append(f"runs/{name}-{taken + 1}.trec" if taken else f"runs/{name}.trec")
    return files


def new_folder(reports: Path, name: str) -> Path:
    """A new folder ``NNNN_NAME``, numbered after those that are there."""
    part = file_name(name)
    if not part:
        raise UsageError(f"{name!r} cannot name a report", remedy="--name with letters or digits")
    reports.mkdir(parents=True, exist_ok=True)
    with locked(reports / "numbers"):  # two benches of different names would take one number
        while True:
            taken = [int(found[1]) for path in reports.iterdir() if (found := NUMBERED.fullmatch(path.name))]
            folder = reports / f"{max(taken, default=0) + 1:04d}_{part}"
            try:
                folder.mkdir()
            except FileExistsError:  # somebody else made it
                continue
            return folder


def _values(contents: Contents) -> Iterator[list[str]]:
    for one in contents.shown:
        for query in one.values.index:
            values = one.values.loc[query]
            numbers = (
                "" if values[name] != values[name] else f"{values[name]:.6f}" for name in contents.measures
            )
            yield [query, contents.queries.get(query, ""), one.name, *numbers]


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
