"""Devices that a plan can be made for without having them: ``presets.toml``, and what is here."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from qembed.engine.planning.gpus import Gpu, find_gpus
from qembed.errors import UsageError
from qembed.models.device import list_devices

_HERE = re.compile(r"auto|cpu(\*\d+)?|cuda(:\d+)?(,cuda:\d+)*|mps")
_AMX_FASTER = 1.2
"""bf16 with AMX against int16: what ``models.device.pick_precision`` prefers."""

_NAME = re.compile(r"(.+?)(?:x(\d+))?")


@dataclass(frozen=True, slots=True)
class Device:
    """One kind of device, and how many of it.

    Attributes:
        name: Name of the preset; ``gpu`` for a card that no preset describes.
        reported: What the device calls itself.
        count: How many there are.
        memory_bytes: Memory of each that a worker can have; free RAM for a CPU.
        capability: CUDA compute capability; None for a CPU.
        tflops: Peak by dtype, 1e12 operations per second; of all cores for a CPU.
        efficiency: Share of the peak that a whole forward pass reaches, from worst to best: an assumption.
        bandwidth_gb_s: Memory bandwidth, 1e9 bytes per second.
        max_batch: Default for the largest batch, in texts, of models of billions of weights; None: no limit.
        note: What a user should know.
        source: Where the figures come from.
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

    def peak_tflops(self, dtype: str) -> float:
        """Peak in a dtype; that of fp32 where none is known, as on a CPU that only emulates it."""
        return self.tflops.get(dtype, self.tflops["fp32"])


@cache
def load_presets() -> dict[str, Device]:
    """Every preset by name, in the file's order; one device of each."""
    text = files("qembed.engine.planning").joinpath("presets.toml").read_text(encoding="utf-8")
    return {entry["name"]: _device(entry) for entry in tomllib.loads(text)["device"]}


def find_device(name: str) -> Device:
    """The device of a name: a preset as in ``t4``, ``t4x2``, ``a100x8``, or what ``embed --device`` takes.

    Raises:
        UsageError: No preset has that name, or the device is not here.
        QembedError: The driver does not answer.
    """
    match = _NAME.fullmatch(name.lower())
    preset = load_presets().get(match[1]) if match else None
    if match is not None and preset is not None and preset.capability is not None and match[2] != "0":
        return replace(preset, count=int(match[2] or 1))
    if not _HERE.fullmatch(name.lower()):
        known = ", ".join(each for each in load_presets() if each != "cpu")
        raise UsageError(
            f"there is no device preset {name!r}",
            remedy=f"one of {known}, several as in t4x2, or cpu, or auto for what is here",
        )
    return device_here(list_devices(name.lower()))


def device_here(names: Sequence[str]) -> Device:
    """The devices of one run as one; of several kinds of GPU, what every one of them has and can do.

    Args:
        names: From ``models.device.list_devices``.
    """
    if names[0] == "mps":
        return _mps()
    if not names[0].startswith("cuda"):
        return _cpu(len(names))
    gpus = {f"cuda:{gpu.index}": gpu for gpu in find_gpus()}
    return together([gpus[name] for name in names])


def together(gpus: Sequence[Gpu]) -> Device:
    """Some GPUs as one device. One precision must run on all, so the least counts."""
    kinds = [describe_gpu(gpu.name, gpu.usable_bytes, gpu.capability, 1) for gpu in gpus]
    slowest = min(kinds, key=lambda kind: kind.tflops["fp16"])
    shared = set.intersection(*(set(kind.tflops) for kind in kinds))
    names = list(dict.fromkeys(kind.reported for kind in kinds))
    one_kind = len(names) == 1
    return replace(
        slowest,
        reported=names[0] if one_kind else " + ".join(names),
        count=len(gpus),
        memory_bytes=min(gpu.usable_bytes for gpu in gpus),
        capability=min(gpu.capability for gpu in gpus),
        tflops={dtype: peak for dtype, peak in slowest.tflops.items() if dtype in shared},
        speed_known=all(kind.speed_known for kind in kinds),
        note=slowest.note
        if one_kind
        else "several kinds of GPU: one precision for all, planned for the least",
    )


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


def _cpu(workers: int) -> Device:
    """The CPU, or an equal share of it for each of several workers."""
    import psutil

    from qembed.models.cpu import kernels
    from qembed.models.device import cpu_has_amx, cpu_has_bf16, device_name

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    preset = load_presets()["cpu"]
    tflops = {dtype: peak * cores / workers for dtype, peak in preset.tflops.items()}
    if not cpu_has_bf16():
        del tflops["bf16"]
    elif cpu_has_amx():
        tflops["bf16"] = max(tflops.values()) * _AMX_FASTER
    if kernels.unavailable(sixteen=True):
        del tflops["int16"]
    return replace(
        preset,
        reported=f"{device_name('cpu')} ({cores} cores)",
        count=workers,
        memory_bytes=int(psutil.virtual_memory().available) // workers,
        tflops=tflops,
    )


def _mps() -> Device:
    """Apple's GPU: it shares the RAM; fp32 unless something else is asked for."""
    import psutil

    return Device(
        name="mps",
        reported="Apple GPU",
        count=1,
        memory_bytes=int(psutil.virtual_memory().available),
        capability=None,
        tflops={"fp32": 1.0, "fp16": 0.9, "bf16": 0.9},
        efficiency=(0.3, 0.6),
        bandwidth_gb_s=50.0,
        speed_known=False,
    )


def _device(entry: dict[str, Any]) -> Device:
    capability = entry.pop("capability", None)
    return Device(
        count=1,
        capability=tuple(capability) if capability else None,
        efficiency=tuple(entry.pop("efficiency")),
        **entry,
    )
