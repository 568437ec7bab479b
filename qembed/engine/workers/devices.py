"""What a device has, and what this process uses of it."""

from __future__ import annotations

import sys
from pathlib import Path

CPU_TOKEN_BUDGET = 2048
GPU_TOKEN_BUDGET = 16384


def default_token_budget(device: str) -> int:
    """Padded tokens of a batch: 2,048 on a CPU, 16,384 on a GPU.

    On a CPU larger batches only pad more and leave the caches (``benchmarks/token_budget.py``); a GPU needs
    them to be busy.
    """
    return GPU_TOKEN_BUDGET if device.startswith("cuda") else CPU_TOKEN_BUDGET


def use_device(device: str) -> None:
    """Make a GPU this process's current one; else what names no device would open a context on ``cuda:0``."""
    import torch

    torch.cuda.set_device(device)


def peak_memory_bytes(device: str) -> dict[str, int]:
    """Most memory that this process has used: ``host_bytes`` (resident) and, on a GPU, ``device_bytes``."""
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
