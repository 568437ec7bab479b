"""Which workers ``embed`` runs on, and how its texts are put into batches."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from qembed.api.embed_steps import EmbedOptions, Work
from qembed.engine import (
    InlinePool,
    Pool,
    ProcessPool,
    Ready,
    RunPlan,
    WorkerSpec,
    default_token_budget,
)
from qembed.engine.capacity import choose_threads
from qembed.engine.probe import measure_threads
from qembed.models import Encoder
from qembed.models.device import list_devices, pick_precision
from qembed.models.encoder import EncoderInfo

_PROBED_CHARACTERS = 5_000_000
"""About a minute's work for a small model on a CPU: from here on a probe of a second pays."""


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
    """(workers, threads of each) for the CPU; one worker for work that is done before a second one loads."""
    cores = _cores()
    if int(work.survey.unique_characters(work.groups).sum()) < _PROBED_CHARACTERS or cores == 1:
        return 1, cores
    model = inline.worker.model
    return choose_threads(measure_threads(model, cores), cores) if model.reads_tokens else (1, cores)


def run_plan(options: EmbedOptions, ready: Ready, earlier: dict[str, Any] | None) -> RunPlan:
    """How texts become batches: as asked for, else as the interrupted run did it, else by the device.

    Args:
        options: What ``embed`` was asked for.
        ready: The first worker.
        earlier: The plan of the run to go on with.
    """
    earlier = earlier or {}
    budget = options.token_budget or earlier.get("token_budget") or default_token_budget(ready.info.device)
    return RunPlan(
        max_tokens=ready.info.max_tokens,
        token_budget=budget,
        max_batch=options.max_batch or earlier.get("max_batch"),
        reads_tokens=ready.reads_tokens,
    )


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
    }


def _cores() -> int:
    import torch

    return torch.get_num_threads()  # knows affinity and OMP_NUM_THREADS


def _spec(work: Work, device: str, label: str, threads: int | None = None) -> WorkerSpec:
    options, source = work.options, work.source
    wanted = replace(options.encoder, device=device)
    exact = replace(wanted, precision="fp32", shard=False)
    is_exact = pick_precision(options.encoder.precision, device) == "fp32"
    return WorkerSpec(
        device=label,
        load=partial(Encoder.load, source, wanted),
        load_exact=None if is_exact else partial(Encoder.load, source, exact),
        folder=work.folder,
        count=len(work.groups.first),
        threads=threads,
        empty_cache_every=options.empty_cache_every,
    )
