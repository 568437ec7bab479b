"""Real forward passes before the work begins: what the device can hold, and how many threads pay on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from qembed.engine.planning.capacity import Capacity, Shape, fit, probe, probe_shapes
from qembed.engine.planning.capacity_file import CapacityKey, find_capacity, store_capacity
from qembed.engine.workers.devices import default_token_budget, total_memory_bytes, used_memory_bytes
from qembed.engine.workers.model import Model

_THREAD_PROBE_TEXTS = 8
_THREAD_PROBE_ROUNDS = 3
_SPREAD = 64


def measure(model: Model, longest_tokens: int) -> Capacity | None:
    """What the model's device can do with it: from the capacity file, else measured now and stored there.

    Args:
        model: Loaded.
        longest_tokens: Tokens of the corpus's longest text, as far as known.

    Returns:
        None where a model takes no token ids, or not even the smallest batch fits.
    """
    if not model.reads_tokens:
        return None
    info = model.info
    key = CapacityKey(
        device_name=info.device_name,
        memory_bytes=total_memory_bytes(info.device),
        model_id=info.id,
        weights=info.revision or info.weights_sha256,
        dtype=info.dtype,
        attention=info.attention,
        torch_version=_torch_version(),
        max_tokens=info.max_tokens,
    )
    known = find_capacity(key)
    if known is not None:
        return known
    longest = max(1, min(longest_tokens, info.max_tokens))
    spread = np.linspace(max(1, longest // 8), longest, _SPREAD).astype(np.int64)
    shapes = probe_shapes(spread, info.max_tokens, max(longest, default_token_budget(info.device)))
    points = probe(_forward(model), shapes, _peak_bytes(info.device), perf_counter)
    if not points:
        return None
    capacity = fit(points)
    store_capacity(key, capacity)
    return capacity


def measure_threads(model: Model, cores: int) -> dict[int, float]:
    """Tokens a second of one CPU worker by its threads: 1, 2, 4 ... and all cores.

    Changes torch's number of threads and sets it back.
    """
    import torch

    longest = min(256, model.info.max_tokens)
    shape = np.full(_THREAD_PROBE_TEXTS, longest, dtype=np.int64)
    forward, before = _forward(model), torch.get_num_threads()
    wanted = sorted({*(2**power for power in range(cores.bit_length()) if 2**power <= cores), cores})
    measured = {}
    try:
        for threads in wanted:
            torch.set_num_threads(threads)
            forward(shape)
            seconds = []
            for _ in range(_THREAD_PROBE_ROUNDS):
                started = perf_counter()
                forward(shape)
                seconds.append(perf_counter() - started)
            measured[threads] = float(shape.sum() / min(seconds))
    finally:
        torch.set_num_threads(before)
    return measured


def _forward(model: Model) -> Callable[[Shape], object]:
    def forward(shape: Shape) -> object:
        # Ids that every vocabulary has; which ones they are changes neither time nor memory.
        return model.submit([np.arange(length, dtype=np.int32) % 50 + 5 for length in shape]).result()

    return forward


def _peak_bytes(device: str) -> Callable[[], int]:
    if not device.startswith("cuda"):
        return lambda: used_memory_bytes(device)
    import torch

    def peak() -> int:
        held = int(torch.cuda.max_memory_reserved(device))
        torch.cuda.reset_peak_memory_stats(device)
        return held

    return peak


def _torch_version() -> str:
    import torch

    return str(torch.__version__)
