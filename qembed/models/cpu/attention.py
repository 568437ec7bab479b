"""Self-attention on a CPU for models that see both ways, by qembed's own kernels or by whole products.

torch's fused CPU kernel multiplies small blocks, which costs more than it saves where only AVX-512 is there:
at 12 heads of 32 and 256 tokens ``models.cpu.kernels`` take a third of its time, and whole products in
bfloat16 half. Everything that is more than padding and one key a query head goes to transformers' ``sdpa``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

MAX_TOKENS: Final = 4096
_SCORES: Final = 1 << 20
"""Scores that are held at a time, 2 MB: more would leave the caches."""

_SAFE: Final = 1e30
"""Sums of exponentials are trusted between 1 / this and this; bfloat16 reaches 3e38."""

Attend: TypeAlias = "Callable[[Any, Any, Any, list[tuple[int, int]], float], Any]"
"""Attention of query, key, value, spans and scale."""


def register(name: str) -> None:
    """Make one of ``ATTENTIONS`` known to transformers, with the masks that ``sdpa`` gets."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(name, partial(attention, name=name))
    AttentionMaskInterface.register(name, sdpa_mask)


def attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    *,
    name: str,
    **kwargs: Any,
) -> tuple[Any, None]:
    """What ``AttentionInterface`` asks for.

    Args:
        module: The attention module; ``is_causal`` is read from it.
        query: (texts, heads, tokens, head width); key and value likewise.
        attention_mask: bool (texts or 1, 1, tokens, tokens), True where a token is seen; None for all.
        dropout: Must be 0 here, as for every model that is not trained.
        scaling: Factor of the scores; one over the root of the head width when None.
        is_causal: Instead of the module's.
        name: A name in ``ATTENTIONS``.
        kwargs: Handed on to ``sdpa``.

    Returns:
        (texts, tokens, heads, head width), and no weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if not causal and not dropout and kwargs.get("position_bias") is None and _fits(query, key, value, name):
        spans = spans_of(attention_mask, query.shape[0], query.shape[2])
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        if spans is not None:
            return ATTENTIONS[name](query, key, value, spans, scale), None
    result, _ = sdpa_attention_forward(
        module,
        query,
        key,
        value,
        attention_mask,
        dropout=dropout,
        scaling=scaling,
        is_causal=is_causal,
        **kwargs,
    )
    return result, None


def _fits(query: Any, key: Any, value: Any, name: str) -> bool:
    import torch

    dtype, longest = (torch.bfloat16, MAX_TOKENS) if name == BMM else (torch.float32, math.inf)
    return bool(
        query.dtype == key.dtype == value.dtype == dtype
        and query.device.type == "cpu"
        and query.shape == key.shape == value.shape
        and query.shape[2] <= longest
    )


def spans_of(mask: Any, texts: int, tokens: int) -> list[tuple[int, int]] | None:
    """First and last + 1 real token of each text; None where the mask is more than padding."""
    import torch

    if mask is None:
        return [(0, tokens)] * texts
    known = getattr(mask, "qembed_spans", None)  # every layer gets the same mask
    if known is not None:
        return list(known)
    if mask.dtype != torch.bool or mask.shape[1:] != (1, tokens, tokens):
        return None
    row = mask[:, 0, 0]
    first = row.to(torch.uint8).argmax(dim=1)
    last = first + row.sum(dim=1)
    positions = torch.arange(tokens)
    plain = (first[:, None] <= positions) & (positions < last[:, None])
    if not torch.equal(row, plain) or not (last > first).all() or not (mask == row[:, None, None]).all():
        return None
    spans = list(zip(first.tolist(), last.tolist(), strict=True)) * (texts // len(row))
    mask.qembed_spans = tuple(spans)
    return spans


def _compiled(
    query: Any, key: Any, value: Any, spans: list[tuple[int, int]], scale: float, *, sixteen: bool
) -> Any:
    """Attention by ``models.cpu.kernels``."""
    from qembed.models.cpu import kernels

    return kernels.attention(query, key, value, spans, scale, sixteen)


def _bmm(query: Any, key: Any, value: Any, spans: list[tuple[int, int]], scale: float) -> Any:
    """Attention in bfloat16 by whole products, some texts at a time."""
    import torch

    texts, heads, tokens, width = query.shape
    result = torch.empty((texts, tokens, heads, width), dtype=query.dtype)
    at, step = 0, max(1, _SCORES // (heads * tokens * tokens))
    while at < texts:
        part = spans[at : at + step]
        low, high = min(start for start, _ in part), max(end for _, end in part)
        rows = slice(at, at + len(part))
        q, k, v = (states[rows, :, low:high] for states in (query, key, value))
        _attend_span(q, k, v, [(a - low, b - low) for a, b in part], scale, result[rows, low:high])
        result[rows, :low] = 0
        result[rows, high:] = 0
        at += len(part)
    return result


def _attend_span(
    query: Any, key: Any, value: Any, spans: list[tuple[int, int]], scale: float, result: Any
) -> None:
    """Softmax without its usual first pass for the largest score: bfloat16 has float32's range.

    softmax(s) v = (2^(s log2 e) v) / sum 2^(s log2 e). Padding is left out by zeros in ``value`` and in the
    sum. Where a sum comes near the ends of the range, the usual softmax is taken.
    """
    import torch

    texts, heads, tokens, width = query.shape
    flat = (texts * heads, tokens, width)
    q, k = query.reshape(flat), key.reshape(flat).transpose(1, 2)
    real = _real(spans, tokens) if any(span != (0, tokens) for span in spans) else None
    if real is not None:
        value = value * real
    v = value.reshape(flat)
    weights = torch.empty((texts * heads, tokens, tokens), dtype=query.dtype)
    torch.baddbmm(weights, q, k, beta=0, alpha=scale * math.log2(math.e), out=weights).exp2_()
    if real is None:
        total = weights.sum(-1, keepdim=True)
    else:
        total = torch.bmm(weights, real.expand(texts, heads, tokens, 1).reshape(-1, tokens, 1))
    least, most = torch.aminmax(total)
    if not (least > 1 / _SAFE and most < _SAFE):
        scores = torch.baddbmm(weights, q, k, beta=0, alpha=scale, out=weights).view(texts, heads, tokens, -1)
        if real is not None:
            scores.masked_fill_(real.transpose(2, 3) == 0, -math.inf)
        weights = torch.softmax(weights, -1)
        total = total.fill_(1)
    summed = torch.bmm(weights, v).view(texts, heads, tokens, width)
    torch.div(summed, total.view(texts, heads, tokens, 1), out=result.transpose(1, 2))


def _real(spans: list[tuple[int, int]], tokens: int) -> Any:
    """1 for real tokens, 0 for padding; bfloat16 (texts, 1, tokens, 1)."""
    import torch

    real = torch.zeros((len(spans), 1, tokens, 1), dtype=torch.bfloat16)
    for row, (start, end) in zip(real, spans, strict=True):
        row[:, start:end] = 1
    return real


BMM, FP32, INT16 = "qembed_bmm", "qembed_fp32", "qembed_int16"
ATTENTIONS: Final[dict[str, Attend]] = {
    BMM: _bmm,
    FP32: partial(_compiled, sixteen=False),
    INT16: partial(_compiled, sixteen=True),
}
"""By the name that transformers knows, which then stands in ``EncoderInfo.attention``."""
