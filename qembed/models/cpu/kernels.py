"""Arithmetic in ``kernels.cpp``, compiled when qembed is installed, for CPUs with AVX-512.

Everything takes and gives float32 tensors on the CPU. ``sixteen`` chooses 16-bit integer products (twice as
fast, an error of 1e-4 of a typical result) instead of float32's. Threads are torch's number of threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
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
    "attention": (
        None,
        (_FLAG, *[_POINTER] * 3, *[_POINTER] * 2, *[_LONG] * 4, _FLOAT, _POINTER, _LONG),
    ),
    "encoder": (
        None,
        (_FLAG, *[_POINTER] * 3, *[_LONG] * 4, _POINTER, *[_LONG] * 2, *[_FLOAT] * 2, _POINTER, _LONG),
    ),
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

    def addresses(self) -> tuple[int, int, int]:
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
            *self.addresses(),
            rows,
            gelu,
            _at(result),
            torch.get_num_threads(),
        )
        return result.view(*states.shape[:-1], rows)


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

        scale: Factor of the scores, above 0.

    Returns:
        (texts, tokens, heads, width); zeros outside the spans.

    Raises:
        ValueError: The scale is not above 0, or the states are not float32.
    """
    if not scale > 0:
        raise ValueError(f"scale {scale} is not above 0")
    if not query.dtype == key.dtype == value.dtype == torch.float32:
        raise ValueError(f"attention of {query.dtype} is not known here")
    texts, heads, tokens, width = query.shape
    states = [x if x.stride(3) == 1 else x.contiguous() for x in (query, key, value)]
    strides = (ctypes.c_int64 * 9)(*(stride for x in states for stride in x.stride()[:3]))
    result = torch.empty((texts, tokens, heads, width))
    _loaded().qembed_attention(
        sixteen,
        *map(_at, states),
        strides,
        _flat(spans),
        texts,
        heads,
        tokens,
        width,
        scale,
        _at(result),
        torch.get_num_threads(),
    )
    return result


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer norm; float32 (width,), contiguous."""

    weight: torch.Tensor
    bias: torch.Tensor


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of BERT's family, all weights of one kind.

    Attributes:
        query: (width, width); key, value and out likewise.
        up: (wide, width), followed by the exact GELU.
        down: (width, wide).
        attention_norm: Norm of out's result plus the layer's input.
        output_norm: Norm of down's result plus what attention_norm gave.
    """

    query: PackedWeight
    key: PackedWeight
    value: PackedWeight
    out: PackedWeight
    up: PackedWeight
    down: PackedWeight
    attention_norm: Norm
    output_norm: Norm

    def addresses(self) -> list[int]:
        """Where everything lies, as ``qembed_encoder`` reads it."""
        weights = (self.query, self.key, self.value, self.out, self.up, self.down)
        norms = (self.attention_norm, self.output_norm)
        return [
            *(address for weight in weights for address in weight.addresses()),
            *(address for norm in norms for address in (_at(norm.weight), _at(norm.bias))),
        ]


class Encoder:
    """Layers of BERT's family, one behind the other."""

    def __init__(self, layers: Sequence[Layer], heads: int, scale: float, eps: float) -> None:
        """Check that the shapes fit each other.

        Args:
            layers: At least one, all alike.
            heads: Attention heads.
            scale: Factor of its scores, above 0.
            eps: Added to the variance by every norm.

        Raises:
            ValueError: They do not.
        """
        wide, width = layers[0].up.shape
        for layer in layers:
            inner = [each.shape for each in (layer.query, layer.key, layer.value, layer.out)]
            norms = (layer.attention_norm, layer.output_norm)
            vectors = [vector for norm in norms for vector in (norm.weight, norm.bias)]
            if inner != [(width, width)] * 4 or (layer.up.shape, layer.down.shape) != (
                (wide, width),
                (width, wide),
            ):
                raise ValueError("the layers' shapes do not fit each other")
            if any(x.shape != (width,) or x.dtype != torch.float32 or x.stride() != (1,) for x in vectors):
                raise ValueError("the norms are not in float32")
        if width % heads or not scale > 0:
            raise ValueError(f"{heads} heads of scale {scale} do not fit a width of {width}")
        self._layers, self._heads, self._scale, self._eps = tuple(layers), heads, scale, eps
        self._sixteen, self._wide, self._width = layers[0].query.sixteen, wide, width
        addresses = [address for layer in layers for address in layer.addresses()]
        self._addresses = (ctypes.c_void_p * len(addresses))(*addresses)

    def __call__(self, states: torch.Tensor, spans: list[tuple[int, int]]) -> torch.Tensor:
        """Turn float32 states (texts, tokens, width) into those after the last layer.

        Args:
            states: Are not changed.
            spans: First and last + 1 real token of each text.
        """
        texts, tokens, width = states.shape
        if width != self._width:
            raise ValueError(f"states of {width} numbers; the layers have {self._width}")
        flat = states.float().contiguous()
        result = torch.empty_like(flat)
        room = torch.empty((4, texts, tokens, width))
        _loaded().qembed_encoder(
            self._sixteen,
            _at(flat),
            _at(result),
            _flat(spans),
            texts,
            self._heads,
            tokens,
            width // self._heads,
            self._addresses,
            len(self._layers),
            self._wide,
            self._scale,
            self._eps,
            _at(room),
            torch.get_num_threads(),
        )
        return result


def _flat(spans: list[tuple[int, int]]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * (2 * len(spans)))(*(end for span in spans for end in span))


def _loaded() -> ctypes.CDLL:
    library = _library()
    assert library is not None, unavailable(False)
    return library


def _at(tensor: torch.Tensor) -> int:
    return tensor.data_ptr()
