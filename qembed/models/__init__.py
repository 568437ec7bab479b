"""Models: the catalog of known ones, where their files lie, their tokenizers, and the encoder."""

from __future__ import annotations

from qembed.models.catalog import ModelCard, find_model, load_catalog
from qembed.models.device import PRECISIONS, Precision, list_devices
from qembed.models.encoder import Encoder, Pending
from qembed.models.files import Prompts, Role, prompts_of
from qembed.models.info import EncoderInfo
from qembed.models.loading import EncoderOptions
from qembed.models.resolve import DEFAULT_MODEL, ModelSource, check_reachable, fetch, resolve_model
from qembed.models.tokens import TokenCounter, TokenIds, Tokenized, load_tokenizer

__all__ = [
    "DEFAULT_MODEL",
    "PRECISIONS",
    "Encoder",
    "EncoderInfo",
    "EncoderOptions",
    "ModelCard",
    "ModelSource",
    "Pending",
    "Precision",
    "Prompts",
    "Role",
    "TokenCounter",
    "TokenIds",
    "Tokenized",
    "check_reachable",
    "fetch",
    "find_model",
    "list_devices",
    "load_catalog",
    "load_tokenizer",
    "prompts_of",
    "resolve_model",
]
