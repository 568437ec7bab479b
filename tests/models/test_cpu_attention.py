"""Attention by whole products against torch's own in float32, for every mask that padding makes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from qembed.models import cpu_attention
from qembed.models.cpu_attention import attention

BOTH_WAYS = SimpleNamespace(is_causal=False)


def states(texts: int, tokens: int, *, large: float = 1.0, heads: int = 3, width: int = 8) -> Any:
    generator = torch.Generator().manual_seed(tokens)
    shape = (3, texts, tokens, heads, width)
    query, key, value = torch.randn(shape, generator=generator).bfloat16().transpose(2, 3)
    return query * large, key, value


def mask_of(spans: list[tuple[int, int]], tokens: int) -> Any:
    row = torch.zeros(len(spans), 1, 1, tokens, dtype=torch.bool)
    for text, (start, end) in enumerate(spans):
        row[text, ..., start:end] = True
    return row.expand(len(spans), 1, tokens, tokens)


def check(query: Any, key: Any, value: Any, mask: Any = None, **options: Any) -> None:
    found, weights = attention(BOTH_WAYS, query, key, value, mask, **options)
    expected = scaled_dot_product_attention(
        query.float(), key.float(), value.float(), mask, scale=options.get("scaling")
    ).transpose(1, 2)
    assert weights is None
    assert found.shape == expected.shape
    seen = torch.ones(found.shape[:2], dtype=torch.bool) if mask is None else mask[:, 0, 0]
    error = (found.float() - expected)[seen].abs()
    assert error.max() < 0.03
    assert error.mean() < 0.005
    assert torch.isfinite(found).all()


@pytest.fixture(autouse=True)
def only_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever falls back to torch's kernel fails, unless a test allows it."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("fell back to sdpa")

    monkeypatch.setattr("transformers.integrations.sdpa_attention.sdpa_attention_forward", refuse)


@pytest.fixture
def fallbacks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []

    def record(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        seen.append(options)
        return "sdpa", None

    monkeypatch.setattr("transformers.integrations.sdpa_attention.sdpa_attention_forward", record)
    return seen


@pytest.mark.parametrize(("texts", "tokens"), [(1, 1), (1, 40), (5, 7), (3, 64)])
def test_without_a_mask(texts: int, tokens: int) -> None:
    check(*states(texts, tokens))


@pytest.mark.parametrize(
    "spans",
    [
        [(0, 9), (0, 4), (0, 1)],  # padding behind
        [(0, 9), (5, 9), (8, 9)],  # in front
        [(0, 4), (1, 5)],  # nobody reaches the end
        [(0, 9), (0, 9)],
    ],
)
@pytest.mark.parametrize("scores", [cpu_attention._SCORES, 1])
def test_padding_is_not_seen(
    monkeypatch: pytest.MonkeyPatch, spans: list[tuple[int, int]], scores: int
) -> None:
    monkeypatch.setattr(cpu_attention, "_SCORES", scores)  # all texts together, and one by one
    check(*states(len(spans), 9), mask_of(spans, 9))


def test_one_mask_for_all_texts() -> None:
    query, key, value = states(3, 6)
    found, _ = attention(BOTH_WAYS, query, key, value, mask_of([(0, 4)], 6))
    expected, _ = attention(BOTH_WAYS, query, key, value, mask_of([(0, 4)] * 3, 6))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("large", [300.0, -300.0])
@pytest.mark.parametrize("spans", [[(0, 12)] * 2, [(0, 12), (0, 7)]])
def test_scores_beyond_the_range_of_bfloat16(large: float, spans: list[tuple[int, int]]) -> None:
    query, key, value = states(2, 12)
    query, key = query.abs() * large, key.abs()  # every score far above or far below 88
    found, _ = attention(BOTH_WAYS, query, key, value, mask_of(spans, 12))
    scores = query.float() @ key.float().transpose(2, 3) * query.shape[-1] ** -0.5
    masked = scores.bfloat16().float().masked_fill(~mask_of(spans, 12), -torch.inf)
    expected = (masked.softmax(-1) @ value.float()).transpose(1, 2)
    assert (found.float() - expected).abs().max() < 0.05


def test_scaling() -> None:
    check(*states(2, 10), scaling=0.9)


def test_every_layer_reads_the_mask_once() -> None:
    query, key, value = states(2, 8)
    mask = mask_of([(0, 8), (0, 3)], 8)
    first, _ = attention(BOTH_WAYS, query, key, value, mask)
    assert mask.qembed_spans == ((0, 8), (0, 3))
    assert torch.equal(first, attention(BOTH_WAYS, query, key, value, mask)[0])


class TestHandsOn:
    def goes_to_sdpa(self, module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> bool:
        return bool(attention(module, query, key, value, mask, **options)[0] == "sdpa")

    def test_causal(self, fallbacks: list[Any]) -> None:
        for module, options in (
            (SimpleNamespace(is_causal=True), {}),
            (SimpleNamespace(), {}),  # transformers takes it for causal
            (BOTH_WAYS, {"is_causal": True}),
        ):
            assert self.goes_to_sdpa(module, *states(1, 4), None, **options)
        assert fallbacks[2]["is_causal"] is True

    def test_masks_that_are_more_than_padding(self, fallbacks: list[Any]) -> None:
        tokens = 6
        window = (torch.arange(tokens)[:, None] - torch.arange(tokens)).abs() < 3
        hole = mask_of([(0, tokens)], tokens).clone()
        hole[..., 2] = False
        for mask in (window[None, None], hole, mask_of([(0, 0)], tokens), torch.zeros(1, 1, tokens, tokens)):
            assert self.goes_to_sdpa(BOTH_WAYS, *states(1, tokens), mask)

    def test_other_dtypes_shared_keys_long_texts_and_biases(
        self, fallbacks: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        query, key, value = states(1, 6)
        assert self.goes_to_sdpa(BOTH_WAYS, query.float(), key.float(), value.float(), None)
        assert self.goes_to_sdpa(BOTH_WAYS, query, key[:, :1], value[:, :1], None)
        assert self.goes_to_sdpa(BOTH_WAYS, query, key, value, None, dropout=0.1)
        assert self.goes_to_sdpa(BOTH_WAYS, query, key, value, None, position_bias=torch.ones(1))
        monkeypatch.setattr(cpu_attention, "MAX_TOKENS", 5)
        assert self.goes_to_sdpa(BOTH_WAYS, query, key, value, None)
        assert fallbacks[3]["position_bias"] is not None
