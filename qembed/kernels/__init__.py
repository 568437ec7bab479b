"""Arithmetic in ``kernels.cpp``, compiled when qembed is installed, for CPUs with AVX-512.

Everything takes and gives float32 tensors on the CPU. ``sixteen`` chooses 16-bit integer products (twice as
fast, an error of 1e-4 of a typical result) instead of float32's. Threads are torch's number of threads.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Final

import torch

_COLUMNS: Final = 32
_LIBRARY: Final = Path(__file__).with_name("_kernels.so")
_LONG, _POINTER, _FLAG, _FLOAT = ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_float
_SIGNATURES: Final = {
    "supported": (_FLAG, ()),
    "packed_words": (_LONG, (_FLAG, _LONG, _LONG)),
    "pack": (None, (_FLAG, _POINTER, _LONG, _LONG, _POINTER, _POINTER)),
    "linear": (
        None,
        (_FLAG, _POINTER, _LONG, _LONG, *[_POINTER] * 3, _LONG, _FLAG, _POINTER, _LONG),
    ),
    "feed_forward": (
        None,
        (_FLAG, _POINTER, *[_LONG] * 3, *[_POINTER] * 8, _FLOAT, _POINTER, _LONG),
    ),
    "attention": (
        None,
        (_FLAG, *[_POINTER] * 3, *[_POINTER] * 2, *[_LONG] * 4, _FLOAT, _POINTER, _LONG),
    ),
    "add_norm": (None, (*[_POINTER] * 2, *[_LONG] * 2, *[_POINTER] * 2, _FLOAT, _POINTER, _LONG)),
}


@cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(_LIBRARY))
    except OSError:
        return None
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, f"qembed_{name}")
        function.restype, function.argtypes = result, arguments
    return library


@cache
def unavailable(sixteen: bool) -> str:
    """Why there is no such arithmetic here; empty where there is."""
    library = _library()
    if library is None:
        return "qembed was installed without its compiled kernels"
    level = library.qembed_supported()
    if level < 1:
        return "the CPU has no AVX-512"
    return "the CPU has no AVX512-VNNI" if sixteen and level < 2 else ""


class PackedWeight:
    """A weight matrix as the kernels read it.

    Attributes:
        shape: (out features, in features).
        sixteen: Whether it is in 16-bit integers.
        words: int32 tensor of the packed numbers, in panels of 32 outputs.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, sixteen: bool) -> None:
        """Copy a weight (out features, in features) and a bias (out features), of any dtype of floats."""
        library = _loaded()
        rows, width = self.shape = tuple(weight.shape)
        weight = weight.detach().float().contiguous()
        padded = -(-rows // _COLUMNS) * _COLUMNS
        self.sixteen = sixteen
        self.words = torch.empty(library.qembed_packed_words(sixteen, rows, width), dtype=torch.int32)
        self._scale = torch.empty(padded)
        self._bias = torch.zeros(padded)
        if bias is not None:
            self._bias[:rows] = bias.detach()
        library.qembed_pack(sixteen, _at(weight), rows, width, _at(self.words), _at(self._scale))

    def unpacked(self) -> torch.Tensor:
        """The float32 weight that it was made from; only where not ``sixteen``."""
        assert not self.sixteen
        rows, width = self.shape
        panels = self.words.view(torch.float32).view(-1, width, _COLUMNS)
        return panels.transpose(1, 2).reshape(-1, width)[:rows].clone()

    def pointers(self) -> tuple[int, int, int]:
        """Where the packed numbers, their scales and the bias lie."""
        return _at(self.words), _at(self._scale), _at(self._bias)

    def linear(self, states: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        """(..., in features) -> (..., out features): the product plus the bias, then the exact GELU."""
        rows, width = self.shape
        flat = states.reshape(-1, width).float().contiguous()
        result = torch.empty((len(flat), rows))
        _loaded().qembed_linear(
            self.sixteen,
            _at(flat),
            len(flat),
            width,
            *self.pointers(),
            rows,
            gelu,
            _at(result),
            torch.get_num_threads(),
        )
        return result.view(*states.shape[:-1], rows)


def feed_forward(
    states: torch.Tensor,
    up: PackedWeight,
    down: PackedWeight,
    weight: torch.Tensor,
    bias: torch.Tensor,
    eps: float,
) -> torch.Tensor:
    """norm(down(gelu(up(states))) + states), the MLP of BERT's family.

    Args:
        states: (..., width).
        up: (wide, width).
        down: (width, wide), of the same kind.
        weight: Of the norm, float32 (width,), contiguous; bias likewise.
        eps: Added to the variance.
    """
    assert up.shape == down.shape[::-1] == (up.shape[0], states.shape[-1])
    assert up.sixteen == down.sixteen
    flat = states.float().contiguous()
    result = torch.empty_like(flat)
    wide, width = up.shape
    _loaded().qembed_feed_forward(
        up.sixteen,
        _at(flat),
        flat.numel() // width,
        width,
        wide,
        *up.pointers(),
        *down.pointers(),
        _at(weight),
        _at(bias),
        eps,
        _at(result),
        torch.get_num_threads(),
    )
    return result


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    spans: list[tuple[int, int]],
    scale: float,
    sixteen: bool,
) -> torch.Tensor:
    """softmax(scale q k^T) v among the tokens of each text.

    Args:
        query: (texts, heads, tokens, width) with any strides but 1 along the width; key and value likewise.
        spans: First and last + 1 real token of each text.

        scale: Of the scores, above 0.

    Returns:
        (texts, tokens, heads, width); zeros outside the spans.

    Raises:
        ValueError: The scale is not above 0.
    """
    if not scale > 0:
        raise ValueError(f"scale {scale} is not above 0")
    texts, heads, tokens, width = query.shape
    states = [x if x.stride(3) == 1 else x.contiguous() for x in (query, key, value)]
    strides = (ctypes.c_int64 * 9)(*(stride for x in states for stride in x.stride()[:3]))
    ends = (ctypes.c_int64 * (2 * texts))(*(end for span in spans for end in span))
    result = torch.empty((texts, tokens, heads, width))
    _loaded().qembed_attention(
        sixteen,
        *map(_at, states),
        strides,
        ends,
        texts,
        heads,
        tokens,
        width,
        scale,
        _at(result),
        torch.get_num_threads(),
    )
    return result


def add_norm(
    states: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float
) -> torch.Tensor:
    """Layer norm of ``states + residual`` over the last dimension.

    Args:
        states: (..., width); residual likewise.
        weight: float32 (width,), contiguous; bias likewise.
        eps: Added to the variance.

    Raises:
        ValueError: The shapes differ.
    """
    if states.shape != residual.shape:
        raise ValueError(f"states {tuple(states.shape)} and residual {tuple(residual.shape)} differ in shape")
    flat, other = states.float().contiguous(), residual.float().contiguous()
    result = torch.empty_like(flat)
    width = flat.shape[-1]
    _loaded().qembed_add_norm(
        _at(flat),
        _at(other),
        flat.numel() // width,
        width,
        _at(weight),
        _at(bias),
        eps,
        _at(result),
        torch.get_num_threads(),
    )
    return result


def _loaded() -> ctypes.CDLL:
    library = _library()
    assert library is not None, unavailable(False)
    return library


def _at(tensor: torch.Tensor) -> int:
    return tensor.data_ptr()
