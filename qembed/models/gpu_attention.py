"""Attention of models with fewer key heads on GPUs without FlashAttention (compute capability below 8: a T4).

A batch without padding has no mask. transformers then lets torch spread the keys over the query heads
(``enable_gqa``), which only FlashAttention and the math kernel can do. The math kernel holds the whole matrix
of scores, about twice the memory per token (transformers issue 48633). Once its keys are repeated, the batch
runs in the memory-efficient kernel, as one with padding does.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

REPEATED: Final = "qembed_repeated_keys"
_MIN_FLASH_CAPABILITY: Final = (8, 0)


def needs_repeated_keys(network: Any, device: str) -> bool:
    """Whether unpadded batches of a transformer would take the math kernel on a device."""
    if not device.startswith("cuda") or getattr(network.config, "_attn_implementation", None) != "sdpa":
        return False
    import torch

    heads = getattr(network.config, "num_attention_heads", None)
    key_heads = getattr(network.config, "num_key_value_heads", None)
    fewer = isinstance(heads, int) and isinstance(key_heads, int) and key_heads < heads
    return fewer and torch.cuda.get_device_capability(device) < _MIN_FLASH_CAPABILITY


def use_repeated_keys(network: Any) -> None:
    """Let the attention of a transformer repeat its keys and values; the masks are those of ``sdpa``."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(REPEATED, _attention)
    AttentionMaskInterface.register(REPEATED, sdpa_mask)
    network.set_attn_implementation(REPEATED)


def _attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any = None, **kwargs: Any
) -> tuple[Any, None]:
    """What transformers asks of an attention; shapes (texts, heads, tokens, head width)."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
    # Without ``num_key_value_groups``: there is nothing left to spread.
    plain = SimpleNamespace(is_causal=getattr(module, "is_causal", True))
    made, _ = sdpa_attention_forward(plain, query, key, value, attention_mask, **kwargs)
    return made, None
