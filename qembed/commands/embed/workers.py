"""Which workers ``embed`` runs on, and how its texts are put into batches."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from qembed.commands.embed.steps import Work
from qembed.commands.kaggle.check import MIN_GPU_BYTES
from qembed.engine import (
    InlinePool,
    Pool,
    ProcessPool,
    Ready,
    RunPlan,
    WorkerSpec,
    default_token_budget,
)
from qembed.engine.planning.capacity import choose_threads
from qembed.engine.planning.presets import load_presets
from qembed.engine.planning.probe import measure_threads
from qembed.kaggle import on_kaggle
from qembed.models import Encoder
from qembed.models.device import list_devices
from qembed.models.info import EncoderInfo
from qembed.models.loading import precision_of

_PROBED_TOKENS = 500_000
"""Half a minute's work for a small model on a CPU: from here on a probe of a second may pay."""

_CHARACTERS_A_TOKEN = 4


def open_pool(work: Work) -> Pool:
    """Workers on every device that was asked for; they begin to load the model.

    One CPU worker runs inside this process; GPUs, and several workers, have processes of their own, so that
    one that dies takes nothing with it. For a CPU and much text, a few forward passes decide between one
    worker with all cores and several with fewer threads each.
    """
    options, note = work.options, work.progress.note
    devices = list_devices(options.encoder.device)
    if options.encoder.shard:
        devices = devices[:1]
    if devices == ["cpu"]:
        inline = InlinePool(_spec(work, "cpu", "cpu"))
        workers, threads = _split_cores(work, inline)
        if workers == 1:
            return inline
        note(f"{workers} workers of {threads} threads are faster here than one of {workers * threads}")
        inline.close()
        devices = ["cpu"] * workers
    threads = max(1, _cores() // len(devices))
    specs = [
        _spec(work, device, f"cpu#{number}", threads) if device == "cpu" else _spec(work, device, device)
        for number, device in enumerate(devices)
    ]
    return ProcessPool(specs, note=note, stall_seconds=options.stall_seconds)


def _split_cores(work: Work, inline: InlinePool) -> tuple[int, int]:
    """(workers, threads of each) for the CPU; several where they save more time than they take to load."""
    cores = _cores()
    tokens = int(work.survey.unique_characters(work.groups).sum()) / _CHARACTERS_A_TOKEN
    if tokens < _PROBED_TOKENS or cores == 1:
        return 1, cores
    model = inline.worker.model
    if not model.reads_tokens:
        return 1, cores
    measured = measure_threads(model, cores)
    workers, threads = choose_threads(measured, cores)
    saved_seconds = tokens / measured[cores] - tokens / (workers * measured[threads])
    return (workers, threads) if saved_seconds > 1.5 * inline.ready().seconds else (1, cores)


def warn(work: Work, ready: Ready) -> None:
    """Say what the user should know of the model and the device before the work begins."""
    for difference in ready.info.differences:
        work.progress.note(f"the model differs from the catalog: {difference}")
    small = ready.info.device.startswith("cuda") and ready.memory_total_bytes < MIN_GPU_BYTES
    if small and on_kaggle():
        found = f"{ready.info.device_name} has {ready.memory_total_bytes / 1e9:.1f} GB"
        work.progress.note(f"{found}, less than the {MIN_GPU_BYTES / 1e9:.1f} GB of a T4")


def run_plan(work: Work, ready: Ready, earlier: dict[str, Any] | None) -> RunPlan:
    """How texts become batches: as asked for, else as the interrupted run did it, else by the device.

    Args:
        work: The run.
        ready: The first worker.
        earlier: The plan of the run to go on with.
    """
    options, earlier = work.options, earlier or {}
    return RunPlan(
        max_tokens=ready.info.max_tokens,
        token_budget=options.token_budget or earlier.get("token_budget") or _budget(work, ready),
        max_batch=options.max_batch or earlier.get("max_batch") or _max_batch(ready.info),
        reads_tokens=ready.reads_tokens,
    )


def _budget(work: Work, ready: Ready) -> int:
    """The device's usual budget, or what was measured to fit beside the buffer where that is less."""
    device, capacity = ready.info.device, ready.capacity
    usual = default_token_budget(device)
    if capacity is None or not device.startswith("cuda"):
        return usual
    longest = min(_longest_tokens(work), ready.info.max_tokens)
    safe = capacity.token_budget(
        device_memory_bytes=ready.memory_total_bytes,
        longest_tokens=longest,
        buffer_bytes=work.options.memory_buffer_bytes,
    )
    if safe == 0:
        work.progress.note(
            f"{device} has little room beside the model: texts of {longest:,} tokens may not fit; "
            "see qembed plan"
        )
        return longest
    return min(usual, safe)


def _max_batch(info: EncoderInfo) -> int | None:
    """The default cap for a kind of GPU, as ``qembed plan`` has it."""
    caps = {preset.reported: preset.max_batch for preset in load_presets().values()}
    return caps.get(info.device_name)


def _longest_tokens(work: Work) -> int:
    """No text has more tokens than this, as good as surely: two characters a token is dense text."""
    return max(1, int(work.survey.unique_characters(work.groups).max()) // 2)


def identity(info: EncoderInfo) -> dict[str, Any]:
    """What decides a vector beside its text; vectors of one identity may be mixed."""
    return {
        "model": info.id,
        "revision": info.revision,
        "weights_sha256": info.weights_sha256,
        "config_sha256": info.config_sha256,
        "prompt": info.document_prompt,
        "max_tokens": info.max_tokens,
        "dtype": info.dtype,
        "dimension": info.dimension,
        "normalized": info.normalized,
        "pooling": info.pooling,
    }


def _cores() -> int:
    import torch

    return torch.get_num_threads()  # knows affinity and OMP_NUM_THREADS


def _spec(work: Work, device: str, label: str, threads: int | None = None) -> WorkerSpec:
    options, source = work.options, work.source
    wanted = replace(options.encoder, device=device)
    exact = replace(wanted, precision="fp32", shard=False)
    is_exact = precision_of(source, options.encoder, device) == "fp32"
    return WorkerSpec(
        device=label,
        load=partial(Encoder.load, source, wanted),
        load_exact=None if is_exact else partial(Encoder.load, source, exact),
        folder=work.folder,
        count=len(work.groups.first),
        threads=threads,
        empty_cache_every=options.empty_cache_every,
        load_alone=device.startswith("cuda"),
        probe_tokens=_longest_tokens(work) if device.startswith("cuda") else 0,
    )
