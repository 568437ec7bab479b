"""Modules that stand in for torch's on a CPU (``models.cpu.accelerate`` puts them in place)."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn

from qembed.models.cpu import attention as cpu_attention
from qembed.models.cpu import kernels

_ROWS_HINT: Final = 2048
"""Tokens of a batch for which oneDNN chooses the layout; any number works."""


class FastLinear(nn.Module):
    """``nn.Linear`` with its weight in a layout of its own; the public layout is gone, so no memory is added.

    Attributes:
        weight: An opaque tensor: dtype and device can be asked, numbers cannot.
        bias: As before, or None.
        gelu: Whether the exact GELU is computed along with the product.
    """

    weight: torch.Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = None if linear.bias is None else linear.bias.detach()
        self.gelu = False

    def unpacked(self) -> nn.Linear:
        """The linear layer that it was made from, to the last bit."""
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        linear.weight = nn.Parameter(self._plain_weight(), requires_grad=False)
        linear.bias = None if self.bias is None else nn.Parameter(self.bias, requires_grad=False)
        return linear.eval()

    def _plain_weight(self) -> torch.Tensor:
        raise NotImplementedError


class PackedLinear(FastLinear):
    """By oneDNN, float32 or bfloat16."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS_HINT)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(..., in_features) -> (..., out_features)."""
        activation, exact = ("gelu", "none") if self.gelu else ("none", None)
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self.weight, self.bias, activation, [], exact
        )
        return result

    def _plain_weight(self) -> torch.Tensor:
        return self.weight.to_dense()


class CompiledLinear(FastLinear):
    """By ``qembed.models.cpu.kernels``, in float32."""

    sixteen = False

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.packed = kernels.PackedWeight(linear.weight, linear.bias, self.sixteen)
        self.weight = self.packed.words.view(torch.float32)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(..., in_features) -> (..., out_features)."""
        return self.packed.linear(states, gelu=self.gelu)

    def _plain_weight(self) -> torch.Tensor:
        return self.packed.unpacked()


class Int16Linear(CompiledLinear):
    """By ``qembed.models.cpu.kernels``, in 16-bit integers; its weight cannot be unpacked to the last bit."""

    sixteen = True


class CompiledEncoder(nn.Module):
    """The layers of a model of BERT's family in one call; what that cannot serve goes through the layers.

    Raises (when made):
        ValueError, AttributeError: The layers are not of that family.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.layers = encoder
        made = [_layer_of(layer) for layer in encoder.get_submodule("layer").children()]
        attention: Any = encoder.get_submodule("layer.0.attention.self")
        heads, (width, _) = int(attention.num_attention_heads), made[0].query.shape
        eps = {norm.eps for norm in encoder.modules() if type(norm) is nn.LayerNorm}
        if len(eps) != 1:
            raise ValueError(f"norms of several eps: {eps}")
        self._run = kernels.Encoder(made, heads, (width // heads) ** -0.5, eps.pop())

    def forward(self, hidden_states: torch.Tensor, attention_mask: Any = None, **kwargs: Any) -> Any:
        """What the encoder's own ``forward`` gives, of which the last states are filled in."""
        from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

        asked = any(kwargs.get(name) for name in ("output_hidden_states", "output_attentions"))
        foreign = any(kwargs.get(name) is not None for name in ("encoder_hidden_states", "past_key_values"))
        spans = cpu_attention.spans_of(attention_mask, *hidden_states.shape[:2])
        if asked or foreign or spans is None:
            return self.layers(hidden_states, attention_mask=attention_mask, **kwargs)
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=self._run(hidden_states, spans))


def _layer_of(layer: nn.Module) -> kernels.Layer:
    attention, ends = layer.get_submodule("attention.self"), layer.get_submodule("attention.output")
    mlp, output = layer.get_submodule("intermediate"), layer.get_submodule("output")
    if getattr(attention, "is_causal", False) or getattr(attention, "is_decoder", False):
        raise ValueError("the layers see one way only")
    if hasattr(attention, "distance_embedding") or hasattr(layer, "crossattention"):
        raise ValueError("attention has more parts than are known here")
    if not getattr(mlp.get_submodule("dense"), "gelu", False):
        raise ValueError("the MLP has another activation")
    return kernels.Layer(
        query=_packed(attention, "query"),
        key=_packed(attention, "key"),
        value=_packed(attention, "value"),
        out=_packed(ends, "dense"),
        up=_packed(mlp, "dense"),
        down=_packed(output, "dense"),
        attention_norm=_norm(ends),
        output_norm=_norm(output),
    )


def _norm(output: nn.Module) -> kernels.Norm:
    norm = output.get_submodule("LayerNorm")
    if type(norm) is not nn.LayerNorm or norm.bias is None:
        raise ValueError(f"the norm is a {type(norm).__name__}")
    return kernels.Norm(norm.weight.detach(), norm.bias.detach())


def _packed(parent: nn.Module, name: str) -> kernels.PackedWeight:
    linear = parent.get_submodule(name)
    if not isinstance(linear, CompiledLinear):
        raise ValueError(f"{name} is a {type(linear).__name__}")
    return linear.packed
