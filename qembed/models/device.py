"""Which device and which precision a model runs in, and what the device calls itself."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from qembed.errors import UsageError

Precision: TypeAlias = Literal["auto", "fp32", "fp16", "bf16"]
PRECISIONS = get_args(Precision)
_MIN_BF16_CAPABILITY = (8, 0)


def pick_device(device: str) -> str:
    """``auto`` becomes the first GPU, else ``cpu``.

    Raises:
        UsageError: The device was asked for and is not there.
    """
    import torch

    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    available = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind not in available or (number and not number.isdigit()):
        raise UsageError(
            f"there is no kind of device {device!r}", remedy="one of auto, cpu, cuda, cuda:N, mps"
        )
    if int(number or 0) >= available[kind]:
        raise UsageError(
            f"the device {device!r} is not there ({available[kind]} of that kind found)",
            remedy="--device auto, or on Kaggle: choose the accelerator in the notebook settings",
        )
    return f"cuda:{number or 0}" if kind == "cuda" else kind


def pick_precision(precision: Precision, device: str) -> str:
    """``fp32``, ``fp16`` or ``bf16`` for a device.

    Raises:
        UsageError: bf16 was asked for on a GPU that only emulates it (slowly).
    """
    if not device.startswith("cuda"):
        return "fp32" if precision == "auto" else precision
    import torch

    # is_bf16_supported() says True where bf16 is only emulated; the capability does not lie.
    has_bf16 = torch.cuda.get_device_capability(device) >= _MIN_BF16_CAPABILITY
    if precision == "auto":
        return "bf16" if has_bf16 else "fp16"
    if precision == "bf16" and not has_bf16:
        raise UsageError(f"{device} only emulates bf16", remedy="--precision fp16")
    return precision


def device_name(device: str) -> str:
    """What the device calls itself, e.g. ``Tesla T4``; the processor's model for a CPU."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    import platform

    cpuinfo = "/proc/cpuinfo"
    try:
        with open(cpuinfo, encoding="utf-8") as file:  # noqa: PTH123
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
