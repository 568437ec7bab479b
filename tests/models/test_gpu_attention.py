"""Keys repeated before attention give the same vectors, and no kernel is asked to spread them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from qembed.models import Encoder, EncoderOptions
from qembed.models.fitting import networks_of
from qembed.models.gpu_attention import REPEATED, needs_repeated_keys, use_repeated_keys

CPU = EncoderOptions(device="cpu", precision="fp32", kernels="plain")


@pytest.fixture
def encoder(tiny_models: Callable[[str], Path]) -> Encoder:
    """Qwen2 with four query heads and two key heads."""
    return Encoder.load(str(tiny_models("last-token")), CPU)


def watch(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int, int]]:
    """Whether torch was asked to spread keys, and how many heads query and key had."""
    calls: list[tuple[bool, int, int]] = []
    real = torch.nn.functional.scaled_dot_product_attention

    def watched(query: Any, key: Any, value: Any, **options: Any) -> Any:
        calls.append((bool(options.get("enable_gqa")), query.shape[1], key.shape[1]))
        return real(query, key, value, **options)

    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", watched)
    return calls


@pytest.mark.parametrize(
    "texts",
    [["vector search"], ["vector search", "vector search"], ["a", "a longer text of a chunk and a point"]],
    ids=["one", "equal lengths", "padded"],
)
def test_the_same_vectors_without_spreading(
    encoder: Encoder, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = encoder.encode(texts)
    (network,) = networks_of(encoder._model)
    use_repeated_keys(network)
    assert network.config._attn_implementation == REPEATED
    calls = watch(monkeypatch)
    assert (encoder.encode(texts) * expected).sum(1).min() > 0.999999
    assert calls == [(False, 4, 4)] * 2


def test_without_it_an_unpadded_batch_is_spread(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = watch(monkeypatch)
    encoder.encode(["vector search", "vector search"])
    assert calls == [(True, 4, 2)] * 2


@pytest.mark.parametrize(
    ("device", "capability", "config", "needed"),
    [
        ("cuda:0", (7, 5), {"num_attention_heads": 28, "num_key_value_heads": 4}, True),
        ("cuda:0", (8, 0), {"num_attention_heads": 28, "num_key_value_heads": 4}, False),
        ("cpu", (7, 5), {"num_attention_heads": 28, "num_key_value_heads": 4}, False),
        ("cuda:0", (7, 5), {"num_attention_heads": 12, "num_key_value_heads": 12}, False),
        ("cuda:0", (7, 5), {"num_attention_heads": 12}, False),
        ("cuda:0", (7, 5), {"num_attention_heads": 8, "num_key_value_heads": 2, "eager": True}, False),
    ],
)
def test_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, device: str, capability: tuple[int, int], config: Any, needed: bool
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: capability)
    attention = "eager" if config.pop("eager", False) else "sdpa"
    network = SimpleNamespace(config=SimpleNamespace(**config, _attn_implementation=attention))
    assert needs_repeated_keys(network, device) is needed
