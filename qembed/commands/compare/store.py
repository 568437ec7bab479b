"""Compared runs as files, in the form of a bench: ``qembed report`` makes one page of either."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from qembed.commands.compare.compare import Compared, RunComparison
from qembed.evaluation.eval_sets.eval_set import queries_file
from qembed.evaluation.eval_sets.judgements import Judgements
from qembed.evaluation.systems.judges import judges_entry
from qembed.models.hashes import file_sha256
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


def compare_document(found: RunComparison) -> dict[str, Any]:
    """The comparison as one JSON document, in the form of a bench; what nobody knows is empty or null."""
    judged = found.judgements
    files = run_files(one.name for one in found.runs)
    entry = eval_set_entry(
        judged.folder or judged.file,
        judged.card,
        judged.qrels,
        judged.queries,
        judged.groups,
        _hash_of(judged),
    )
    return document_of(
        command="compare",
        created=found.created,
        seconds=found.seconds,
        eval_set={**entry, "level": judged.level},
        measures=[str(measure) for measure in found.measures],
        systems=[
            system_entry(one.name, "run", file, one.measured, _info(one))
            for one, file in zip(found.runs, files, strict=True)
        ],
        unjudged=len(found.unjudged),
        judges=judges_entry(found.judges),
        findings=found.findings,
        options=asdict(found.options),
    )


def store_comparison(found: RunComparison, reports: Path, name: str | None = None) -> Path:
    """Write a comparison into a new folder ``NNNN_NAME`` below ``reports``; returns the folder.

    Args:
        found: Compared runs.
        reports: Made if need be.
        name: That of the eval set, or of the file of judgements, when None.

    Raises:
        UsageError: The name cannot be part of a folder's.
        OSError: The disk is full.
    """
    contents = Contents(
        shown=[Shown(one.name, one.run, one.measured.values) for one in found.runs],
        qrels=found.judgements.qrels,
        queries=found.judgements.queries,
        measures=[str(measure) for measure in found.measures],
        unjudged=found.unjudged,
        texts=partial(_texts, found),
        by_models=found.judges.units if found.judges else {},
    )
    return write_folder(
        reports, name or found.judgements.card.name, contents, partial(compare_document, found)
    )


def _hash_of(judged: Judgements) -> str:
    """SHA-256 over the judgements; of an eval set as ``bench`` makes it, so that both are one group."""
    if judged.folder is None:
        return hash_of({"qrels": judged.file})
    return eval_set_hash(judged.folder, queries_file(judged.folder), judged.file)


def _info(one: Compared) -> dict[str, Any]:
    return {
        "file": str(one.path),
        "sha256": file_sha256(one.path),
        "queries_not_answered": len(one.missing),
        "queries_not_judged": len(one.unknown),
        "own_documents_left_out": len(one.own),
        "queries_with_ties": one.tied,
        "scores_rise": one.rises,
    }


def _texts(found: RunComparison, used: Used) -> Iterator[dict[str, Any]]:
    pages = found.judgements.level == "page"
    for side, item in sorted(used):
        if item in found.texts:
            yield {
                "side": side,
                "chunk_id": item,
                "text": found.texts[item],
                "pages": [item] if pages else [],
                "chunks": 1,
                "tokens": -1,
            }
