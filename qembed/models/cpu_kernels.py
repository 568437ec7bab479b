"""Faster arithmetic on x86 CPUs for any model: prepacked linear layers, and attention by whole products.

torch multiplies float32 by MKL, which takes AVX2 on AMD's processors, and lays bfloat16 weights out anew in
every call; oneDNN on weights that were laid out once does neither (``benchmarks/cpu_kernels.py`` has the
numbers). The result is checked against the plain modules; where the check fails, those stay.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import torch
from torch import nn

from qembed.models import cpu_attention
from qembed.records import Vectors

Kernels: TypeAlias = Literal["auto", "plain"]

LEAST_COSINE: Final = {torch.float32: 0.999999, torch.bfloat16: 0.9995}
"""Between vectors of the plain modules and of the packed ones, for the worst of the check's texts."""

_ROWS_HINT: Final = 2048
"""Tokens of a batch for which oneDNN chooses the layout; any number works."""


class PackedLinear(nn.Module):
    """``nn.Linear`` with its weight in oneDNN's own layout; the public layout is gone, so no memory is added.

    Attributes:
        weight: An opaque tensor: dtype and device can be asked, numbers cannot.
        bias: As before, or None.
        activation: ``gelu`` computes it along with the product; ``none``.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS_HINT)
        self.bias = None if linear.bias is None else linear.bias.detach()
        self.activation = "none"

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(..., in_features) -> (..., out_features)."""
        exact = "none" if self.activation == "gelu" else None
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self.weight, self.bias, self.activation, [], exact
        )
        return result

    def unpacked(self) -> nn.Linear:
        """The linear layer that it was made from, to the last bit."""
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        linear.weight = nn.Parameter(self.weight.to_dense(), requires_grad=False)
        linear.bias = None if self.bias is None else nn.Parameter(self.bias, requires_grad=False)
        return linear.eval()


def accelerate(model: Any, vectors: Callable[[], Vectors]) -> str:
    """Replace the model's kernels where that is known to be faster and found to be right.

    Args:
        model: A SentenceTransformer on a CPU, in float32 or bfloat16.
        vectors: Runs the model over a few texts; called before and after.

    Returns:
        What is in use: ``packed``, ``packed+bmm`` (attention too), or ``plain`` with the reason behind it.
    """
    dtype = next((parameter.dtype for parameter in model.parameters()), None)
    if dtype is None or (reason := _unsuitable(dtype)):
        return f"plain: {reason}" if dtype else "plain"
    undo: list[Callable[[], None]] = []
    try:
        expected = vectors()
        kernels = "packed" + ("+bmm" if dtype == torch.bfloat16 and _swap_attention(model, undo) else "")
        _pack(model, undo)
        _fuse_gelu(model, undo)
        least = _least_cosine(expected, vectors())
        reason = "" if least >= LEAST_COSINE[dtype] else f"packed gave cosine {least:.6f}"
    except Exception as error:  # private operations of torch, and models that read their weights themselves
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    if reason:
        for step in reversed(undo):
            step()
        return f"plain: {reason}"
    return kernels


def _unsuitable(dtype: torch.dtype) -> str:
    if dtype not in LEAST_COSINE:
        return f"no kernels for {dtype}"
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return f"no kernels for {platform.machine()}"
    names = ("_reorder_linear_weight", "_linear_pointwise")
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return "this torch lacks the operations of oneDNN"
    return ""


def _children(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Every module below, with its parent and its name there."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            yield parent, name, child


def _pack(model: nn.Module, undo: list[Callable[[], None]]) -> None:
    packed: dict[nn.Module, PackedLinear] = {}  # a module may stand in two places
    for parent, name, child in _children(model):
        if type(child) is nn.Linear:  # others read their weight in ways of their own
            new = packed[child] = packed.get(child) or PackedLinear(child)
            setattr(parent, name, new)
            undo.append(partial(_unpack, parent, name, new))
    packed.clear()


def _unpack(parent: nn.Module, name: str, packed: PackedLinear) -> None:
    setattr(parent, name, packed.unpacked())


def _fuse_gelu(model: nn.Module, undo: list[Callable[[], None]]) -> None:
    """The exact GELU behind a linear layer, as models of BERT's family name the two."""
    for parent in list(model.modules()):
        dense, act = getattr(parent, "dense", None), getattr(parent, "intermediate_act_fn", None)
        if isinstance(dense, PackedLinear) and type(act).__name__ == "GELUActivation":
            dense.activation = "gelu"
            parent.intermediate_act_fn = nn.Identity()
            undo.append(partial(setattr, parent, "intermediate_act_fn", act))


def _swap_attention(model: Any, undo: list[Callable[[], None]]) -> bool:
    """Whether attention goes through ``cpu_attention`` now; AMX serves torch's own kernel better."""
    transformer = getattr(model[0], "auto_model", None)
    if getattr(getattr(transformer, "config", None), "_attn_implementation", None) != "sdpa" or has_amx():
        return False
    cpu_attention.register()
    assert transformer is not None
    undo.append(lambda: transformer.set_attn_implementation("sdpa"))
    transformer.set_attn_implementation(cpu_attention.NAME)
    return True


def has_amx() -> bool:
    """Whether the CPU multiplies tiles."""
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(supported and supported())


def _least_cosine(expected: Vectors, found: Vectors) -> float:
    a, b = expected.astype(np.float64), found.astype(np.float64)
    cosines = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return float(np.nan_to_num(cosines, nan=-1.0).min())
