"""Device presets: names, several of one kind, what is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from qembed.engine.planning import presets
from qembed.engine.planning.choice import choose
from qembed.engine.planning.facts import model_facts
from qembed.engine.planning.gpus import Gpu
from qembed.engine.planning.memory import CONTEXT_BYTES
from qembed.engine.planning.presets import describe_gpu, find_device, load_presets
from qembed.errors import UsageError
from qembed.models import EncoderOptions, resolve_model
from qembed.models.loading import precision_of


def test_the_presets_that_are_promised() -> None:
    assert list(load_presets()) == [
        *("t4", "p100", "l4", "a100", "a100-80gb", "h100", "h200", "rtx-4090", "l40s", "cpu")
    ]
    for preset in load_presets().values():
        assert preset.source.startswith("https://")
        assert 0 < preset.efficiency[0] < preset.efficiency[1] <= 1
        assert min(preset.tflops.values()) > 0
        if preset.capability:
            assert {"fp32", "fp16"} <= set(preset.tflops)
            assert ("bf16" in preset.tflops) == (preset.capability >= (8, 0))


def test_a_t4_is_what_kaggle_reports() -> None:
    t4 = find_device("t4")
    assert (t4.memory_bytes, t4.capability, t4.max_batch, t4.count) == (15_828_320_256, (7, 5), 24, 1)


@pytest.mark.parametrize(
    ("name", "count"), [("t4x2", 2), ("T4X2", 2), ("a100x8", 8), ("l4", 1), ("h100x1", 1), ("rtx-4090x2", 2)]
)
def test_several(name: str, count: int) -> None:
    device = find_device(name)
    assert device.count == count
    assert device.label.startswith(f"{count} x ") == (count > 1)


@pytest.mark.parametrize("name", ["t5", "t4x0", "x2", "t4x", "cpux2", "", "2xt4", "t4x2x2"])
def test_no_such_device(name: str) -> None:
    with pytest.raises(UsageError, match="no device preset") as caught:
        find_device(name)
    assert "t4x2" in (caught.value.remedy or "")


T4 = Gpu(0, "Tesla T4", 15_828_320_256, (7, 5), free_bytes=15_720_000_000)
L4 = Gpu(1, "NVIDIA L4", 23_654_000_000, (8, 9), free_bytes=23_500_000_000)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that there are some GPUs."""

    def here(*gpus: Gpu) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: bool(gpus))
        monkeypatch.setattr("torch.cuda.device_count", lambda: len(gpus))
        monkeypatch.setattr(presets, "find_gpus", lambda: list(gpus))

    return here


class TestHere:
    def test_two_cards_are_the_preset(self, here: Callable[..., None]) -> None:
        here(T4, replace(T4, index=1))
        assert find_device("auto") == find_device("cuda") == find_device("t4x2")
        assert find_device("cuda:1") == find_device("t4")

    def test_what_others_use_of_a_card_is_not_there(self, here: Callable[..., None]) -> None:
        here(replace(T4, free_bytes=10_000_000_000), replace(T4, index=1))
        device = find_device("auto")
        assert device.memory_bytes == 10_000_000_000 + CONTEXT_BYTES
        assert find_device("cuda:1").memory_bytes == T4.memory_bytes

    def test_several_kinds_are_planned_for_what_all_can(self, here: Callable[..., None]) -> None:
        here(T4, L4)
        both = find_device("auto")
        assert (both.count, both.capability, both.memory_bytes) == (2, (7, 5), T4.memory_bytes)
        assert both.reported == "Tesla T4 + NVIDIA L4"
        assert both.max_batch == 24
        assert "bf16" not in both.tflops
        assert "several kinds of GPU" in both.note
        assert "bf16" in find_device("cuda:1").tflops

    def test_no_card_is_the_cpu(self, here: Callable[..., None]) -> None:
        here()
        device = find_device("auto")
        assert (device.name, device.capability) == ("cpu", None)
        assert device.memory_bytes > 0
        assert "cores" in device.label

    def test_workers_of_a_cpu_have_a_share_each(self) -> None:
        one, two = find_device("cpu"), find_device("cpu*2")
        assert two.count == 2
        assert two.tflops["fp32"] == one.tflops["fp32"] / 2
        assert two.memory_bytes == pytest.approx(one.memory_bytes / 2, rel=0.2)

    def test_a_card_was_wanted(self, here: Callable[..., None]) -> None:
        here()
        with pytest.raises(UsageError, match="is not there"):
            find_device("cuda")

    def test_a_card_without_a_preset(self) -> None:
        device = describe_gpu("Quadro", 8_000_000_000, (7, 5), 1)
        assert not device.speed_known
        assert "bf16" not in device.tflops
        assert device.tflops["fp16"] > device.tflops["fp32"]


@pytest.mark.parametrize("amx", [True, False])
@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("int16", [True, False])
@pytest.mark.parametrize("name", ["minilm", "nomic-embed-code", "CodeRankEmbed", "Qwen3-Embedding-0.6B"])
def test_auto_on_a_cpu_is_what_the_encoder_takes(
    monkeypatch: pytest.MonkeyPatch, amx: bool, bf16: bool, int16: bool, name: str
) -> None:
    monkeypatch.setattr("qembed.models.device.cpu_has_amx", lambda: amx)
    monkeypatch.setattr("qembed.models.device.cpu_has_bf16", lambda: bf16 or amx)
    monkeypatch.setattr("qembed.models.loading.cpu_has_bf16", lambda: bf16 or amx)
    monkeypatch.setattr("qembed.models.cpu.kernels.unavailable", lambda sixteen=False: "" if int16 else "no")
    source = resolve_model(name)
    cpu = replace(find_device("cpu"), memory_bytes=200_000_000_000)
    chosen = choose(model_facts(source), cpu).require()
    assert chosen.precision == precision_of(source, EncoderOptions(), "cpu")
