"""Memory of weights and forward passes: against what torch allocates, and what must hold of any budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.engine.planning.memory import (
    BUFFER_BYTES,
    CONTEXT_BYTES,
    ForwardBytes,
    attention_kernels,
    batch_by_rule,
    forward_bytes,
    token_budget_for,
    worst_forward_bytes,
)
from qembed.models.catalog import Architecture, ModelCard, find_model

T4_BYTES = 15_828_320_256
T4, A100 = (7, 5), (8, 0)

architectures = st.builds(
    Architecture,
    family=st.just("any"),
    layers=st.integers(1, 64),
    hidden=st.integers(8, 8192),
    heads=st.integers(1, 64),
    kv_heads=st.integers(1, 8),
    head_dim=st.integers(8, 256),
    mlp=st.integers(8, 32_768),
    gated_mlp=st.booleans(),
    vocabulary=st.integers(100, 300_000),
    positions=st.integers(64, 32_768),
)
dtypes = st.sampled_from(["fp32", "fp16", "bf16", "int8", "nf4"])
capabilities = st.sampled_from([None, (6, 0), T4, A100, (9, 0)])


@pytest.fixture
def code() -> ModelCard:
    card = find_model("nomic-embed-code")
    assert card is not None
    return card


class TestRuleOfThumb:
    def test_the_figure_of_the_mission(self) -> None:
        figures = {"memory_bytes": 15.83e9, "model_bytes": 6.8e9, "buffer_bytes": 2e9, "chunk_bytes": 0.15e9}
        assert batch_by_rule(**figures, cap=24) == (46, 24)
        assert batch_by_rule(**{**figures, "memory_bytes": T4_BYTES}, cap=None) == (46, 46)

    def test_no_room_is_no_batch(self) -> None:
        assert batch_by_rule(
            memory_bytes=8e9, model_bytes=7e9, buffer_bytes=2e9, chunk_bytes=1e8, cap=24
        ) == (0, 0)


class TestTokenBudget:
    @given(
        memory=st.integers(0, 10**11),
        weights=st.integers(0, 10**11),
        per_token=st.floats(1, 1e6),
        longest=st.integers(1, 40_000),
        buffer=st.integers(0, 4 * 10**9),
        fixed=st.integers(0, 10**9),
    )
    def test_a_batch_at_the_budget_fits_and_one_text_more_does_not(
        self, memory: int, weights: int, per_token: float, longest: int, buffer: int, fixed: int
    ) -> None:
        budget = token_budget_for(
            device_memory_bytes=memory,
            weights_bytes=weights,
            bytes_per_token=per_token,
            longest_tokens=longest,
            buffer_bytes=buffer,
            fixed_bytes=fixed,
        )
        taken = weights + CONTEXT_BYTES + buffer + fixed
        if budget:
            assert budget >= longest
            assert taken + budget * per_token <= memory + 1
            assert taken + (budget + 1) * per_token > memory - 1
        else:
            assert taken + longest * per_token > memory - 1

    def test_the_longest_text_must_fit(self) -> None:
        def budget(longest: int) -> int:
            return token_budget_for(
                device_memory_bytes=3_300_000_000,
                weights_bytes=10**9,
                bytes_per_token=1.0,
                longest_tokens=longest,
                buffer_bytes=2 * 10**9 - 1000,
            )

        assert (budget(1000), budget(1001)) == (1000, 0)

    @given(
        memory=st.integers(10**9, 10**11),
        more=st.integers(0, 10**10),
        per_token=st.floats(1, 1e6),
        hungrier=st.floats(1, 10),
        longest=st.integers(1, 4000),
    )
    def test_more_memory_never_less_and_more_bytes_never_more(
        self, memory: int, more: int, per_token: float, hungrier: float, longest: int
    ) -> None:
        def budget(memory: int, per_token: float, longest: int = longest) -> int:
            return token_budget_for(
                device_memory_bytes=memory,
                weights_bytes=10**8,
                bytes_per_token=per_token,
                longest_tokens=longest,
            )

        assert budget(memory + more, per_token) >= budget(memory, per_token)
        assert budget(memory, per_token * hungrier) <= budget(memory, per_token)
        assert budget(memory, per_token, longest * 2) // (longest * 2) <= budget(memory, per_token) // longest


class TestKernels:
    @pytest.mark.parametrize(
        ("capability", "dtype", "kernels"),
        [
            (None, "fp32", ("flash", "flash")),
            (T4, "fp16", ("memory-efficient", "memory-efficient")),  # its keys are repeated
            (A100, "fp16", ("memory-efficient", "flash")),
            (A100, "fp32", ("memory-efficient", "math")),
        ],
    )
    def test_with_shared_key_heads(
        self, code: ModelCard, capability: Any, dtype: str, kernels: tuple[str, str]
    ) -> None:
        assert attention_kernels(code.architecture, capability, dtype) == kernels

    def test_without(self) -> None:
        card = find_model("minilm")
        assert card is not None
        assert attention_kernels(card.architecture, T4, "fp16") == ("memory-efficient", "memory-efficient")

    def test_the_hungrier_one_is_planned_for(self, code: ModelCard) -> None:
        worst, kernel = worst_forward_bytes(code.architecture, "fp32", 2048, A100)
        assert kernel == "math"
        # 28 heads x 2,048 scores, two floats and a byte each, are alive together with queries, keys, values.
        assert worst.per_token > 28 * 2048 * 9
        repeated, kernel = worst_forward_bytes(code.architecture, "fp16", 2048, T4)
        assert kernel == "memory-efficient"
        assert repeated.per_token < 0.5 * 28 * 2048 * 9


class TestForward:
    @given(architectures, dtypes, st.integers(1, 16_384), capabilities)
    def test_longer_texts_never_take_less_a_token(
        self, architecture: Architecture, dtype: str, longest: int, capability: Any
    ) -> None:
        short, _ = worst_forward_bytes(architecture, dtype, longest, capability)
        long, _ = worst_forward_bytes(architecture, dtype, longest * 2, capability)
        assert long.per_token >= short.per_token > 0

    @given(architectures, st.integers(1, 4096))
    def test_wider_dtypes_take_more(self, architecture: Architecture, longest: int) -> None:
        def per_token(dtype: str) -> int:
            return forward_bytes(architecture, dtype, longest, "flash", masked=False).per_token

        assert per_token("fp16") == per_token("bf16") == per_token("nf4") <= per_token("int8")
        assert per_token("fp16") <= per_token("fp32")

    def test_of_a_batch(self) -> None:
        assert ForwardBytes(100, 20, 3, 1000).of_batch(10) == 1000 + 10 * 123

    def test_what_is_true_of_the_default_model_on_a_t4(self, code: ModelCard) -> None:
        def left(dtype: str) -> float:
            fixed = forward_bytes(code.architecture, dtype, 1, "flash", masked=False).fixed
            weights = getattr(code.weight_bytes, dtype)
            return (T4_BYTES - weights - CONTEXT_BYTES - BUFFER_BYTES - fixed) / 1e9

        assert left("fp32") < -BUFFER_BYTES / 1e9
        assert -BUFFER_BYTES / 1e9 < left("fp16") < 0
        assert 5.5 < left("int8") < 7
        assert 8 < left("nf4") < 9.5


SIZES: dict[str, Any] = {
    "vocab_size": 500,
    "num_hidden_layers": 3,
    "max_position_embeddings": 1024,
}
QWEN2 = {"hidden_size": 224, "num_attention_heads": 14, "num_key_value_heads": 2, "intermediate_size": 1184}
QWEN3 = {
    "hidden_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "intermediate_size": 384,  # so that attention is the widest moment
}
BERT = {"hidden_size": 192, "num_attention_heads": 6, "intermediate_size": 768}
FLAT = {**QWEN2, "intermediate_size": 256}


class TestAgainstTorch:
    """The same figures counted by torch's allocator on a CPU."""

    @pytest.mark.filterwarnings("ignore:Warning. Profiler clears events")  # torch 2.10
    @pytest.mark.parametrize(("dtype", "masked"), [("fp32", True), ("bf16", False)])
    @pytest.mark.parametrize(
        ("family", "sizes", "kernel"),
        [
            ("qwen2", QWEN2, "flash"),
            ("qwen3", QWEN3, "flash"),
            ("bert", BERT, "flash"),
            ("qwen2", FLAT, "math"),
        ],
        ids=["qwen2", "qwen3", "bert", "qwen2-math"],
    )
    def test_peak_of_a_forward_pass(
        self, family: str, sizes: dict[str, Any], kernel: Any, masked: bool, dtype: str
    ) -> None:
        texts, longest = 3, 192
        predicted = forward_bytes(_architecture(family, sizes), dtype, longest, kernel, masked=masked)
        counted = _peak_bytes(_model(family, sizes), dtype, kernel, texts, longest, masked=masked)
        assert 0.96 <= predicted.per_token * texts * longest / counted <= 1.05


def _architecture(family: str, sizes: dict[str, Any]) -> Architecture:
    heads = sizes["num_attention_heads"]
    return Architecture(
        family=family,
        layers=3,
        hidden=sizes["hidden_size"],
        heads=heads,
        kv_heads=sizes.get("num_key_value_heads", heads),
        head_dim=sizes.get("head_dim", sizes["hidden_size"] // heads),
        mlp=sizes["intermediate_size"],
        gated_mlp=family != "bert",
        vocabulary=500,
        positions=1024,
    )


def _model(family: str, sizes: dict[str, Any]) -> Any:
    import transformers

    if family == "bert":
        return transformers.BertModel(transformers.BertConfig(**SIZES, **sizes), add_pooling_layer=False)
    if family == "qwen3":
        return transformers.Qwen3Model(transformers.Qwen3Config(**SIZES, **sizes, use_cache=False))
    return transformers.Qwen2Model(transformers.Qwen2Config(**SIZES, **sizes, use_cache=False))


def _peak_bytes(model: Any, dtype: str, kernel: str, texts: int, longest: int, *, masked: bool) -> int:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    model = model.to({"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]).eval()
    ids = torch.randint(5, 400, (texts, longest))
    mask = torch.ones_like(ids)
    if masked:
        mask[0, longest // 2 :] = 0
    backend = SDPBackend.MATH if kernel == "math" else SDPBackend.FLASH_ATTENTION
    with torch.inference_mode(), sdpa_kernel(backend):
        return _allocated(lambda: model(input_ids=ids, attention_mask=mask).last_hidden_state)


def _allocated(run: Callable[[], Any]) -> int:
    from torch.profiler import ProfilerActivity, profile

    run()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    held = peak = 0
    assert profiler.profiler is not None
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak
