"""Files for tests of commands that read embeddings and an eval set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from qembed.evaluation.eval_sets.beir import write_qrels, write_queries
from qembed.evaluation.eval_sets.card import Card, write_card
from qembed.models import EncoderInfo
from qembed.records import Vectors
from qembed.store import Inputs, Manifest, Output, OutputFiles, record_line, write_json


def write_embeddings(
    folder: Path,
    texts: Mapping[str, str],
    vectors: Vectors | Sequence[Any],
    info: EncoderInfo | None = None,
    **made: Any,
) -> Path:
    """Embeddings of chunk id -> text, each on a page of its own; ``info`` with ``made`` makes a manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    files = OutputFiles.of(folder / "docs_embeddings.jsonl")
    lines = [
        record_line(
            name,
            text,
            np.asarray(vector, dtype=np.float32),
            {"subdirectory": "pages", "filename": name.rpartition(":")[2]},
        )
        for (name, text), vector in zip(texts.items(), vectors, strict=True)
    ]
    files.embeddings.write_bytes(b"".join(lines))
    if info is not None:
        output = Output(
            files.embeddings.name, files.embeddings.stat().st_size, "", "", len(lines), len(vectors[0])
        )
        model = {**asdict(info), **made}
        now = "2026-01-01T00:00:00+00:00"
        settings = {"max_length": None}
        write_json(files.manifest, Manifest("docs", now, Inputs("", "", 0, 0), output, settings, model, {}))
    return folder


def write_eval_set(
    folder: Path, queries: Mapping[str, str], qrels: Mapping[str, Mapping[str, int]], **card: Any
) -> Path:
    """An eval set; ``card`` are fields of its card besides the name."""
    (folder / "qrels").mkdir(parents=True)
    write_card(folder, Card(**{"name": folder.name, **card}))
    write_queries(folder / "queries.jsonl", queries)
    split = card.get("split", "test")
    write_qrels(folder / "qrels" / f"{split}.tsv", {query: dict(grades) for query, grades in qrels.items()})
    return folder
