"""One precision on some devices, worked out: memory, batches, speed. Pure; ``decide`` chooses among them."""

from __future__ import annotations

from collections.abc import Mapping
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
from qembed.engine.workers.devices import CPU_TOKEN_BUDGET, GPU_TOKEN_BUDGET
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
        weight_bytes: Bytes of the weights in memory, by dtype.
        measured: Capacities by dtype, measured on this kind of device.
        large: It has billions of weights.
        better_in_16_bits: ``auto`` leaves int16 out, which takes the memory of fp32.
    """

    architecture: Architecture
    weight_bytes: Mapping[str, int]
    measured: Mapping[str, Capacity]
    large: bool = False
    better_in_16_bits: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What the user has a say in.

    Attributes:
        buffer_bytes: Left free on each device. None: 2 GB, or less where the model needs it.
        max_batch: Largest batch in texts. None: the device's default for large models, else no limit.
        token_budget: Largest batch in padded tokens, however many would fit. None: by the kind of device.
        precision: The only one to consider; all of them when ``auto``.
        shard: Only one worker over all devices.
    """

    buffer_bytes: int | None = None
    max_batch: int | None = None
    token_budget: int | None = None
    precision: str = "auto"
    shard: bool = False

    @property
    def wanted_buffer_bytes(self) -> int:
        """What is left free where there is room for it."""
        return BUFFER_BYTES if self.buffer_bytes is None else self.buffer_bytes


@dataclass(frozen=True, slots=True)
class Candidate:
    """One precision on some devices, worked out.

    Attributes:
        precision: ``fp32``, ``fp16``, ``bf16``, ``int16``, ``int8`` or ``nf4``.
        workers: Processes; each has one device, or all of them if sharded.
        sharded: Whether one worker spreads the model over all devices.
        fit: ``fits``; ``tight``: only with less memory left free than was wanted; ``no``.
        weights_bytes: Weights on each device.
        context_bytes: CUDA's own memory on each device; 0 on a CPU.
        buffer_bytes: Left free on each device.
        room_bytes: Left there for batches; below zero where the weights do not fit.
        forward: Memory of a batch with the longest text.
        attention: The attention kernel that takes most.
        safe_tokens: Largest batch that fits, in padded tokens; 0 for none.
        budget_tokens: Largest batch that is planned, in padded tokens.
        max_batch: Largest batch that is planned, in texts; None for no limit.
        batch_at_longest: Texts in a batch of the longest text.
        seconds_per_token: Expected time per padded token, all workers together; 0 where it does not fit.
        measured: Whether memory and speed come from measurements.
        reason: Why it does not fit, or what speaks against it.
        batch_at_median: Texts in a batch of texts of median length; from here on by ``timed``.
        batches: Batches of the whole corpus.
        padding_waste: 1 - real tokens / padded tokens.
        seconds: Best and worst time to encode the corpus; None where nothing is known.
    """

    precision: str
    workers: int
    sharded: bool
    fit: Fit
    weights_bytes: int
    context_bytes: int
    buffer_bytes: int
    room_bytes: int
    forward: ForwardBytes
    attention: Attention
    safe_tokens: int = 0
    budget_tokens: int = 0
    max_batch: int | None = None
    batch_at_longest: int = 0
    seconds_per_token: float = 0.0
    measured: bool = False
    reason: str = ""
    batch_at_median: int = 0
    batches: int = 0
    padding_waste: float = 0.0
    seconds: tuple[float, float] | None = None

    @property
    def quantised(self) -> bool:
        """Whether its vectors are another model's, nearly: int8 and nf4."""
        return self.precision in QUANTISED


def unsupported(precision: str, device: Device) -> str:
    """Why a device cannot compute in a precision; empty where it can."""
    if device.capability is None:
        lacking = precision in ("bf16", "int16") and precision not in device.tflops
        return f"this CPU has no {precision} arithmetic" if lacking else ""
    if precision == "int16":
        return "for CPUs"
    least = MIN_CAPABILITY.get(precision)
    if least is None or device.capability >= least:
        return ""
    has = "compute capability {}.{}".format(*device.capability)
    return f"only emulated at {has}" if precision == "bf16" else f"bitsandbytes: not at {has}"


def work_out(
    model: Model, device: Device, precision: str, longest: int, limits: Limits, *, shard: bool = False
) -> Candidate:
    """A precision on a device with texts of ``longest`` tokens; one worker over all devices if ``shard``."""
    context = CONTEXT_BYTES if device.capability else 0
    forward, attention = worst_forward_bytes(model.architecture, precision, longest, device.capability)
    weights = model.weight_bytes[precision] // (device.count if shard else 1)
    capacity = None if shard else model.measured.get(precision)
    if capacity is not None:
        weights = int(capacity.fixed_bytes)
        forward = ForwardBytes(int(np.ceil(capacity.bytes_at(longest))), 0, 0, 0)
    buffer = limits.wanted_buffer_bytes
    base = Candidate(
        precision=precision,
        workers=1 if shard else device.count,
        sharded=shard,
        fit="no",
        weights_bytes=weights,
        context_bytes=context,
        buffer_bytes=buffer,
        room_bytes=device.memory_bytes - weights - context - buffer - forward.fixed,
        forward=forward,
        attention=attention,
        max_batch=limits.max_batch or (device.max_batch if model.large else None),
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
        buffer_bytes=buffer,
        fixed_bytes=forward.fixed,
    )
    fitted = replace(base, fit="fits", safe_tokens=safe) if safe else _with_less_buffer(base, longest)
    return fitted if fitted.fit == "no" else _with_batches(fitted, model, device, longest, limits)


def _with_less_buffer(base: Candidate, longest: int) -> Candidate:
    """``tight`` with half of what is left for batches and half kept free; else ``no``, and why."""
    unbuffered = base.room_bytes + base.buffer_bytes
    needed = longest * base.forward.per_token
    if unbuffered <= 0:
        return replace(base, reason=f"{_gb(-unbuffered)} short for the weights alone")
    # Tenths of GB: what is shown as --memory-buffer is what was worked out.
    buffer = int((unbuffered - needed) / 2) // TENTH_OF_GB * TENTH_OF_GB
    if buffer <= 0:
        reason = f"a text of {longest:,} tokens takes {_gb(needed)}, {_gb(unbuffered)} are left"
        return replace(base, reason=reason)
    return replace(
        base,
        fit="tight",
        buffer_bytes=buffer,
        room_bytes=unbuffered - buffer,
        safe_tokens=int((unbuffered - buffer) / base.forward.per_token),
        reason=f"only with --memory-buffer {buffer / 1e9:.1f}",
    )


def _with_batches(base: Candidate, model: Model, device: Device, longest: int, limits: Limits) -> Candidate:
    usual = GPU_TOKEN_BUDGET if device.capability else CPU_TOKEN_BUDGET
    budget = max(min(base.safe_tokens, limits.token_budget or usual), longest)
    texts = min(budget // longest, base.max_batch or budget)
    shape = Shapes(np.asarray([longest * texts]), np.asarray([longest]), longest * texts)
    best, worst = _seconds(base, model, device, shape)
    return replace(
        base,
        budget_tokens=budget,
        batch_at_longest=texts,
        seconds_per_token=(best * worst) ** 0.5 / (longest * texts),
        reason=base.reason or _what_speaks_against(base),
    )


def add_times(base: Candidate, model: Model, device: Device, lengths: Lengths) -> Candidate:
    """The same with batches and seconds for texts of these lengths; int64 (texts,)."""
    batches = make_batches(lengths, token_budget=base.budget_tokens, max_batch=base.max_batch)
    shapes = shapes_of(lengths, batches)
    known = device.speed_known or base.measured
    at_median = base.budget_tokens // max(1, int(np.median(lengths)))
    return replace(
        base,
        batch_at_median=min(at_median, base.max_batch or len(lengths)),
        batches=len(batches),
        padding_waste=shapes.waste,
        seconds=_seconds(base, model, device, shapes) if known else None,
    )


def _seconds(base: Candidate, model: Model, device: Device, shapes: Shapes) -> tuple[float, float]:
    """Best and worst seconds for all batches, all workers together."""
    capacity = model.measured.get(base.precision) if base.measured else None
    if capacity is None:
        # Of a sharded model each device holds a part, but a batch passes through all of them.
        weights = base.weights_bytes * (device.count if base.sharded else 1)
        best, worst = predict_seconds(device, model.architecture, base.precision, weights, shapes)
    else:
        per_token = capacity.seconds_per_token + capacity.seconds_per_token_length * shapes.longest
        total = float((capacity.seconds_per_batch + per_token * shapes.padded).sum())
        best, worst = total * MEASURED_SPREAD[0], total * MEASURED_SPREAD[1]
    return best / base.workers, worst / base.workers


def _what_speaks_against(base: Candidate) -> str:
    if base.sharded:
        return "the cards take turns: speed of one"
    why = {"int8": "slower than fp16", "nf4": "unpacked for every batch"}
    return f"{why[base.precision]}; verify" if base.precision in why else ""


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
