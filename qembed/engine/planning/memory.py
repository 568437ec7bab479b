"""Bytes that a model takes on a device: weights, one forward pass, and what that leaves for a batch. Pure.

The forward pass of an embedder computes no logits and keeps no keys and values, so its memory is that of
the widest moment of one layer. Which tensors are alive then was read from the forwards of transformers
(``modeling_qwen2.py``, ``modeling_bert.py``; inference mode) and counted again with torch's profiler:
at most 5 % below (``tests/engine/planning/test_memory.py``). In units of elements a padded
token, with h = hidden, m = mlp, q = heads * head_dim, k = kv_heads * head_dim::

    gated feed-forward   3 m + 4 h     act(gate), up and their product; embeddings, the layer's input,
                                       residual, normed state
    plain feed-forward   2 m + 3 h     before and after the activation
    attention            3 h + 4 q + 2 k   rotary embeddings, or keys and values repeated to all heads

LLM.int8 of bitsandbytes holds a matrix product as int32 beside its fp16 copy, and its input as int8
(``int8_scaled_mm``): 8 m + 9 h bytes, more than fp16 takes. nf4 holds one matrix in fp16 besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from qembed.models.catalog import Architecture

Attention: TypeAlias = Literal["flash", "memory-efficient", "math"]

ELEMENT_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int16": 4, "int8": 2, "nf4": 2}
"""Bytes of an element of the states; quantised models compute in fp16."""

QUANTISED = ("int8", "nf4")
CONTEXT_BYTES = 300_000_000
"""What CUDA and its libraries take of a GPU before the first tensor: 0.3 GB."""

BUFFER_BYTES = 2_000_000_000
"""Kept free by default: fragmentation, libraries' work areas, a second batch's inputs."""

FIRST_FLASH_CAPABILITY = (8, 0)


@dataclass(frozen=True, slots=True)
class ForwardBytes:
    """Memory of one forward pass.

    Attributes:
        states_per_token: Bytes per padded token of the states at the widest moment.
        mask_per_token: Bytes per padded token of the attention mask and its copies, as far as they exceed
            the widest moment without them; grows with the longest text.
        scores_per_token: Bytes per padded token of the math kernel's score matrices; 0 for other kernels.
        fixed: Whatever the batch: the matrix that nf4 has unpacked.
    """

    states_per_token: int
    mask_per_token: int
    scores_per_token: int
    fixed: int

    @property
    def per_token(self) -> int:
        """Bytes per padded token."""
        return self.states_per_token + self.mask_per_token + self.scores_per_token

    def of_batch(self, padded_tokens: int) -> int:
        """Bytes of a batch of so many padded tokens."""
        return self.fixed + self.per_token * padded_tokens


def attention_kernels(
    architecture: Architecture, capability: tuple[int, int] | None, dtype: str
) -> tuple[Attention, Attention]:
    """Kernels that torch takes for a batch with padding and for one without (no mask).

    FlashAttention wants compute capability 8, half-width states and no mask; else a GPU takes the
    memory-efficient kernel. That one refuses fewer key than query heads, which transformers passes on
    (``enable_gqa``) where there is no mask (https://github.com/huggingface/transformers/issues/48633, on a
    T4): below capability 8 ``models.gpu_attention`` repeats the keys, on newer cards fp32 is left with the
    math kernel. CPUs (None) have a flash kernel for both.
    """
    if capability is None:
        return "flash", "flash"
    flashy = capability >= FIRST_FLASH_CAPABILITY
    if flashy and ELEMENT_BYTES[dtype] == 2:
        return "memory-efficient", "flash"
    shared = architecture.kv_heads < architecture.heads
    return "memory-efficient", "math" if flashy and shared else "memory-efficient"


def forward_bytes(
    architecture: Architecture, dtype: str, longest_tokens: int, attention: Attention, *, masked: bool
) -> ForwardBytes:
    """Memory of a forward pass without logits.

    Args:
        architecture: The transformer.
        dtype: ``fp32``, ``fp16``, ``bf16``, ``int16``, ``int8`` or ``nf4``.
        longest_tokens: Length of the batch's longest text; masks and scores of a token are as long.
        attention: The kernel.
        masked: Whether there is padding, hence a mask.

    The mask is one byte an element from transformers; kernels on a GPU want it in the states' dtype, and
    aligned: two copies more (``sdp_utils``: ``convert_boolean_attn_mask``, ``pad_bias``). The math kernel
    has the scores and their softmax at once, both in fp32, with a byte for each that says where the scores
    are minus infinity (``_scaled_dot_product_attention_math``, ``_safe_softmax``), and of half-width states
    fp32 copies of queries, keys and values.
    """
    size = ELEMENT_BYTES[dtype]
    hidden, mlp = architecture.hidden, architecture.mlp
    queries = architecture.heads * architecture.head_dim
    keys = architecture.kv_heads * architecture.head_dim
    feed_forward = (3 * mlp + 4 * hidden if architecture.gated_mlp else 2 * mlp + 3 * hidden) * size
    if dtype == "int8":
        act = 2 * mlp if architecture.gated_mlp else 0
        feed_forward = max(feed_forward, act + 6 * mlp + (9 if architecture.gated_mlp else 7) * hidden)
    block = (3 * hidden + 4 * queries + 2 * keys) * size
    scores = 0
    if attention == "math":
        block += 3 * queries * 4 if size == 2 else 0
        scores = architecture.heads * longest_tokens * (4 + 4 + 1)
    copies = 2 * size * longest_tokens if masked else 0
    # At its widest the layer is either in the feed-forward block or in attention, which alone has these two.
    beyond = max(0, block + scores + copies - max(feed_forward, block))
    mask = longest_tokens if masked else 0
    if attention != "math":
        mask, beyond = mask + beyond, 0
    fixed = 2 * hidden * mlp if dtype == "nf4" else 0
    return ForwardBytes(max(feed_forward, block), mask, beyond, fixed)


def worst_forward_bytes(
    architecture: Architecture, dtype: str, longest_tokens: int, capability: tuple[int, int] | None
) -> tuple[ForwardBytes, Attention]:
    """The hungrier of a batch with padding and one without, and its kernel.

    Args:
        architecture: The transformer.
        dtype: As in ``forward_bytes``.
        longest_tokens: Longest text that can come.
        capability: CUDA compute capability; None for a CPU.
    """
    padded, equal = attention_kernels(architecture, capability, dtype)
    masked = forward_bytes(architecture, dtype, longest_tokens, padded, masked=True)
    bare = forward_bytes(architecture, dtype, longest_tokens, equal, masked=False)
    return (masked, padded) if masked.per_token >= bare.per_token else (bare, equal)


def token_budget_for(
    *,
    device_memory_bytes: int,
    weights_bytes: int,
    bytes_per_token: float,
    longest_tokens: int,
    context_bytes: int = CONTEXT_BYTES,
    buffer_bytes: int = BUFFER_BYTES,
    fixed_bytes: float = 0,
) -> int:
    """Largest safe batch in padded tokens: what is left of the device, divided by what a token takes.

    Args:
        device_memory_bytes: All that the device has.
        weights_bytes: Bytes of the model's weights, as loaded.
        bytes_per_token: A padded token of a batch with the longest text; shorter batches take less.
        longest_tokens: Tokens of the corpus's longest text, as the model reads it.
        context_bytes: CUDA's own.
        buffer_bytes: To be left free.
        fixed_bytes: Bytes of a forward pass that do not depend on the batch.

    Returns:
        At least ``longest_tokens``; 0 where not even one text of that length is safe.
    """
    room = device_memory_bytes - weights_bytes - context_bytes - buffer_bytes - fixed_bytes
    if room <= 0 or longest_tokens < 1:
        return 0
    budget = int(room / max(bytes_per_token, 1e-9))
    return budget if budget >= longest_tokens else 0


def batch_by_rule(
    *, memory_bytes: float, model_bytes: float, buffer_bytes: float, chunk_bytes: float, cap: int | None
) -> tuple[int, int]:
    """Texts of a batch by the rule of thumb ``(memory - model - buffer) / chunk``, and the same capped.

    With 15.83 GB, a model of 6.8 GB, a buffer of 2 GB and 0.15 GB a chunk: 46, capped to 24. ``model_bytes``
    is all that the loaded model takes of the card, the CUDA context included.
    """
    size = max(0, int((memory_bytes - model_bytes - buffer_bytes) / chunk_bytes))
    return size, size if cap is None else min(size, cap)
