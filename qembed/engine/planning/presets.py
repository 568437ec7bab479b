"""Devices that a plan can be made for without having them: ``presets.toml``, and what is here."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from qembed.errors import UsageError

_NAME = re.compile(r"([a-z]+\d+)(?:x(\d+))?")


@dataclass(frozen=True, slots=True)
class Device:
    """One kind of device, and how many of it.

    Attributes:
        name: Of the preset, or ``gpu`` for a card that none describes.
        reported: What the device calls itself.
        count: How many.
        memory_bytes: Of each, as torch reports it; free RAM for a CPU.
        capability: CUDA compute capability; None for a CPU.
        tflops: Peak by dtype, 1e12 operations a second; of all cores for a CPU.
        efficiency: Share of the peak that a whole forward pass reaches, from worst to best: an assumption.
        bandwidth_gb_s: Memory bandwidth, 1e9 bytes a second.
        max_batch: Texts of a batch at most by default; None for no limit.
        note: What a user should know.
        source: Where the figures are from.
        speed_known: False where ``tflops`` are a guess that ranks precisions but predicts no seconds.
    """

    name: str
    reported: str
    count: int
    memory_bytes: int
    capability: tuple[int, int] | None
    tflops: dict[str, float]
    efficiency: tuple[float, float]
    bandwidth_gb_s: float
    max_batch: int | None = None
    note: str = ""
    source: str = ""
    speed_known: bool = True

    @property
    def label(self) -> str:
        """E.g. ``2 x Tesla T4``."""
        name = self.reported or self.name
        return f"{self.count} x {name}" if self.count > 1 else name


@cache
def load_presets() -> dict[str, Device]:
    """Every preset by name, in the file's order; one device of each."""
    text = files("qembed.engine.planning").joinpath("presets.toml").read_text(encoding="utf-8")
    return {entry["name"]: _device(entry) for entry in tomllib.loads(text)["device"]}


def find_device(name: str) -> Device:
    """The device of a name: ``t4``, ``t4x2``, ``a100x8``, ``cpu``, or ``auto`` for what is here.

    Raises:
        UsageError: No preset has that name.
    """
    wanted = name.lower()
    if wanted in ("auto", "cuda"):
        return _here(wanted)
    if wanted == "cpu":
        return _cpu()
    match = _NAME.fullmatch(wanted)
    preset = load_presets().get(match[1]) if match else None
    if match is None or preset is None or preset.capability is None or match[2] == "0":
        known = ", ".join(name for name in load_presets() if name != "cpu")
        raise UsageError(
            f"there is no device preset {name!r}",
            remedy=f"one of {known}, several as in t4x2, or cpu, or auto for what is here",
        )
    return replace(preset, count=int(match[2] or 1))


def describe_gpu(reported: str, memory_bytes: int, capability: tuple[int, int], count: int) -> Device:
    """A GPU that is here: the figures of its preset where one has its name, else a guess by capability."""
    for preset in load_presets().values():
        if preset.capability and reported == preset.reported:
            return replace(preset, memory_bytes=memory_bytes, count=count)
    half = (
        {"fp16": 8.0, "bf16": 8.0} if capability >= (8, 0) else {"fp16": 8.0 if capability >= (7, 0) else 2.0}
    )
    return Device(
        name="gpu",
        reported=reported,
        count=count,
        memory_bytes=memory_bytes,
        capability=capability,
        tflops={"fp32": 1.0, **half},
        efficiency=(0.3, 0.6),
        bandwidth_gb_s=50.0,
        note="no preset has figures for this GPU: seconds are unknown until it is measured",
        speed_known=False,
    )


def _here(wanted: str) -> Device:
    import torch

    if not torch.cuda.is_available():
        if wanted == "cuda":
            raise UsageError("there is no GPU here", remedy="--device t4x2 plans for one that is elsewhere")
        return _cpu()
    first = torch.cuda.get_device_properties(0)
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return describe_gpu(names[0], int(first.total_memory), (first.major, first.minor), names.count(names[0]))


def _cpu() -> Device:
    import psutil

    from qembed.models.cpu import kernels
    from qembed.models.device import cpu_has_bf16, device_name

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    preset = load_presets()["cpu"]
    tflops = {dtype: peak * cores for dtype, peak in preset.tflops.items()}
    if not cpu_has_bf16():
        del tflops["bf16"]
    if kernels.unavailable(sixteen=True):
        del tflops["int16"]
    return replace(
        preset,
        reported=f"{device_name('cpu')} ({cores} cores)",
        memory_bytes=int(psutil.virtual_memory().available),
        tflops=tflops,
    )


def _device(entry: dict[str, Any]) -> Device:
    capability = entry.pop("capability", None)
    return Device(
        count=1,
        capability=tuple(capability) if capability else None,
        efficiency=tuple(entry.pop("efficiency")),
        **entry,
    )
