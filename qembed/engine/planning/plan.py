"""Which precision, how many workers, how large a batch: every combination worked out, one chosen. Pure.

For each precision there is one worker a device; where the weights fit no single device but fit all of them
together, one worker over all (sharded): layer after layer, so the devices wait for each other and the speed
is that of one. The fastest that fits wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from qembed.engine.batching import make_batches
from qembed.engine.planning.capacity import Capacity
from qembed.engine.planning.memory import (
    BUFFER_BYTES,
    CONTEXT_BYTES,
    QUANTISED,
    Attention,
    ForwardBytes,
    token_budget_for,
    worst_forward_bytes,
)
from qembed.engine.planning.presets import Device
from qembed.engine.planning.speed import Shapes, predict_seconds, shapes_of
from qembed.models.catalog import Architecture
from qembed.records import Lengths

Fit: TypeAlias = Literal["fits", "tight", "no"]

MIN_CAPABILITY = {"bf16": (8, 0), "int8": (7, 5), "nf4": (6, 0)}
"""Least compute capability; for bitsandbytes https://huggingface.co/docs/bitsandbytes/v0.50.0/installation."""

TENTH_OF_GB = 100_000_000

MEASURED_SPREAD = (0.9, 1.25)
"""A prediction from a measured capacity is this range around it: an assumption."""


@dataclass(frozen=True, slots=True)
class Model:
    """What planning needs of a model.

    Attributes:
        architecture: The transformer's shape.
        weight_bytes: Of the weights in memory, by dtype.
        measured: Capacities by dtype, measured on this kind of device.
    """

    architecture: Architecture
    weight_bytes: Mapping[str, int]
    measured: Mapping[str, Capacity]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the user has a say in.

    Attributes:
        buffer_bytes: Left free on each device.
        context_bytes: CUDA's own; nothing on a CPU.
        max_batch: Texts of a batch at most; None for no limit.
        token_budget: Padded tokens of a batch at most, however much would fit.
        precision: Only this one; all when ``auto``.
        shard: Only over all devices together.
    """

    buffer_bytes: int = BUFFER_BYTES
    context_bytes: int = CONTEXT_BYTES
    max_batch: int | None = None
    token_budget: int = 16384
    precision: str = "auto"
    shard: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """One precision on some devices, worked out.

    Attributes:
        precision: ``fp32``, ``fp16``, ``bf16``, ``int16``, ``int8`` or ``nf4``.
        workers: Processes; each has one device, or all of them if sharded.
        sharded: Whether one worker spreads the model over all devices.
        fit: ``fits``; ``tight``: only with a smaller buffer; ``no``.
        weights_bytes: On each device.
        room_bytes: Left there for batches; below zero where nothing is.
        forward: Memory of a batch with the longest text.
        attention: The hungriest kernel that can be taken.
        safe_tokens: Largest safe batch in padded tokens; 0 for none.
        budget_tokens: Padded tokens of a batch, as planned.
        batch_at_longest: Texts of a batch of the longest.
        batch_at_median: Texts of a batch of the median length.
        batches: Of the whole corpus; 0 where it does not fit.
        padding_waste: 1 - real tokens / padded tokens.
        seconds: Best and worst time to encode; None where it does not fit or nothing is known.
        rank_seconds: What the choice goes by; infinite where it does not fit.
        tight_buffer_bytes: The buffer with which a tight one was worked out.
        measured: Whether memory and speed come from measurements.
        reason: Why it fits, or not.
    """

    precision: str
    workers: int
    sharded: bool
    fit: Fit
    weights_bytes: int
    room_bytes: int
    forward: ForwardBytes
    attention: Attention
    safe_tokens: int = 0
    budget_tokens: int = 0
    batch_at_longest: int = 0
    batch_at_median: int = 0
    batches: int = 0
    padding_waste: float = 0.0
    seconds: tuple[float, float] | None = None
    rank_seconds: float = float("inf")
    tight_buffer_bytes: int = 0
    measured: bool = False
    reason: str = ""


def candidates(model: Model, device: Device, lengths: Lengths, limits: Limits) -> list[Candidate]:
    """Every combination of precision and workers, the widest dtype first.

    Args:
        model: From the catalog or a model's folder.
        device: The kind, and how many.
        lengths: Tokens that the model reads of each unique text; int64 (texts,), not empty.
        limits: The user's.
    """
    found = []
    for precision in model.weight_bytes:
        for_cpus = precision == "int16" and device.capability is not None
        if limits.precision not in ("auto", precision) or (for_cpus and limits.precision == "auto"):
            continue
        whole = None if limits.shard else _candidate(model, device, precision, lengths, limits, shard=False)
        if whole is not None:
            found.append(whole)
        if device.count > 1 and (whole is None or whole.fit != "fits") and precision not in QUANTISED:
            split = _candidate(model, device, precision, lengths, limits, shard=True)
            if limits.shard or split.fit != "no":
                found.append(split)
    return found


def choose(found: Sequence[Candidate]) -> Candidate | None:
    """The fastest that fits; of equally fast ones the first named. None where none fits."""
    fitting = [candidate for candidate in found if candidate.fit == "fits"]
    # bf16 before fp16: as fast, and it does not overflow. int16 before both: as fast, and more exact.
    order = ("int16", "bf16", "fp16", "fp32", "int8", "nf4")
    return min(
        fitting, key=lambda each: (round(each.rank_seconds, 3), order.index(each.precision)), default=None
    )


def unsupported(precision: str, device: Device) -> str:
    """Why a device cannot compute in a precision; empty where it can."""
    if device.capability is None:
        if precision in device.tflops:
            return ""
        return f"this CPU has no {precision} arithmetic" if precision in ("bf16", "int16") else "needs a GPU"
    if precision == "int16":
        return "for CPUs"
    least = MIN_CAPABILITY.get(precision)
    if least is None or device.capability >= least:
        return ""
    has = "compute capability {}.{}".format(*device.capability)
    return f"only emulated at {has}" if precision == "bf16" else f"bitsandbytes: not at {has}"


def _candidate(
    model: Model, device: Device, precision: str, lengths: Lengths, limits: Limits, *, shard: bool
) -> Candidate:
    longest = int(lengths.max())
    context = limits.context_bytes if device.capability else 0
    forward, attention = worst_forward_bytes(model.architecture, precision, longest, device.capability)
    weights = model.weight_bytes[precision] // (device.count if shard else 1)
    capacity = None if shard else model.measured.get(precision)
    if capacity is not None:
        weights = int(capacity.fixed_bytes)
        forward = ForwardBytes(int(np.ceil(capacity.bytes_at(longest))), 0, 0, 0)
    room = device.memory_bytes - weights - context - limits.buffer_bytes - forward.fixed
    base = Candidate(
        precision=precision,
        workers=1 if shard else device.count,
        sharded=shard,
        fit="no",
        weights_bytes=weights,
        room_bytes=room,
        forward=forward,
        attention=attention,
        measured=capacity is not None,
    )
    if why := unsupported(precision, device):
        return replace(base, reason=why)
    safe = token_budget_for(
        device_memory_bytes=device.memory_bytes,
        weights_bytes=weights,
        bytes_per_token=forward.per_token,
        longest_tokens=longest,
        context_bytes=context,
        buffer_bytes=limits.buffer_bytes,
        fixed_bytes=forward.fixed,
    )
    fitted = replace(base, fit="fits", safe_tokens=safe) if safe else _with_less_buffer(base, limits, longest)
    return fitted if fitted.fit == "no" else _timed(fitted, model, device, lengths, limits)


def _with_less_buffer(base: Candidate, limits: Limits, longest: int) -> Candidate:
    """``tight`` with half of what is left for batches and half kept free; else ``no``, and why."""
    unbuffered = base.room_bytes + limits.buffer_bytes
    needed = longest * base.forward.per_token
    if unbuffered <= 0:
        return replace(base, reason=f"{_gb(-unbuffered)} short for the weights alone")
    spare = unbuffered - needed
    if spare <= 0:
        return replace(
            base, reason=f"a text of {longest:,} tokens takes {_gb(needed)}, {_gb(unbuffered)} are left"
        )
    # Tenths of GB: what is shown as --memory-buffer is what was worked out.
    buffer = int(spare / 2) // TENTH_OF_GB * TENTH_OF_GB
    return replace(
        base,
        fit="tight",
        safe_tokens=int((unbuffered - buffer) / base.forward.per_token),
        tight_buffer_bytes=buffer,
    )


def _timed(base: Candidate, model: Model, device: Device, lengths: Lengths, limits: Limits) -> Candidate:
    budget = max(min(base.safe_tokens, limits.token_budget), int(lengths.max()))
    shapes = shapes_of(lengths, make_batches(lengths, token_budget=budget, max_batch=limits.max_batch))
    best, worst = _seconds(base, model, device, shapes)
    best, worst = best / base.workers, worst / base.workers
    cap = limits.max_batch or len(lengths)
    return replace(
        base,
        budget_tokens=budget,
        batch_at_longest=min(budget // int(lengths.max()), cap),
        batch_at_median=min(budget // max(1, int(np.median(lengths))), cap),
        batches=len(shapes.padded),
        padding_waste=shapes.waste,
        seconds=(best, worst) if device.speed_known or base.measured else None,
        rank_seconds=(best * worst) ** 0.5 if base.fit == "fits" else float("inf"),
        reason=_why_it_runs(base),
    )


def _seconds(base: Candidate, model: Model, device: Device, shapes: Shapes) -> tuple[float, float]:
    capacity = model.measured.get(base.precision) if base.measured else None
    if capacity is None:
        # Of a sharded model each device holds a part, but a batch passes through all of them.
        weights = base.weights_bytes * (device.count if base.sharded else 1)
        return predict_seconds(device, model.architecture, base.precision, weights, shapes)
    per_token = capacity.seconds_per_token + capacity.seconds_per_token_length * shapes.longest
    total = float((capacity.seconds_per_batch + per_token * shapes.padded).sum())
    return total * MEASURED_SPREAD[0], total * MEASURED_SPREAD[1]


def _why_it_runs(base: Candidate) -> str:
    if base.fit == "tight":
        return f"only with --memory-buffer {base.tight_buffer_bytes / 1e9:.1f}"
    if base.sharded:
        return "the cards take turns: speed of one"
    why = {"int8": "slower than fp16", "nf4": "unpacked for every batch"}
    return f"{why[base.precision]}; verify" if base.precision in why else ""


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
