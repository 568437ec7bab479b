"""Rerankers: scores for candidates that retrieval found. Two kinds behind one Protocol.

A cross-encoder reads query and text together, once a pair. Late interaction (MaxSim) reads each text once,
whatever the number of queries that have it as a candidate. Both run on the engine: devices, batches by
length, halving of what does not fit, fp32 for what is not finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qembed.progress import Progress


@dataclass(frozen=True, slots=True)
class Reranked:
    """What a reranker made of the candidates of some queries.

    Attributes:
        scores: For each query float64 (candidates,), aligned with the candidates given; higher is better,
            comparable within a query only. ``-inf`` for a candidate that could not be scored: it goes last.
        pairs: Candidates of all queries.
        unique_pairs: Different (query, text) pairs among them.
        truncated_pairs: Different pairs of which the model did not read all.
        tokens: That the model read; of a cross-encoder the query's with every text.
        padded_tokens: Padded tokens of its forward passes.
        splits: Batches that did not fit the device and were halved.
        seconds: Wall time, without loading the model.
        retried: Pairs (cross-encoder) or texts (MaxSim) that are finite in fp32 only.
        failures: What could not be scored, with the reason, one sentence each.
    """

    scores: list[npt.NDArray[np.float64]]
    pairs: int
    unique_pairs: int
    truncated_pairs: int
    tokens: int
    padded_tokens: int
    splits: int
    seconds: float
    retried: int
    failures: tuple[str, ...]


class Reranker(Protocol):
    """Scores candidates; loaded and ready."""

    @property
    def name(self) -> str:
        """As the user wrote it: what opens the same again."""

    @property
    def provenance(self) -> dict[str, Any]:
        """What decides a score: kind, id, revision, weights_sha256, dtype, device, max_tokens, activation."""

    def rerank(
        self,
        queries: Sequence[str],
        texts: Sequence[str],
        candidates: Sequence[npt.NDArray[np.int64]],
        *,
        progress: Progress = Progress(),
    ) -> Reranked:
        """Score the candidates of every query.

        Args:
            queries: Any number.
            texts: Any number.
            candidates: For each query positions in ``texts``, in any order.
            progress: Receives the progress of every batch.

        Raises:
            QembedError: A score is not finite, in fp32 neither; or no pair could be scored.
        """

    def score_one(self, query: str, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """One query with its candidates, end to end, in this process; float64 (texts,).

        The first call after ``rerank`` on several devices loads the model again.

        Raises:
            QembedError: As ``rerank``.
        """
