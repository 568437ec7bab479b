"""The workers of a run: which, on what, and how its texts are put into batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from qembed.engine.planning.capacity import choose_threads
from qembed.engine.planning.choice import Choice
from qembed.engine.planning.probe import Probe, measure_threads, worthwhile_probe
from qembed.engine.windows import RunPlan
from qembed.engine.workers.messages import Ready
from qembed.engine.workers.pool import STALL_SECONDS, InlinePool, Pool, ProcessPool
from qembed.engine.workers.worker import WorkerSpec
from qembed.models import Encoder, EncoderOptions, ModelSource
from qembed.models.placement import loads_through_host

_PROBED_TOKENS = 500_000
"""Half a minute's work for a small model on a CPU: from here on a probe of one second may pay."""


@dataclass(slots=True)
class Staff:
    """What workers are opened for.

    Attributes:
        source: The model, with its files on this machine.
        options: How it is used; what ``choice`` decided wins.
        devices: From ``models.device.list_devices``.
        choice: Precision, sharding, memory left free.
        folder: Where windows and rows are.
        count: Rows.
        tokens: Tokens of all texts, roughly.
        stall_seconds: A worker that has not answered for so long is replaced.
        empty_cache_every: Give unused memory back to a GPU after so many batches; never when 0.
        note: Called with messages about deaths, restarts and the number of workers.
    """

    source: ModelSource
    options: EncoderOptions
    devices: list[str]
    choice: Choice
    folder: Path
    count: int
    tokens: float
    stall_seconds: float = STALL_SECONDS
    empty_cache_every: int = 0
    note: Callable[[str], None] = lambda _: None


def open_workers(staff: Staff) -> Pool:
    """Workers on every device; they begin to load the model.

    One CPU worker runs inside this process; GPUs, and several workers, have processes of their own, so that
    one that dies takes nothing with it. For a CPU and much text, a few forward passes decide between one
    worker with all cores and several with fewer threads each.

    Raises:
        UsageError: The device cannot compute in the precision that was asked for.
        QembedError: The model does not fit, or the system gives no process.
    """
    chosen = staff.choice.require()
    devices = staff.devices[:1] if chosen.sharded else staff.devices
    if devices == ["cpu"]:
        inline = InlinePool(_spec(staff, "cpu", "cpu"))
        workers, threads = _split_cores(staff, inline)
        if workers == 1:
            return inline
        staff.note(f"{workers} workers of {threads} threads are faster here than one of {workers * threads}")
        inline.close()
        devices = ["cpu"] * workers
    threads = max(1, _cores() // len(devices))
    specs = [
        _spec(staff, device, f"cpu#{number}", threads) if device == "cpu" else _spec(staff, device, device)
        for number, device in enumerate(devices)
    ]
    return ProcessPool(specs, note=staff.note, stall_seconds=staff.stall_seconds)


def plan_batches(
    choice: Choice, ready: Ready, earlier: dict[str, Any] | None, note: Callable[[str], None]
) -> RunPlan:
    """How texts become batches: as asked for, else as the interrupted run did it, else as decided.

    Args:
        choice: What was decided.
        ready: The first worker; what it has measured wins over the formula.
        earlier: The plan of the run to resume.
        note: Told where texts may not fit.
    """
    limits, earlier, chosen = choice.limits, earlier or {}, choice.require()
    budget = limits.token_budget or earlier.get("token_budget") or chosen.budget_tokens
    if ready.capacity is not None and not limits.token_budget and "token_budget" not in earlier:
        longest = min(choice.longest_tokens, ready.info.max_tokens)
        safe = ready.capacity.token_budget(
            device_memory_bytes=ready.memory_total_bytes,
            longest_tokens=longest,
            buffer_bytes=chosen.buffer_bytes,
        )
        if not safe:
            note(
                f"{ready.info.device} has little room beside the model: texts of {longest:,} tokens may "
                "not fit; see qembed plan"
            )
        budget = min(budget, safe or longest)
    return RunPlan(
        max_tokens=ready.info.max_tokens,
        token_budget=budget,
        max_batch=limits.max_batch or earlier.get("max_batch") or chosen.max_batch,
        reads_tokens=ready.reads_tokens,
    )


def _split_cores(staff: Staff, inline: InlinePool) -> tuple[int, int]:
    """(workers, threads of each) for the CPU; several where they save more time than they take to load."""
    cores = _cores()
    if staff.tokens < _PROBED_TOKENS or cores == 1:
        return 1, cores
    model = inline.worker.model
    if not model.reads_tokens:
        return 1, cores
    measured = measure_threads(model, cores)
    workers, threads = choose_threads(measured, cores)
    saved_seconds = staff.tokens / measured[cores] - staff.tokens / (workers * measured[threads])
    return (workers, threads) if saved_seconds > 1.5 * inline.ready().seconds else (1, cores)


def _spec(staff: Staff, device: str, label: str, threads: int | None = None) -> WorkerSpec:
    chosen, on_gpu = staff.choice.require(), device.startswith("cuda")
    # auto takes int16 only where it suits the model, which shows when it is loaded; else fp32.
    by_itself = staff.options.precision == "auto" and chosen.precision == "int16"
    precision: Any = "auto" if by_itself else chosen.precision
    wanted = replace(staff.options, device=device, precision=precision, shard=chosen.sharded)
    exact = replace(wanted, precision="fp32", shard=False)
    return WorkerSpec(
        device=label,
        load=partial(Encoder.load, staff.source, wanted),
        load_exact=partial(Encoder.load, staff.source, exact) if _exact_fits(staff) else None,
        folder=staff.folder,
        count=staff.count,
        threads=threads,
        empty_cache_every=staff.empty_cache_every,
        load_alone=loads_through_host(device),
        probe=_probe(staff) if on_gpu else None,
        tight=on_gpu and chosen.fit == "tight",
    )


def _probe(staff: Staff) -> Probe | None:
    chosen = staff.choice.require()
    share = staff.tokens / chosen.workers
    return worthwhile_probe(staff.choice.longest_tokens, share, chosen.budget_tokens, sharded=chosen.sharded)


def _exact_fits(staff: Staff) -> bool:
    """Whether the model in fp32 has room beside the one that works; never where that is fp32 itself."""
    choice, chosen = staff.choice, staff.choice.require()
    both = chosen.weights_bytes + chosen.context_bytes + choice.facts.weight_bytes["fp32"]
    return chosen.precision != "fp32" and (
        choice.device.capability is None or both <= choice.device.memory_bytes
    )


def _cores() -> int:
    import torch

    return torch.get_num_threads()  # knows affinity and OMP_NUM_THREADS
