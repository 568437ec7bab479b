"""Packed linear layers against torch's own; what cannot be packed stays as it was, to the last bit."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qembed.models import Encoder, EncoderOptions, cpu_kernels
from qembed.models.cpu_kernels import PackedLinear, accelerate
from qembed.models.device import cpu_has_bf16

TEXTS = ["vector search", "a point is a vector and a payload " * 3, "x", "filter: the index of a chunk"]

pytestmark = pytest.mark.skipif(
    bool(cpu_kernels._unsuitable(torch.float32)), reason="this machine or this torch has no packed kernels"
)
needs_bf16 = pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU only emulates bf16")


def load(folder: Path, precision: Any = "fp32", kernels: Any = "auto") -> Encoder:
    return Encoder.load(str(folder), EncoderOptions(device="cpu", precision=precision, kernels=kernels))


def least_cosine(a: Encoder, b: Encoder) -> float:
    return cpu_kernels._least_cosine(a.encode(TEXTS), b.encode(TEXTS))


def linears(encoder: Encoder) -> tuple[int, int]:
    kinds = [type(module) for module in encoder._model.modules()]
    return kinds.count(nn.Linear), kinds.count(PackedLinear)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=needs_bf16)])
def test_a_packed_layer(bias: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    linear = nn.Linear(24, 40, bias=bias, dtype=dtype).eval().requires_grad_(False)
    packed = PackedLinear(linear)
    states = torch.randn(3, 5, 24, dtype=dtype)
    expected = linear(states)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    assert packed(states).shape == (3, 5, 40)
    assert torch.allclose(packed(states), expected, atol=tolerance)
    packed.activation = "gelu"
    assert torch.allclose(packed(states), nn.functional.gelu(expected), atol=tolerance)
    back = packed.unpacked()
    assert torch.equal(back.weight, linear.weight)
    assert torch.equal(back(states), expected)


@pytest.mark.parametrize("kind", ["plain", "prompt-excluded", "last-token", "dense"])
def test_float32_gives_the_same_vectors(tiny_models: Callable[[str], Path], kind: str) -> None:
    packed, plain = load(tiny_models(kind)), load(tiny_models(kind), kernels="plain")
    assert (packed.info.kernels, plain.info.kernels) == ("packed", "plain")
    assert linears(packed) == (0, linears(plain)[0])
    assert least_cosine(packed, plain) > 0.999999


@needs_bf16
def test_bfloat16_of_the_bundled_model(minilm: Path) -> None:
    packed, plain = load(minilm, "bf16"), load(minilm, "fp32", "plain")
    expected = "packed" if cpu_kernels.has_amx() else "packed+bmm"
    assert packed.info.kernels == expected
    assert packed.info.attention == ("sdpa" if cpu_kernels.has_amx() else "qembed_bmm")
    assert least_cosine(packed, plain) > 0.9995
    alone = np.concatenate([packed.encode([text]) for text in TEXTS])
    assert cpu_kernels._least_cosine(alone, packed.encode(TEXTS)) > 0.9995


@needs_bf16
def test_torchs_own_attention_where_the_cpu_multiplies_tiles(
    minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_kernels, "has_amx", lambda: True)
    assert load(minilm, "bf16").info.attention == "sdpa"


def test_the_public_layout_is_freed() -> None:
    model = nn.Sequential(nn.Linear(8, 8))
    weight = weakref.ref(model[0].weight)
    undo: list[Any] = []
    cpu_kernels._pack(model, undo)
    gc.collect()
    assert weight() is None


class TestStaysPlain:
    def refused(self, tiny: Path, reason: str) -> None:
        encoder, plain = load(tiny), load(tiny, kernels="plain")
        assert encoder.info.kernels.startswith("plain: ")
        assert reason in encoder.info.kernels
        assert linears(encoder) == linears(plain)
        assert encoder.info.attention == plain.info.attention
        assert np.array_equal(encoder.encode(TEXTS), plain.encode(TEXTS))

    def test_wrong_vectors(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        right = PackedLinear.forward
        monkeypatch.setattr(PackedLinear, "forward", lambda self, states: right(self, states).abs())
        self.refused(tiny, "packed gave cosine")

    def test_vectors_that_are_not_finite(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        right = PackedLinear.forward
        monkeypatch.setattr(PackedLinear, "forward", lambda self, states: right(self, states) * torch.nan)
        self.refused(tiny, "packed gave cosine -1")

    def test_an_operation_that_fails(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def boom(self: Any, states: Any) -> Any:
            raise RuntimeError("no such kernel")

        monkeypatch.setattr(PackedLinear, "forward", boom)
        self.refused(tiny, "RuntimeError: no such kernel")

    def test_another_processor(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("platform.machine", lambda: "aarch64")
        self.refused(tiny, "aarch64")

    def test_a_torch_without_onednn(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
        self.refused(tiny, "lacks the operations")

    def test_half_precision(self, tiny: Path) -> None:
        assert load(tiny, "fp16").info.kernels == "plain: no kernels for torch.float16"

    def test_a_model_without_weights(self) -> None:
        assert accelerate(nn.Sequential(), lambda: pytest.fail("run for nothing")) == "plain"
