"""Real forward passes before the work begins: what the device can hold, and how many threads pay on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from qembed.engine.planning.capacity import Capacity, Shape, fit, probe, probe_shapes
from qembed.engine.planning.capacity_file import CapacityKey, find_capacity, store_capacity
from qembed.engine.workers.devices import total_memory_bytes, used_memory_bytes
from qembed.engine.workers.model import Model
from qembed.engine.workers.oom import release_memory

PROBE_SHARE = 0.03
"""A probe may cost this share of the run that it plans."""

_PROBED_BUDGETS = 4.5  # padded tokens of ``probe_shapes`` in budgets, each shape twice
_LENGTH_STEP = 256
_THREAD_PROBE_TEXTS = 8
_THREAD_PROBE_ROUNDS = 3
_SPREAD = 64


@dataclass(frozen=True, slots=True)
class Probe:
    """What is measured before the first batch.

    Attributes:
        longest_tokens: Longest text of a batch.
        budget_tokens: Largest batch, in padded tokens.
        sharded: The model is spread over several devices.
    """

    longest_tokens: int
    budget_tokens: int
    sharded: bool = False


def worthwhile_probe(
    longest_tokens: int, run_tokens: float, budget_tokens: int, *, sharded: bool
) -> Probe | None:
    """The largest probe that costs less than 3 % of a run; None where that would tell nothing.

    Args:
        longest_tokens: Longest text of the run, as the model reads it.
        run_tokens: Tokens that one worker is going to encode, roughly.
        budget_tokens: Largest batch that is planned, in padded tokens.
        sharded: The model is spread over several devices.
    """
    budget = min(budget_tokens, int(PROBE_SHARE * run_tokens / _PROBED_BUDGETS))
    longest = -(-longest_tokens // _LENGTH_STEP) * _LENGTH_STEP  # corpora of about the same length share it
    if budget < 2 * longest_tokens:
        return None
    return Probe(min(longest, budget // 2), budget, sharded)


def measure(model: Model, wanted: Probe) -> Capacity | None:
    """What the model's device can do with it: from the capacity file, else measured now and stored there.

    Args:
        model: Loaded.
        wanted: What to measure.

    Returns:
        None where a model takes no token ids, not even the smallest batch fits, or the figures make no sense.
    """
    if not model.reads_tokens:
        return None
    info = model.info
    longest = max(1, min(wanted.longest_tokens, info.max_tokens))
    key = CapacityKey(
        device_name=info.device_name,
        memory_bytes=total_memory_bytes(info.device),
        model_id=info.id,
        weights=info.revision or info.weights_sha256,
        dtype=info.dtype,
        attention=info.attention,
        torch_version=_torch_version(),
        max_tokens=info.max_tokens,
        sharded=wanted.sharded,
        longest_tokens=longest,
    )
    known = find_capacity(key)
    if known is not None:
        return known
    spread = np.linspace(max(1, longest // 8), longest, _SPREAD).astype(np.int64)
    shapes = probe_shapes(spread, info.max_tokens, max(longest, wanted.budget_tokens))
    release_memory()  # of what loading has left in the pool
    points = probe(_forward(model), shapes, _peak_bytes(info.device), perf_counter)
    try:
        capacity = fit(points)
    except ValueError:
        return None
    store_capacity(key, capacity)
    return capacity


def measure_threads(model: Model, cores: int) -> dict[int, float]:
    """Tokens per second of one CPU worker by its threads: 1, 2, 4 ... and all cores.

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
        # Allocated, not reserved: the pool may hold much more that loading has left behind.
        held = int(torch.cuda.max_memory_allocated(device))
        torch.cuda.reset_peak_memory_stats(device)
        return held

    return peak


def _torch_version() -> str:
    import torch

    return str(torch.__version__)
