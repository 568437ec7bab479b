"""The GPUs of this machine, asked for by a process of its own.

Asking CUDA for free memory opens a context: 0.1 to 0.3 GB of every GPU that is asked, for as long as the
process lives. So a short-lived process asks, and the one that starts the workers never holds memory there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from qembed.engine.planning.memory import CONTEXT_BYTES
from qembed.errors import QembedError

MIN_GPU_BYTES = 15_500_000_000
"""A T4 reports 15.83 GB; with less, the plans for a T4 do not hold."""

_ASK_SECONDS = 120.0
_PROGRAM = "from qembed.engine.planning.gpus import told; print(told())"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        index: N of ``cuda:N``.
        name: E.g. ``Tesla T4``.
        memory_bytes: All of its memory.
        capability: Compute capability, e.g. (7, 5).
        free_bytes: Memory that nobody uses, beside the context of the process that asked; None if unknown.
        supported: The installed torch has code for it.
    """

    index: int
    name: str
    memory_bytes: int
    capability: tuple[int, int]
    free_bytes: int | None = None
    supported: bool = True

    @property
    def usable_bytes(self) -> int:
        """Memory that a worker can have, its CUDA context included: all but what other processes use."""
        if self.free_bytes is None:
            return self.memory_bytes
        return self.memory_bytes - max(0, self.memory_bytes - self.free_bytes - CONTEXT_BYTES)


def find_gpus() -> list[Gpu]:
    """The GPUs that torch sees; empty where there are none. Takes seconds where there are some.

    Raises:
        QembedError: The driver does not answer.
    """
    import torch

    if not torch.cuda.is_available():
        return []
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS,
            check=False,
        )
        answer = done.stdout.splitlines()
        if done.returncode == 0 and answer:
            gpus = json.loads(answer[-1])
            return [Gpu(**{**gpu, "capability": tuple(gpu["capability"])}) for gpu in gpus]
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
    except subprocess.TimeoutExpired:
        reason = f"no answer within {_ASK_SECONDS:.0f} seconds"
    raise QembedError(
        "the GPUs cannot be asked for their memory",
        where=reason,
        remedy="see whether nvidia-smi works; on Kaggle, restart the session",
    )


def told() -> str:
    """Every GPU as JSON: what the process that asks prints."""
    return json.dumps([asdict(gpu) for gpu in ask()])


def ask() -> list[Gpu]:
    """The GPUs that torch sees. Opens a CUDA context on each: not in a process that goes on to embed."""
    import torch

    built_for = torch.cuda.get_arch_list()
    gpus = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        capability = (int(properties.major), int(properties.minor))
        has_code = runs_on(capability, built_for)
        free = int(torch.cuda.mem_get_info(index)[0]) if has_code else None
        gpus.append(
            Gpu(index, str(properties.name), int(properties.total_memory), capability, free, has_code)
        )
    return gpus


def runs_on(capability: tuple[int, int], built_for: Sequence[str]) -> bool:
    """Whether code for ``built_for`` (``sm_75``, ``compute_90``) runs on a GPU.

    Binary code runs on its own major capability from its minor on, PTX on everything newer (CUDA C++
    Programming Guide, "Application Compatibility").
    """
    for name in built_for:
        parts = re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", name)
        if parts is None:
            continue
        built = (int(parts[2]), int(parts[3]))
        if built <= capability and (parts[1] == "compute" or built[0] == capability[0]):
            return True
    return False
