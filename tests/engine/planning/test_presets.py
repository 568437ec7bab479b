"""Device presets: names, several of one kind, what is here."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from qembed.engine.planning.presets import describe_gpu, find_device, load_presets
from qembed.errors import UsageError


def test_the_presets_that_are_promised() -> None:
    assert list(load_presets()) == ["t4", "p100", "l4", "a100", "h100", "cpu"]
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
    ("name", "count"), [("t4x2", 2), ("T4X2", 2), ("a100x8", 8), ("l4", 1), ("h100x1", 1)]
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


def fake_torch(monkeypatch: pytest.MonkeyPatch, names: list[str], memory: int) -> None:
    properties = SimpleNamespace(total_memory=memory, major=7, minor=5)
    cuda: Any = SimpleNamespace(
        is_available=lambda: bool(names),
        device_count=lambda: len(names),
        get_device_name=lambda number: names[number],
        get_device_properties=lambda _: properties,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))


class TestHere:
    def test_two_cards_with_the_memory_that_they_report(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_torch(monkeypatch, ["Tesla T4", "Tesla T4"], 15_000_000_000)
        device = find_device("auto")
        assert (device.name, device.count, device.memory_bytes) == ("t4", 2, 15_000_000_000)
        assert device.max_batch == 24

    def test_no_card_is_the_cpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_torch(monkeypatch, [], 0)
        device = find_device("auto")
        assert (device.name, device.capability) == ("cpu", None)
        assert device.memory_bytes > 0
        assert "cores" in device.label

    def test_a_card_was_wanted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_torch(monkeypatch, [], 0)
        with pytest.raises(UsageError, match="no GPU here"):
            find_device("cuda")

    def test_a_card_without_a_preset(self) -> None:
        device = describe_gpu("Quadro", 8_000_000_000, (7, 5), 1)
        assert not device.speed_known
        assert "bf16" not in device.tflops
        assert device.tflops["fp16"] > device.tflops["fp32"]
