"""What transformers is asked for when a model is quantised or spread over GPUs; nothing is loaded for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
import torch
from torch import nn
from transformers import BertConfig, BertModel

from qembed.errors import UsageError
from qembed.models import Encoder, EncoderOptions, ModelSource
from qembed.models.loading import load_model
from qembed.models.placement import loads_through_host, move_around_networks, staying


class Transformer(nn.Module):
    max_seq_length = 24

    def __init__(self, *_: int) -> None:
        super().__init__()
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 8}
        self.model = BertModel(BertConfig(**sizes, intermediate_size=8))


class Pooling(nn.Linear):
    def get_config_dict(self) -> dict[str, Any]:
        return {"pooling_mode": "mean", "include_prompt": True}


class Recorded(nn.Sequential):
    """Stands for SentenceTransformer: keeps its arguments and who was moved where."""

    calls: list[dict[str, Any]]

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(Transformer(2, 2), Pooling(2, 2))
        self.moved: list[tuple[int, Any]] = []
        type(self).calls.append(options)
        for number, module in enumerate(self):
            module.to = lambda number=number, **where: self.moved.append((number, where))  # type: ignore[method-assign]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    Recorded.calls = []
    monkeypatch.setattr("sentence_transformers.SentenceTransformer", Recorded)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (7, 5))
    monkeypatch.setattr("qembed.models.device.find_spec", lambda _: "there")
    monkeypatch.setattr("qembed.models.placement.find_spec", lambda _: "there")
    # Its check of the installed version reads the package itself.
    monkeypatch.setattr("transformers.BitsAndBytesConfig", lambda **options: options)
    return Recorded.calls


def source(tiny: Path) -> ModelSource:
    return ModelSource("x", "x", "local", tiny, None, None)


def test_one_gpu_without_accelerate(
    tiny: Path, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qembed.models.placement.find_spec", lambda _: None)
    model, device, dtype, _ = load_model(source(tiny), EncoderOptions(device="cuda:1"))
    assert (device, dtype) == ("cuda:1", "fp16")
    assert loads_through_host("cuda:1")
    assert not loads_through_host("cpu")
    assert calls[0]["device"] == "cuda:1"
    assert calls[0]["model_kwargs"] == {"dtype": torch.float16, "use_safetensors": True}
    where = {"device": "cuda:1", "dtype": torch.float16}
    assert model.moved == [(0, where), (1, where)]


def test_one_gpu_with_accelerate_takes_the_weights_as_they_are_read(
    tiny: Path, calls: list[dict[str, Any]]
) -> None:
    model, *_ = load_model(source(tiny), EncoderOptions(device="cuda:1"))
    assert not loads_through_host("cuda:1")
    assert calls[0]["device"] is None
    assert calls[0]["model_kwargs"]["device_map"] == {"": "cuda:1"}
    assert [number for number, _ in model.moved] == [1]


def test_a_sharded_model_needs_accelerate(
    tiny: Path, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qembed.models.placement.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="--shard needs accelerate"):
        load_model(source(tiny), EncoderOptions(shard=True))


@pytest.mark.parametrize("library", ["SentenceTransformer", "CrossEncoder"])
def test_the_class_that_stays_keeps_its_name(library: str) -> None:
    """Under another name sentence-transformers before 5.5 discards ``modules.json``."""
    real = getattr(sentence_transformers, library)
    placed = staying(real)
    assert issubclass(placed, real)
    assert (placed.__name__, placed.__qualname__) == (real.__name__, real.__qualname__)


def test_nf4(tiny: Path, calls: list[dict[str, Any]]) -> None:
    model, device, dtype, _ = load_model(source(tiny), EncoderOptions(device="cuda:1", precision="nf4"))
    assert (device, dtype) == ("cuda:1", "nf4")
    assert calls[0]["device"] is None
    kwargs = calls[0]["model_kwargs"]
    assert kwargs["device_map"] == {"": "cuda:1"}
    assert kwargs["dtype"] == torch.float16
    assert kwargs["quantization_config"] == {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": torch.float16,
    }
    assert [number for number, _ in model.moved] == [1]  # the quantised transformer stays where it is
    assert model.to("cpu") is model


def test_int8(tiny: Path, calls: list[dict[str, Any]]) -> None:
    load_model(source(tiny), EncoderOptions(device="cuda", precision="int8"))
    assert calls[0]["model_kwargs"]["quantization_config"] == {"load_in_8bit": True}
    assert calls[0]["model_kwargs"]["device_map"] == {"": "cuda:0"}


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_shard(tiny: Path, calls: list[dict[str, Any]], precision: Any) -> None:
    model, device, *_ = load_model(source(tiny), EncoderOptions(shard=True, precision=precision))
    assert device == "cuda:0"
    assert calls[0]["device"] is None
    assert calls[0]["model_kwargs"]["device_map"] == "balanced"
    assert ("quantization_config" in calls[0]["model_kwargs"]) is (precision == "int8")
    assert model.moved == [(1, {"device": "cuda:0", "dtype": torch.float16})]


@pytest.mark.parametrize("gpus", [0, 1])
def test_too_few_gpus_to_shard(tiny: Path, monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    with pytest.raises(UsageError, match=f"{gpus} are there") as caught:
        load_model(source(tiny), EncoderOptions(shard=True))
    assert "nf4" in str(caught.value.remedy)


@pytest.mark.filterwarnings("ignore")  # bitsandbytes tells of casts
@pytest.mark.parametrize(("precision", "least"), [("int8", 0.995), ("nf4", 0.9)])
def test_quantised_on_a_cpu(minilm: Path, precision: Any, least: float) -> None:
    pytest.importorskip("bitsandbytes", reason="pip install accelerate bitsandbytes")
    encoder = Encoder.load("minilm", EncoderOptions(device="cpu", precision=precision))
    exact = Encoder.load("minilm", EncoderOptions(device="cpu", precision="fp32"))
    texts = ["how do I filter by payload?", "a point is a vector and a payload " * 9]
    assert [type(module).__name__ for module in encoder._model] == ["Transformer", "Pooling", "Normalize"]
    assert encoder.info.dtype == precision
    assert encoder.reads_tokens
    found = (encoder.encode(texts) * exact.encode(texts)).sum(1)
    assert least < found.min()
    assert found.max() < 0.99999
    assert np.abs(np.linalg.norm(encoder.encode(texts), axis=1) - 1).max() < 1e-5


def test_what_surrounds_a_transformer_is_moved_and_the_transformer_is_not() -> None:
    """As in a router, whose routes hold more than the transformer."""
    inner, dense = Transformer(), nn.Linear(2, 2)
    route = nn.Sequential(inner, dense)
    move_around_networks(nn.ModuleDict({"document": route, "query": nn.Linear(2, 2)}), "meta", torch.float16)
    assert dense.weight.device.type == "meta"
    assert dense.weight.dtype == torch.float16
    assert {parameter.device.type for parameter in inner.parameters()} == {"cpu"}
