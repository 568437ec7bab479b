"""Faster modules against torch's own; where they do not suit, all stays as it was, to the last bit."""

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

from qembed.errors import UsageError
from qembed.models import Encoder, EncoderOptions, ModelSource, find_model
from qembed.models.cpu import accelerate as cpu
from qembed.models.cpu import kernels
from qembed.models.cpu.accelerate import (
    CompiledEncoder,
    CompiledLinear,
    FastLinear,
    Int16Linear,
    PackedLinear,
    accelerate,
)
from qembed.models.device import cpu_has_bf16
from qembed.models.loading import precision_of

TEXTS = ["vector search", "a point is a vector and a payload " * 3, "x", "filter: the index of a chunk"]

needs_fp32 = pytest.mark.skipif(bool(kernels.unavailable(False)), reason=kernels.unavailable(False))
needs_int16 = pytest.mark.skipif(bool(kernels.unavailable(True)), reason=kernels.unavailable(True))
needs_bf16 = pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU only emulates bf16")


def load(folder: Path, precision: Any = "fp32", kernels: Any = "auto") -> Encoder:
    return Encoder.load(str(folder), EncoderOptions(device="cpu", precision=precision, kernels=kernels))


def least_cosine(a: Encoder, b: Encoder) -> float:
    return cpu._least_cosine(a.encode(TEXTS), b.encode(TEXTS))


def linears(encoder: Encoder) -> tuple[int, int]:
    modules = list(encoder._model.modules())
    return [type(module) for module in modules].count(nn.Linear), sum(
        isinstance(module, FastLinear) for module in modules
    )


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without the compiled kernels, or without AVX-512."""
    monkeypatch.setattr("qembed.models.cpu.kernels.unavailable", lambda sixteen: "not here")
    if reason := cpu.missing("fp32"):
        pytest.skip(reason)


@pytest.fixture(params=[pytest.param("compiled", marks=needs_fp32), "packed"])
def used(request: pytest.FixtureRequest) -> str:
    """The kernels that are used."""
    if request.param == "packed":
        request.getfixturevalue("no_kernels")
    return str(request.param)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kind", "dtype", "tolerance"),
    [
        (PackedLinear, torch.float32, 1e-5),
        pytest.param(PackedLinear, torch.bfloat16, 2e-2, marks=needs_bf16),
        pytest.param(CompiledLinear, torch.float32, 1e-5, marks=needs_fp32),
        pytest.param(Int16Linear, torch.float32, 1e-3, marks=needs_int16),
    ],
)
def test_a_layer(kind: type[FastLinear], dtype: torch.dtype, tolerance: float, bias: bool) -> None:
    if kind is PackedLinear and (reason := cpu.missing("bf16")):
        pytest.skip(reason)
    torch.manual_seed(1)
    linear = nn.Linear(24, 40, bias=bias, dtype=dtype).eval().requires_grad_(False)
    fast = kind(linear)
    states = torch.randn(3, 5, 24, dtype=dtype)
    expected = linear(states)
    assert fast(states).shape == (3, 5, 40)
    assert torch.allclose(fast(states), expected, atol=tolerance)
    fast.gelu = True
    assert torch.allclose(fast(states), nn.functional.gelu(expected), atol=tolerance)
    if kind is not Int16Linear:
        back = fast.unpacked()
        assert torch.equal(back.weight, linear.weight)
        assert torch.equal(back(states), expected)


@pytest.mark.parametrize("kind", ["plain", "prompt-excluded", "last-token", "dense"])
def test_float32_gives_the_same_vectors(tiny_models: Callable[[str], Path], kind: str, used: str) -> None:
    fast, plain = load(tiny_models(kind)), load(tiny_models(kind), kernels="plain")
    assert (fast.info.kernels, plain.info.kernels) == (used, "plain")
    assert linears(fast) == (0, linears(plain)[0])
    assert least_cosine(fast, plain) > 0.999999


@needs_int16
class TestInt16:
    def test_the_bundled_model(self, minilm: Path) -> None:
        fast, plain = load(minilm, "int16"), load(minilm, "fp32", "plain")
        assert (fast.info.dtype, fast.info.kernels, fast.info.attention) == (
            "int16",
            "compiled",
            "qembed_int16",
        )
        assert least_cosine(fast, plain) > 0.999998
        alone = np.concatenate([fast.encode([text]) for text in TEXTS])
        assert cpu._least_cosine(alone, fast.encode(TEXTS)) > 0.999999

    def test_the_layers_of_bert_run_in_one_call(self, minilm: Path) -> None:
        encoder = load(minilm, "int16")
        kinds = [type(module) for module in encoder._model.modules()]
        assert kinds.count(CompiledEncoder) == 1
        assert kinds.count(Int16Linear) == 37  # six a layer, and the pooler

    def test_what_the_call_does_not_serve_goes_through_the_layers(self, minilm: Path) -> None:
        encoder = load(minilm, "int16")
        model = encoder._model[0].auto_model
        features = encoder._model.preprocess(TEXTS)
        ids, mask = features["input_ids"], features["attention_mask"]
        with torch.inference_mode():
            together = model(input_ids=ids, attention_mask=mask).last_hidden_state
            states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
            assert len(states.hidden_states) == 7
            hole = mask.clone()
            hole[0, 1] = 0  # no span
            model(input_ids=ids, attention_mask=hole)
        real = mask.bool()
        error = (states.last_hidden_state - together)[real].abs()
        assert error.max() < 1e-2
        assert error.mean() < 3e-4

    def test_auto_goes_back_to_fp32(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = load(tiny, "fp32", "plain")
        monkeypatch.setattr("qembed.models.loading.pick_precision", lambda *_: "int16")
        monkeypatch.setitem(cpu.LEAST_COSINE, "int16", 1.1)
        encoder = load(tiny, "auto")
        assert (encoder.info.dtype, encoder.info.kernels) == ("fp32", "compiled")
        assert least_cosine(encoder, plain) > 0.999999

    def test_what_was_asked_for_is_not_changed(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(cpu.LEAST_COSINE, "int16", 1.1)
        with pytest.raises(UsageError, match="does not run in int16: compiled gave cosine") as caught:
            load(tiny, "int16")
        assert caught.value.remedy == "--precision fp32"
        with pytest.raises(UsageError, match="needs the compiled kernels"):
            load(tiny, "int16", "plain")

    def test_auto_does_not_let_16_bit_weights_grow(
        self, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("qembed.models.loading.pick_precision", lambda *_: "int16")
        encoder = load(tiny, "fp32", "plain")
        encoder._model.bfloat16().save_pretrained(str(tmp_path / "halved"))
        assert load(tmp_path / "halved", "auto").info.dtype == ("bf16" if cpu_has_bf16() else "fp32")
        assert load(tmp_path / "halved", "int16").info.dtype == "int16"

    @pytest.mark.parametrize(
        ("name", "halved"), [("minilm", False), ("qwen3-0.6b", True), ("nomic-embed-code", True)]
    )
    def test_before_the_files_are_here_the_catalog_knows(
        self, name: str, halved: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("qembed.models.loading.pick_precision", lambda *_: "int16")
        card = find_model(name)
        assert card is not None
        source = ModelSource(name, card.id, "hub", path=None, revision=None, card=card)
        found = precision_of(source, EncoderOptions(), "cpu")
        assert found == (("bf16" if cpu_has_bf16() else "fp32") if halved else "int16")


@needs_bf16
def test_bfloat16_of_the_bundled_model(minilm: Path) -> None:
    packed, plain = load(minilm, "bf16"), load(minilm, "fp32", "plain")
    expected = "packed" if cpu.cpu_has_amx() else "packed+bmm"
    assert packed.info.kernels == expected
    assert packed.info.attention == ("sdpa" if cpu.cpu_has_amx() else "qembed_bmm")
    assert least_cosine(packed, plain) > 0.9995
    alone = np.concatenate([packed.encode([text]) for text in TEXTS])
    assert cpu._least_cosine(alone, packed.encode(TEXTS)) > 0.9995


@needs_bf16
def test_torchs_own_attention_where_the_cpu_multiplies_tiles(
    minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "cpu_has_amx", lambda: True)
    assert load(minilm, "bf16").info.attention == "sdpa"


@pytest.mark.parametrize("kind", [PackedLinear, pytest.param(CompiledLinear, marks=needs_fp32)])
def test_the_public_layout_is_freed(kind: type[FastLinear]) -> None:
    if reason := cpu.missing("fp32"):
        pytest.skip(reason)
    model = nn.Sequential(nn.Linear(8, 8))
    weight = weakref.ref(model[0].weight)
    undo: list[Any] = []
    cpu._pack(model, kind, undo)
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

    def broken(self, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
        for kind in (PackedLinear, CompiledLinear):
            right = kind.forward
            monkeypatch.setattr(
                kind, "forward", lambda self, states, right=right: change(right(self, states))
            )
        encode = kernels.Encoder.__call__
        monkeypatch.setattr(kernels.Encoder, "__call__", lambda *arguments: change(encode(*arguments)))

    def test_wrong_vectors(self, tiny: Path, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.broken(monkeypatch, torch.abs)
        self.refused(tiny, f"{used} gave cosine")

    def test_vectors_that_are_not_finite(
        self, tiny: Path, used: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.broken(monkeypatch, lambda states: states * torch.nan)
        self.refused(tiny, f"{used} gave cosine -1")

    @pytest.mark.usefixtures("used")
    def test_an_operation_that_fails(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def boom(_: Any) -> Any:
            raise RuntimeError("no such kernel")

        self.broken(monkeypatch, boom)
        self.refused(tiny, "RuntimeError: no such kernel")

    @pytest.mark.usefixtures("no_kernels")
    def test_another_processor(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("platform.machine", lambda: "aarch64")
        self.refused(tiny, "aarch64")

    @pytest.mark.usefixtures("no_kernels")
    def test_a_torch_without_onednn(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
        self.refused(tiny, "lacks the operations")

    def test_half_precision(self, tiny: Path) -> None:
        assert load(tiny, "fp16").info.kernels == "plain: no kernels for fp16"

    def test_a_model_without_linear_layers(self) -> None:
        model = nn.Sequential(nn.Embedding(4, 4))
        found = accelerate(model, "fp32", lambda: pytest.fail("run for nothing"))
        assert found == "plain: no linear layers"
