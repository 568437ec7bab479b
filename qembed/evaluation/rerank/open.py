"""Opens the reranker that a name stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from qembed.errors import ModelUnreachable, UsageError
from qembed.evaluation.rerank.cross_encoder import CrossEncoder
from qembed.evaluation.rerank.maxsim import MaxSim
from qembed.evaluation.rerank.reranker import Reranker
from qembed.models import EncoderOptions, ModelSource, check_reachable, fetch, find_model, resolve_model
from qembed.models.resolve import OFFLINE_CHOICES, labels_of

DEFAULT_RERANKER: Final = "cross-encoder/ms-marco-MiniLM-L6-v2"
OFFLINE_RERANKER: Final = "maxsim:minilm"
MAXSIM: Final = "maxsim:"

_OFFLINE: Final = (
    "turn the internet on (Kaggle: notebook settings), give a local folder with --reranker PATH, "
    f"or rerank without a hub: --reranker {OFFLINE_RERANKER}, or qembed models fetch msmarco"
)


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
        ModelUnreachable: It is not on this machine and cannot be downloaded; known before anything is loaded.
        UsageError: It is no reranker, or one of several labels.
        QembedError: Its files are damaged.
    """
    options = replace(options, truncate_dim=None)
    if spec.startswith(MAXSIM):
        source = _reachable(spec.removeprefix(MAXSIM), spec, options)
        return MaxSim(spec, source, options, token_budget)
    source = _reachable(spec, spec, options, cross_encoder=True)
    return CrossEncoder(spec, source, options, token_budget)


def reranker_labels(specs: Sequence[str]) -> list[str]:
    """What to show for rerankers: of folders their names, as far as these differ."""
    names = labels_of([spec.removeprefix(MAXSIM) for spec in specs])
    return [
        MAXSIM + name if spec.startswith(MAXSIM) else name for spec, name in zip(specs, names, strict=True)
    ]


def _reachable(model: str, spec: str, options: EncoderOptions, *, cross_encoder: bool = False) -> ModelSource:
    if not model.strip():
        raise UsageError(f"--reranker {spec!r} names no model", remedy=f"e.g. --reranker {OFFLINE_RERANKER}")
    card = find_model(model)
    if cross_encoder and card and card.kind == "embedder":
        raise UsageError(
            f"{card.id} makes vectors and is not a cross-encoder",
            remedy=f"--reranker {MAXSIM}{model} reranks with its token vectors",
        )
    try:
        source = resolve_model(
            model, revision=options.revision, kind="reranker" if cross_encoder else "embedder"
        )
        check_reachable(source)
        return fetch(source)
    except ModelUnreachable as error:
        meant, offline, _ = (error.remedy or "").partition(OFFLINE_CHOICES)
        if not offline:
            raise
        raise ModelUnreachable(error.message, where=error.where, remedy=meant + _OFFLINE) from error
