"""What a device has, and whether a model fits before its weights are read."""

from __future__ import annotations

import sys
from pathlib import Path

from qembed.errors import QembedError

CPU_TOKEN_BUDGET = 2048
GPU_TOKEN_BUDGET = 16384
_HEADROOM = 1.15
"""Weights times this must fit: activations, buffers and fragmentation come on top."""


def default_token_budget(device: str) -> int:
    """Padded tokens of a batch: 2,048 on a CPU, 16,384 on a GPU.

    On a CPU larger batches only pad more and leave the caches (``benchmarks/token_budget.py``); a GPU needs
    them to be busy.
    """
    return GPU_TOKEN_BUDGET if device.startswith("cuda") else CPU_TOKEN_BUDGET


def available_memory_bytes(device: str) -> int:
    """Bytes that a new allocation can have on the device (RAM for a CPU)."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def check_fits(model: str, needed_bytes: int, device: str, dtype: str) -> None:
    """Stop before loading a model that does not fit the device.

    Raises:
        QembedError: with both numbers and what would fit.
    """
    available = available_memory_bytes(device)
    if needed_bytes * _HEADROOM > available:
        raise QembedError(
            f"{model} needs about {needed_bytes * _HEADROOM / 1e9:.1f} GB in {dtype}, "
            f"{device} has {available / 1e9:.1f} GB free",
            remedy="a smaller --precision (fp16), another --device, or the bundled --model minilm",
        )


def peak_memory_bytes(device: str) -> dict[str, int]:
    """Most memory used so far: ``host_bytes`` (resident set) and, on a GPU, ``device_bytes``."""
    peaks = {"host_bytes": _peak_resident_bytes()}
    if device.startswith("cuda"):
        import torch

        peaks["device_bytes"] = int(torch.cuda.max_memory_reserved(device))
    return peaks


def _peak_resident_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux its peak begins with that of the process that started this one.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def total_memory_bytes(device: str) -> int:
    """Bytes that the device has (RAM for a CPU)."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory)
    import psutil

    return int(psutil.virtual_memory().total)


def used_memory_bytes(device: str) -> int:
    """Bytes that this process uses now: reserved on a GPU, resident for a CPU."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.memory_reserved(device))
    import psutil

    return int(psutil.Process().memory_info().rss)
