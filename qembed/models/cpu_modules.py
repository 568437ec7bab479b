"""Modules that stand in for torch's on a CPU (``models.cpu_kernels`` puts them in place)."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from qembed import kernels

_ROWS_HINT: Final = 2048
"""Tokens of a batch for which oneDNN chooses the layout; any number works."""

_FUSED_ROWS: Final = 96
"""Tokens for each thread from which on the MLP in one, which shares out rows only, keeps all threads busy."""


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
    """By ``qembed.kernels``, in float32."""

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
    """By ``qembed.kernels``, in 16-bit integers; its weight cannot be unpacked to the last bit."""

    sixteen = True


class AddNorm(nn.Module):
    """What models of BERT's family end attention and the MLP with, its last two steps in one."""

    def __init__(self, output: nn.Module) -> None:
        super().__init__()
        self.dense: nn.Module = output.get_submodule("dense")
        self.LayerNorm: nn.Module = output.get_submodule("LayerNorm")

    def forward(self, hidden_states: torch.Tensor, input_tensor: torch.Tensor) -> torch.Tensor:
        """LayerNorm(dense(hidden_states) + input_tensor)."""
        norm = self.LayerNorm
        assert isinstance(norm, nn.LayerNorm)
        return kernels.add_norm(self.dense(hidden_states), input_tensor, norm.weight, norm.bias, norm.eps)


class FeedForward(nn.Module):
    """The MLP of models of BERT's family in one, for more than a few tokens; it takes what came before it."""

    def __init__(self, up: CompiledLinear, output: AddNorm) -> None:
        super().__init__()
        self.up, self.output = up, output

    def forward(self, hidden_states: torch.Tensor, input_tensor: torch.Tensor) -> torch.Tensor:
        """LayerNorm(down(gelu(up(hidden_states))) + input_tensor); both are the same."""
        rows = hidden_states.numel() // hidden_states.shape[-1]
        if hidden_states is not input_tensor or rows < _FUSED_ROWS * torch.get_num_threads():
            plain: torch.Tensor = self.output(self.up(hidden_states), input_tensor)
            return plain
        norm, down = self.output.LayerNorm, self.output.dense
        assert isinstance(norm, nn.LayerNorm)
        assert isinstance(down, CompiledLinear)
        return kernels.feed_forward(
            hidden_states, self.up.packed, down.packed, norm.weight, norm.bias, norm.eps
        )
