"""Texts to vectors: batches under a token budget, and the loop that runs them."""

from __future__ import annotations

from qembed.engine.batching import Batch, clip, make_batches, padded_tokens, padding_waste
from qembed.engine.devices import check_fits, default_token_budget, peak_memory_bytes
from qembed.engine.run import BatchDone, OomSplit, encode_batches

__all__ = [
    "Batch",
    "BatchDone",
    "OomSplit",
    "check_fits",
    "clip",
    "default_token_budget",
    "encode_batches",
    "make_batches",
    "padded_tokens",
    "padding_waste",
    "peak_memory_bytes",
]
