"""Rerankers: scores for candidates that retrieval found. Two kinds behind one Protocol.

A cross-encoder reads query and text together, once a pair. Late interaction (MaxSim) reads each text once,
whatever the number of queries that have it as a candidate. Both run on the engine: devices, batches by
length, halving of what does not fit, fp32 for what is not finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from qembed.errors import ModelUnreachable, UsageError
from qembed.models import EncoderOptions, ModelSource, check_reachable, fetch, find_model, resolve_model
from qembed.models.resolve import OFFLINE_CHOICES
from qembed.progress import Progress

DEFAULT_RERANKER: Final = "cross-encoder/ms-marco-MiniLM-L6-v2"
OFFLINE_RERANKER: Final = "maxsim:minilm"
MAXSIM: Final = "maxsim:"

_OFFLINE: Final = (
    "turn the internet on (Kaggle: notebook settings), give a local folder with --reranker PATH, "
    f"or rerank with the bundled model: --reranker {OFFLINE_RERANKER}"
)


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
        padded_tokens: Of its forward passes.
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
            progress: Told of every batch.

        Raises:
            QembedError: A score is not finite, in fp32 neither; or no pair could be scored.
        """

    def score_one(self, query: str, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """One query with its candidates, end to end, in this process; float64 (texts,).

        The first call after ``rerank`` on several devices loads the model again.

        Raises:
            QembedError: As ``rerank``.
        """


def open_reranker(
    spec: str, *, options: EncoderOptions = EncoderOptions(), token_budget: int | None = None
) -> Reranker:
    """Find a reranker and load it.

    Args:
        spec: A cross-encoder (id on the hub, name of the catalog, folder), or ``maxsim:`` and any model that
            makes states of tokens: ``maxsim:minilm``, another SentenceTransformer, a ``MultiVectorEncoder``.
        options: Device, precision, lengths, trust. Dimension and normalisation have no meaning here.
        token_budget: Padded tokens of a batch at most; by the device when None.

    Raises:
        ModelUnreachable: It is not on this machine and cannot be had; at once, before anything is loaded.
        UsageError: It is no reranker, or one of several labels.
        QembedError: Its files are damaged.
    """
    options = replace(options, truncate_dim=None)
    if spec.startswith(MAXSIM):
        source = _reachable(spec.removeprefix(MAXSIM), spec, options)
        from qembed.evaluation.maxsim import MaxSim

        return MaxSim(spec, source, options, token_budget)
    source = _reachable(spec, spec, options, cross_encoder=True)
    from qembed.evaluation.cross_encoder import CrossEncoder

    return CrossEncoder(spec, source, options, token_budget)


def _reachable(model: str, spec: str, options: EncoderOptions, *, cross_encoder: bool = False) -> ModelSource:
    if not model.strip():
        raise UsageError(f"--reranker {spec!r} names no model", remedy=f"e.g. --reranker {OFFLINE_RERANKER}")
    card = find_model(model)
    if cross_encoder and card and card.kind == "embedder":
        raise UsageError(
            f"{card.id} makes vectors and is no cross-encoder",
            remedy=f"--reranker {MAXSIM}{model} reranks with the states of its tokens",
        )
    try:
        source = resolve_model(
            model, revision=options.revision, kind="reranker" if cross_encoder else "embedder"
        )
        check_reachable(source)
        return fetch(source)
    except ModelUnreachable as error:
        if error.remedy != OFFLINE_CHOICES:
            raise
        raise ModelUnreachable(error.message, where=error.where, remedy=_OFFLINE) from error
