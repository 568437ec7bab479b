"""Models: the catalog of known ones, where their files lie, their tokenizers, and the encoder."""

from __future__ import annotations

from qembed.models.catalog import ModelCard, find_model, load_catalog
from qembed.models.device import PRECISIONS, Precision
from qembed.models.encoder import Encoder, EncoderInfo, EncoderOptions
from qembed.models.files import Prompts, Role, prompts_of
from qembed.models.resolve import DEFAULT_MODEL, ModelSource, check_reachable, fetch, resolve_model
from qembed.models.tokens import TokenCounter, load_tokenizer

__all__ = [
    "DEFAULT_MODEL",
    "PRECISIONS",
    "Encoder",
    "EncoderInfo",
    "EncoderOptions",
    "ModelCard",
    "ModelSource",
    "Precision",
    "Prompts",
    "Role",
    "TokenCounter",
    "check_reachable",
    "fetch",
    "find_model",
    "load_catalog",
    "load_tokenizer",
    "prompts_of",
    "resolve_model",
]
