"""Folders of eval sets for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

HEADER = "query-id\tcorpus-id\tscore"


def eval_folder(
    folder: Path,
    queries: Mapping[str, str] | Sequence[str],
    splits: Mapping[str, Sequence[str]],
    *,
    card: str | None = None,
    corpus: Mapping[str, str] | None = None,
) -> Path:
    """A BEIR folder.

    Args:
        folder: Made if need be.
        queries: Query id -> text; or the lines of ``queries.jsonl`` as they are.
        splits: Split -> rows below the header, columns separated by one space here.
        card: The text of ``card.toml``; no card when None.
        corpus: Chunk id -> text; no ``corpus.jsonl`` when None.
    """
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    lines = list(queries)
    if isinstance(queries, Mapping):
        lines = [json.dumps({"_id": name, "text": text}) for name, text in queries.items()]
    (folder / "queries.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for split, rows in splits.items():
        text = "\n".join([HEADER, *(row.replace(" ", "\t") for row in rows)])
        (folder / "qrels" / f"{split}.tsv").write_text(f"{text}\n", encoding="utf-8")
    if card is not None:
        (folder / "card.toml").write_text(card, encoding="utf-8")
    if corpus is not None:
        entries = (json.dumps({"_id": name, "title": "", "text": text}) for name, text in corpus.items())
        (folder / "corpus.jsonl").write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")
    return folder
