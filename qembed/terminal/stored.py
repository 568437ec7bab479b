"""Where a comparison was stored, for the commands that store one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def stored_words(folder: Path | None) -> Iterator[str]:
    """Where it was written, and whether its runs name some ids otherwise; nothing where it was not."""
    if folder is None:
        return
    from qembed.evaluation.eval_sets.run_ids import ENCODED_IDS

    files = "bench.json, per_query.csv, losses.csv, unjudged.csv, hits.jsonl, texts.jsonl, runs/"
    yield f"Wrote {folder}: {files}"
    if (folder / "runs" / ENCODED_IDS).is_file():
        yield (
            f"note: some ids have white space, which runs cannot hold; runs/{ENCODED_IDS} says how they are "
            "written there"
        )
