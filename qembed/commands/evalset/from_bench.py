"""An eval set out of a stored bench: its questions, with what was judged before its report was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from qembed.errors import UsageError
from qembed.evaluation.eval_sets.authors import LOG, MODEL_PREFIX, authors_of, judged_by_words
from qembed.evaluation.eval_sets.beir import write_qrels, write_queries
from qembed.evaluation.eval_sets.card import Card, write_card
from qembed.evaluation.eval_sets.eval_set import load_eval_set
from qembed.evaluation.eval_sets.lines import write_lines
from qembed.report.stored import StoredBench
from qembed.store import explained


def begin_eval_set(folder: Path, stored: StoredBench) -> None:
    """Write ``queries.jsonl``, ``card.toml`` and the qrels of the bench; the folder appears when it is whole.

    An eval set that is there already is left as it is, if it has the questions of the bench.

    Args:
        folder: Folder of the new eval set.
        stored: The bench.

    Raises:
        UsageError: The folder holds other questions, or the text of one is not known.
        InputNotFound: The folder is no eval set.
        QembedError: The disk is full or cannot be written.
    """
    queries = {str(query["query_id"]): str(query["text"]) for query in stored.shown}
    without = [query for query, text in queries.items() if not text]
    if without:
        raise UsageError(
            f"the text of query {without[0]!r} is not known"
            + (f", and of {len(without) - 1:,} more" if len(without) > 1 else ""),
            where=str(stored.folder),
            remedy="compare again with --queries",
        )
    if folder.exists():
        there = load_eval_set(folder, judged=False).queries
        if any(there.get(name) != text for name, text in queries.items()):
            raise UsageError(
                f"the eval set is there already, with other questions than {stored.folder.name}",
                where=str(folder),
                remedy="name a new folder, or the bench that the judgements come from",
            )
        return
    judged = {str(query["query_id"]): query["judged"] for query in stored.queries if query["judged"]}
    level = stored.document["eval_set"]["level"]
    card = Card(
        name=folder.name,
        level="page" if level == "page" else "chunk",
        description=f"The questions of {stored.folder.name}, judged in its report.",
    )
    file = f"{card.split}.tsv"
    log = list(_grades_of_models(stored, file))
    card = replace(card, judged_by=judged_by_words(authors_of(judged, log, card.split, ""), ""))
    work = folder.with_name(f".{folder.name}.new")
    with explained(folder):
        shutil.rmtree(work, ignore_errors=True)
        write_queries(work / "queries.jsonl", queries)
        write_card(work, card)
        write_qrels(work / "qrels" / file, judged)
        if log:
            write_lines(work / LOG, [orjson.dumps(entry).decode() for entry in log])
        work.rename(folder)


def _grades_of_models(stored: StoredBench, file: str) -> Iterator[dict[str, Any]]:
    """Entries of the log for what models graded, or it would pass for people's."""
    for line in stored.queries:
        for unit, model in line.get("by_models", {}).items():
            yield {
                "query_id": line["query_id"],
                "item_id": unit,
                "grade": line["judged"][unit],
                "judge": f"{MODEL_PREFIX}{model}",
                "judged_at": stored.document["created"],
                "outcome": "added",
                "grade_before": None,
                "qrels": file,
            }
