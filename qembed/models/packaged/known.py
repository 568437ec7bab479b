"""A converted model must give the scores that are known of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qembed.errors import CheckFailed
from qembed.models.catalog import ModelCard
from qembed.models.loading import EncoderOptions, load_model
from qembed.models.packaged.pins import Known
from qembed.models.resolve import ModelSource

TOLERANCE = 1e-3
"""Allowed difference, as a share of max(score, 1); fp32 on another CPU differs by 1e-5."""

_PLAIN = EncoderOptions(device="cpu", precision="fp32", kernels="plain")


@dataclass(frozen=True, slots=True)
class Checked:
    """A known pair and what the model gives for it.

    Attributes:
        known: The pair, with the score that is expected.
        score: What the model gives.
    """

    known: Known
    score: float


def check_known(card: ModelCard, folder: Path) -> tuple[Checked, ...]:
    """Load a converted model as every command would, and score the known pairs.

    Raises:
        CheckFailed: A score is not the expected one.
    """
    assert card.packaged is not None
    pairs = card.packaged.known
    source = ModelSource(str(folder), card.id, "packaged", folder, None, card)
    checked = tuple(Checked(known, score) for known, score in zip(pairs, _scores(source, pairs), strict=True))
    for each in checked:
        known = each.known
        if not abs(each.score - known.score) <= TOLERANCE * max(1.0, abs(known.score)):
            raise CheckFailed(
                f"the converted model gives {each.score:.4f} for a pair whose score is {known.score:.4f}",
                where=f"query {known.query!r}, text {known.text!r}",
                remedy="report it with the versions of torch and transformers; the model is not kept",
            )
    return checked


def _scores(source: ModelSource, pairs: tuple[Known, ...]) -> list[float]:
    assert source.card is not None
    kind = source.card.kind
    queries, texts = [pair.query for pair in pairs], [pair.text for pair in pairs]
    if kind == "reranker":
        from qembed.models.rerank.cross_encoder import PairEncoder
        from qembed.models.rerank.pairs import join_pair

        joined = [join_pair(*pair) for pair in zip(queries, texts, strict=True)]
        logits = PairEncoder.load(source, _PLAIN).submit_texts(joined).result()
        return [float(logit) for logit in logits[:, 0]]
    if kind == "embedder":
        from qembed.models.encoder import Encoder

        encoder = Encoder.load(source, _PLAIN)
        left, right = encoder.encode(queries, "query"), encoder.encode(texts, "document")
    else:
        sparse = load_model(source, _PLAIN, "SparseEncoder").model
        options = {"convert_to_sparse_tensor": False, "show_progress_bar": False}
        left = sparse.encode_query(queries, **options).numpy()
        right = sparse.encode_document(texts, **options).numpy()
    return [float(product) for product in np.einsum("ij,ij->i", left, right)]
