"""Collections for tests: texts, chunks and pages without a file of embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qembed.evaluation.retrieve.collection import Collection


def collection_of(
    chunks: Sequence[tuple[str, str, str | None]], *, tokens: dict[str, int] | None = None
) -> Collection:
    """From (chunk id, text, page); vectors are random, tokens those of ``tokens`` by text, else unknown."""
    by_text: dict[str, list[tuple[str, str | None]]] = {}
    for chunk, text, page in chunks:
        by_text.setdefault(text, []).append((chunk, page))
    ordered = sorted(by_text.items(), key=lambda item: min(chunk for chunk, _ in item[1]))
    return Collection(
        ids=tuple(min(chunk for chunk, _ in found) for _, found in ordered),
        texts=tuple(text for text, _ in ordered),
        chunks=tuple(tuple(sorted(chunk for chunk, _ in found)) for _, found in ordered),
        pages=tuple(tuple(sorted({page for _, page in found if page})) for _, found in ordered),
        vectors=np.random.default_rng(0).standard_normal((len(ordered), 4)).astype(np.float32),
        tokens=np.array([(tokens or {}).get(text, -1) for text, _ in ordered], dtype=np.int64),
        records=len(chunks),
        disagreeing=0,
    )
