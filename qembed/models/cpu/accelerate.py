"""Faster arithmetic on x86 CPUs for any model: prepacked linear layers, attention, and norms.

``compiled``: ``models.cpu.kernels``, in float32 or 16-bit integers. ``packed``: oneDNN's products, for
bfloat16 and for CPUs without AVX-512. torch multiplies float32 by MKL, which takes AVX2 on AMD's processors,
and lays bfloat16 weights out anew in every call; oneDNN on weights that were laid out once does neither
(``benchmarks/cpu_kernels.py`` has the numbers). The result is checked against the plain modules; where the
check fails, those stay.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from qembed.errors import UsageError
from qembed.models.cpu import attention as cpu_attention
from qembed.models.cpu import kernels
from qembed.models.cpu.memory import keep_freed_memory
from qembed.models.cpu.modules import CompiledEncoder, CompiledLinear, FastLinear, Int16Linear, PackedLinear
from qembed.models.device import cpu_has_amx
from qembed.models.info import EncoderInfo, attention_of
from qembed.records import Vectors

LEAST_COSINE: Final = {"fp32": 0.999999, "int16": 0.99999, "bf16": 0.9995}
"""Between vectors of the plain modules and of the fast ones, for the worst of the check's texts."""


def accelerate(model: Any, precision: str, vectors: Callable[[], Vectors]) -> str:
    """Replace the model's kernels where that is known to be faster and found to be right.

    Args:
        model: A SentenceTransformer on a CPU, in bfloat16 for ``bf16`` and in float32 for the others.
        precision: ``fp32``, ``int16`` or ``bf16``; others stay plain.
        vectors: Runs the model over a few texts; called before and after.

    Returns:
        What is in use: ``compiled`` (``models.cpu.kernels``), ``packed`` (oneDNN), ``packed+bmm``
            (attention by whole products too), or ``plain`` with the reason behind it.
    """
    if reason := _unsuitable(model, precision):
        return f"plain: {reason}"
    undo: list[Callable[[], None]] = []
    try:
        expected = vectors()
        used = _replace(model, precision, undo)
        least = _least_cosine(expected, vectors())
        reason = "" if least >= LEAST_COSINE[precision] else f"{used} gave cosine {least:.6f}"
    except Exception as error:  # private operations of torch, and models that read their weights themselves
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    if reason:
        for step in reversed(undo):
            step()
        return f"plain: {reason}"
    keep_freed_memory()
    return used


def accelerated(model: Any, info: EncoderInfo, asked: str, vectors: Callable[[], Vectors]) -> EncoderInfo:
    """``accelerate``, and what is loaded then.

    Args:
        model: As ``accelerate``.
        info: What was loaded before.
        asked: The precision that the user asked for; where ``auto`` chose int16 and it does not suit the
            model, that is float32 now.
        vectors: As ``accelerate``.

    Raises:
        UsageError: int16 was asked for and does not suit the model.
    """
    used = accelerate(model, info.dtype, vectors)
    dtype = info.dtype
    if dtype == "int16" and used.startswith("plain"):
        if asked == "int16":
            raise UsageError(
                f"{info.name} does not run in int16: {used.partition(': ')[2]}", remedy="--precision fp32"
            )
        dtype, used = "fp32", accelerate(model, "fp32", vectors)
    return replace(info, dtype=dtype, kernels=used, attention=attention_of(model))


def _unsuitable(model: nn.Module, precision: str) -> str:
    if not any(type(module) is nn.Linear for module in model.modules()):
        return "no linear layers"
    return missing(precision)


def missing(precision: str) -> str:
    """Why there are no faster kernels for a precision here; empty where there are."""
    if precision not in LEAST_COSINE:
        return f"no kernels for {precision}"
    if _is_compiled(precision):
        return ""
    if precision == "int16":
        return kernels.unavailable(sixteen=True)
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return f"no kernels for {platform.machine()}"
    names = ("_reorder_linear_weight", "_linear_pointwise")
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return "this torch lacks the operations of oneDNN"
    return ""


def _is_compiled(precision: str) -> bool:
    return precision != "bf16" and not kernels.unavailable(precision == "int16")


def _replace(model: Any, precision: str, undo: list[Callable[[], None]]) -> str:
    if not _is_compiled(precision):
        swapped = (
            precision == "bf16" and not cpu_has_amx() and _swap_attention(model, cpu_attention.BMM, undo)
        )
        _pack(model, PackedLinear, undo)
        _fuse_gelu(model, undo)
        return "packed+bmm" if swapped else "packed"
    sixteen = precision == "int16"
    _swap_attention(model, cpu_attention.INT16 if sixteen else cpu_attention.FP32, undo)
    _pack(model, Int16Linear if sixteen else CompiledLinear, undo)
    _fuse_gelu(model, undo)
    _fuse_encoder(model, undo)
    return "compiled"


def _children(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Every module below, with its parent and its name there."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            yield parent, name, child


def _pack(model: nn.Module, kind: type[FastLinear], undo: list[Callable[[], None]]) -> None:
    packed: dict[nn.Module, FastLinear] = {}  # a module may stand in two places
    for parent, name, child in _children(model):
        if type(child) is nn.Linear:  # others read their weight in ways of their own
            new = packed[child] = packed.get(child) or kind(child)
            setattr(parent, name, new)
            exact = kind is not Int16Linear
            undo.append(
                partial(_unpack, parent, name, new) if exact else partial(setattr, parent, name, child)
            )
    packed.clear()


def _unpack(parent: nn.Module, name: str, packed: FastLinear) -> None:
    setattr(parent, name, packed.unpacked())


def _fuse_gelu(model: nn.Module, undo: list[Callable[[], None]]) -> None:
    """The exact GELU behind a linear layer, as models of BERT's family name the two."""
    for parent in list(model.modules()):
        dense, act = getattr(parent, "dense", None), getattr(parent, "intermediate_act_fn", None)
        if isinstance(dense, FastLinear) and type(act).__name__ == "GELUActivation":
            dense.gelu = True
            parent.intermediate_act_fn = nn.Identity()
            undo.append(partial(setattr, parent, "intermediate_act_fn", act))


def _fuse_encoder(model: nn.Module, undo: list[Callable[[], None]]) -> None:
    """All layers of models of BERT's family, which name their parts alike."""
    for parent, name, child in _children(model):
        if name == "encoder" and hasattr(child, "layer"):
            try:
                fused = CompiledEncoder(child)
            except (ValueError, AttributeError):  # another family: its parts were replaced one by one
                continue
            setattr(parent, name, fused)
            undo.append(partial(setattr, parent, name, child))


def _swap_attention(model: Any, name: str, undo: list[Callable[[], None]]) -> bool:
    """Whether attention goes through ``cpu_attention`` now."""
    transformer = getattr(model[0], "auto_model", None)
    if getattr(getattr(transformer, "config", None), "_attn_implementation", None) != "sdpa":
        return False
    cpu_attention.register(name)
    assert transformer is not None
    undo.append(lambda: transformer.set_attn_implementation("sdpa"))
    transformer.set_attn_implementation(name)
    return True


def _least_cosine(expected: Vectors, found: Vectors) -> float:
    a, b = expected.astype(np.float64), found.astype(np.float64)
    cosines = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return float(np.nan_to_num(cosines, nan=-1.0).min())
