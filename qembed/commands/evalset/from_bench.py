"""An eval set out of a stored bench: its questions, ready for the judgements that its report exports."""

from __future__ import annotations

import shutil
from pathlib import Path

from qembed.errors import UsageError
from qembed.evaluation.eval_sets.beir import write_qrels, write_queries
from qembed.evaluation.eval_sets.card import Card, write_card
from qembed.report.stored import read_bench
from qembed.store import explained


def begin_eval_set(folder: Path, bench: Path) -> None:
    """Write ``queries.jsonl``, ``card.toml`` and qrels without a row; the folder appears when it is whole.

    Args:
        folder: Folder of the new eval set.
        bench: A stored bench, or a folder of reports, of which the newest is taken.

    Raises:
        UsageError: The folder is there already.
        InputNotFound: There is no stored bench.
        QembedError: The disk is full or cannot be written.
    """
    if folder.exists():
        raise UsageError("the eval set is there already", where=str(folder), remedy="leave --bench out")
    stored = read_bench(bench)
    queries = {str(query["query_id"]): str(query["text"]) for query in stored.queries}
    card = Card(
        name=folder.name,
        level=stored.document["eval_set"]["level"],
        description=f"The questions of {stored.folder.name}, judged in its report.",
    )
    work = folder.with_name(f".{folder.name}.new")
    with explained(folder):
        shutil.rmtree(work, ignore_errors=True)
        write_queries(work / "queries.jsonl", queries)
        write_card(work, card)
        write_qrels(work / "qrels" / f"{card.split}.tsv", {})
        work.rename(folder)
