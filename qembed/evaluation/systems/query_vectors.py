"""Vectors of an eval set's queries: encoded by the model of the embeddings, or read from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qembed.engine.workers.oom import encode_in_parts
from qembed.errors import DimensionMismatch, Mismatch
from qembed.models import Encoder
from qembed.progress import Progress
from qembed.records import Vectors
from qembed.store import find_embeddings, placed_records

_QUERY_BATCH = 32


def encode_queries(encoder: Encoder, texts: Sequence[str], progress: Progress = Progress()) -> Vectors:
    """float32 (texts, dimension): every query with the query prompt, those of like length together.

    Raises:
        Mismatch: A vector that no search can use; names the query.
    """
    lengths = encoder.count(texts, "query")
    vectors = np.empty((len(texts), encoder.info.dimension), dtype=np.float32)
    order = np.argsort(-lengths, kind="stable")
    for start in range(0, len(order), _QUERY_BATCH):
        part = order[start : start + _QUERY_BATCH]
        vectors[part] = encode_in_parts(encoder, [texts[at] for at in part.tolist()], "query")
        progress.advance(len(part))
    for at in np.flatnonzero(~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)).tolist():
        raise Mismatch(
            f"{encoder.info.id} in {encoder.info.dtype} gives no usable vector for the query {texts[at]!r}",
            remedy="take a higher precision: --precision fp32",
        )
    return vectors


def read_query_vectors(path: Path, query_ids: Sequence[str], dimension: int) -> Vectors:
    """float32 (queries, dimension) from a file of embeddings whose ids are query ids.

    Raises:
        InputNotFound: There is no such file.
        Mismatch: A line is no record, a vector is zero or not finite, or a query has none.
        DimensionMismatch: Query vectors and chunk vectors differ in length.
    """
    wanted, found = set(query_ids), {}
    for record, place in placed_records(find_embeddings(path)):
        if len(record.vector) != dimension:
            raise DimensionMismatch(
                f"query {record.id!r} has {len(record.vector)} dimensions, the chunks have {dimension}",
                where=place,
                remedy="queries and chunks must come from one model",
            )
        if not np.isfinite(record.vector).all() or not record.vector.any():
            raise Mismatch(
                f"the vector of the query {record.id!r} is zero or not finite; it finds nothing",
                where=place,
                remedy="encode the query again",
            )
        if str(record.id) in wanted:
            found[str(record.id)] = record.vector
    missing = [query for query in query_ids if query not in found]
    if missing:
        raise Mismatch(
            f"{len(missing):,} of {len(query_ids):,} queries have no vector, {missing[0]!r} first",
            where=str(path),
            remedy="add them, or omit the file so that the model encodes the queries",
        )
    return np.stack([found[query] for query in query_ids])
