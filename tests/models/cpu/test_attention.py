"""Attention by whole products and by the compiled kernels against torch's own, for every mask of padding."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from qembed.models.cpu import attention as cpu_attention
from qembed.models.cpu import kernels
from qembed.models.cpu.attention import BMM, FP32, INT16

TOLERANCES = {BMM: (0.03, 0.005), FP32: (1e-5, 1e-6), INT16: (1e-3, 2e-4)}
"""Of the largest and of the mean error."""

BOTH_WAYS = SimpleNamespace(is_causal=False)


@pytest.fixture(params=TOLERANCES)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    if chosen != BMM and (reason := kernels.unavailable(chosen == INT16)):
        pytest.skip(reason)
    return chosen


def states(name: str, texts: int, tokens: int, *, heads: int = 3, width: int = 8) -> Any:
    generator = torch.Generator().manual_seed(tokens)
    shape = (3, texts, tokens, heads, width)
    made = torch.randn(shape, generator=generator).bfloat16().transpose(2, 3)
    return made if name == BMM else made.float()


def mask_of(spans: list[tuple[int, int]], tokens: int) -> Any:
    row = torch.zeros(len(spans), 1, 1, tokens, dtype=torch.bool)
    for text, (start, end) in enumerate(spans):
        row[text, ..., start:end] = True
    return row.expand(len(spans), 1, tokens, tokens)


def attend(name: str, *arguments: Any, **options: Any) -> Any:
    return cpu_attention.attention(BOTH_WAYS, *arguments, name=name, **options)[0]


def check(name: str, query: Any, key: Any, value: Any, mask: Any = None, **options: Any) -> None:
    found, weights = cpu_attention.attention(BOTH_WAYS, query, key, value, mask, name=name, **options)
    expected = scaled_dot_product_attention(
        query.float(), key.float(), value.float(), mask, scale=options.get("scaling")
    ).transpose(1, 2)
    assert weights is None
    assert found.shape == expected.shape
    seen = torch.ones(found.shape[:2], dtype=torch.bool) if mask is None else mask[:, 0, 0]
    error = (found.float() - expected)[seen].abs()
    largest, mean = TOLERANCES[name]
    assert error.max() < largest
    assert error.mean() < mean
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
def test_without_a_mask(name: str, texts: int, tokens: int) -> None:
    check(name, *states(name, texts, tokens))


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
    name: str, monkeypatch: pytest.MonkeyPatch, spans: list[tuple[int, int]], scores: int
) -> None:
    monkeypatch.setattr(cpu_attention, "_SCORES", scores)  # all texts together, and one by one
    check(name, *states(name, len(spans), 9), mask_of(spans, 9))


def test_one_mask_for_all_texts(name: str) -> None:
    query, key, value = states(name, 3, 6)
    found = attend(name, query, key, value, mask_of([(0, 4)], 6))
    expected = attend(name, query, key, value, mask_of([(0, 4)] * 3, 6))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("large", [300.0, -300.0])
@pytest.mark.parametrize("spans", [[(0, 12)] * 2, [(0, 12), (0, 7)]])
def test_scores_beyond_the_range_of_bfloat16(large: float, spans: list[tuple[int, int]]) -> None:
    query, key, value = states(BMM, 2, 12)
    query, key = query.abs() * large, key.abs()  # every score far above or far below 88
    found = attend(BMM, query, key, value, mask_of(spans, 12))
    scores = query.float() @ key.float().transpose(2, 3) * query.shape[-1] ** -0.5
    masked = scores.bfloat16().float().masked_fill(~mask_of(spans, 12), -torch.inf)
    expected = (masked.softmax(-1) @ value.float()).transpose(1, 2)
    assert (found.float() - expected).abs().max() < 0.05


def test_scaling(name: str) -> None:
    check(name, *states(name, 2, 10), scaling=0.9)


def test_every_layer_reads_the_mask_once(name: str) -> None:
    query, key, value = states(name, 2, 8)
    mask = mask_of([(0, 8), (0, 3)], 8)
    first = attend(name, query, key, value, mask)
    assert mask.qembed_spans == ((0, 8), (0, 3))
    assert torch.equal(first, attend(name, query, key, value, mask))


class TestHandsOn:
    def goes_to_sdpa(self, module: Any, *arguments: Any, name: str = BMM, **options: Any) -> bool:
        return bool(cpu_attention.attention(module, *arguments, name=name, **options)[0] == "sdpa")

    def test_causal(self, fallbacks: list[Any]) -> None:
        for module, options in (
            (SimpleNamespace(is_causal=True), {}),
            (SimpleNamespace(), {}),  # transformers takes it for causal
            (BOTH_WAYS, {"is_causal": True}),
        ):
            assert self.goes_to_sdpa(module, *states(BMM, 1, 4), None, **options)
        assert fallbacks[2]["is_causal"] is True

    def test_masks_that_are_more_than_padding(self, fallbacks: list[Any]) -> None:
        tokens = 6
        window = (torch.arange(tokens)[:, None] - torch.arange(tokens)).abs() < 3
        hole = mask_of([(0, tokens)], tokens).clone()
        hole[..., 2] = False
        for mask in (window[None, None], hole, mask_of([(0, 0)], tokens), torch.zeros(1, 1, tokens, tokens)):
            assert self.goes_to_sdpa(BOTH_WAYS, *states(BMM, 1, tokens), mask)

    def test_other_dtypes_shared_keys_long_texts_and_biases(
        self, fallbacks: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        query, key, value = states(BMM, 1, 6)
        assert self.goes_to_sdpa(BOTH_WAYS, query.float(), key.float(), value.float(), None)
        assert self.goes_to_sdpa(BOTH_WAYS, query, key, value, None, name=FP32)
        assert self.goes_to_sdpa(BOTH_WAYS, query, key[:, :1], value[:, :1], None)
        assert self.goes_to_sdpa(BOTH_WAYS, query, key, value, None, dropout=0.1)
        assert self.goes_to_sdpa(BOTH_WAYS, query, key, value, None, position_bias=torch.ones(1))
        monkeypatch.setattr(cpu_attention, "MAX_TOKENS", 5)
        assert self.goes_to_sdpa(BOTH_WAYS, query, key, value, None)
        assert fallbacks[4]["position_bias"] is not None
