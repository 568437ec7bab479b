"""How long batches take on a device: operations against its peak, bytes against its bandwidth. Pure.

A padded token costs two operations for each weight of the linear layers, and 4 * layers * heads * head_dim
for each token it attends to (scores and their sum with the values; no kernel is assumed to skip the masked
half). Every batch reads the weights once. Embedding look-ups, norms and activations are left out: they are
in the efficiency, which is an assumption with a range until a capacity has been measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qembed.engine.batching import Batch
from qembed.engine.planning.presets import Device
from qembed.models.catalog import Architecture
from qembed.records import Lengths

QUANTISED_SPEED = {"int8": (0.4, 0.9), "nf4": (0.6, 0.95)}
"""Speed in parts of fp16's: an ASSUMPTION. Low ends: a T4 with models of 149 and 494 M, int8 at 0.40, nf4 at
0.64 to 0.72 (https://earino.github.io/applied-deep-learning/site/blog/11_int8_is_slower.html). High ends:
the share of unpacking and outliers falls with the size of the matrices (LLM.int8, arXiv 2208.07339,
appendix D, finds no loss from 6.7 B on an A100)."""

LOAD_BYTES_PER_SECOND = (1e9, 0.1e9)
"""Reading the published weights, best and worst: an ASSUMPTION (NVMe; Kaggle's network disk)."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """The batches of a run.

    Attributes:
        padded: Padded tokens of each; int64 (batches,).
        longest: Tokens of its longest text; int64 (batches,).
        real: Tokens of all texts.
    """

    padded: npt.NDArray[np.int64]
    longest: npt.NDArray[np.int64]
    real: int

    @property
    def waste(self) -> float:
        """Padding waste: 1 - real tokens / padded tokens."""
        return 1 - self.real / int(self.padded.sum()) if len(self.padded) else 0.0


def shapes_of(lengths: Lengths, batches: Sequence[Batch]) -> Shapes:
    """Shapes of batches from ``make_batches`` (the first text of each is its longest)."""
    longest = np.asarray([lengths[batch[0]] for batch in batches], dtype=np.int64)
    sizes = np.asarray([len(batch) for batch in batches], dtype=np.int64)
    return Shapes(longest * sizes, longest, int(lengths.sum()))


def operations(architecture: Architecture, shapes: Shapes) -> npt.NDArray[np.float64]:
    """Floating-point operations of each batch; float64 (batches,)."""
    attended = 4 * architecture.layers * architecture.heads * architecture.head_dim
    per_token = 2 * architecture.linear_parameters + attended * shapes.longest.astype(np.float64)
    return per_token * shapes.padded


def predict_seconds(
    device: Device, architecture: Architecture, dtype: str, weights_bytes: int, shapes: Shapes
) -> tuple[float, float]:
    """Best and worst seconds that one device needs for all batches.

    Best: computing at the efficiency's upper end hides the reading of weights, or is hidden by it. Worst:
    the lower end, and the reading comes on top. nf4 is unpacked to fp16, which writes and reads that too.
    """
    computed = operations(architecture, shapes)
    slow, fast = QUANTISED_SPEED.get(dtype, (1.0, 1.0))
    peak = device.tflops["fp16" if dtype in QUANTISED_SPEED else dtype] * 1e12
    read = weights_bytes + (4 * architecture.linear_parameters if dtype == "nf4" else 0)
    reading = read / (device.bandwidth_gb_s * 1e9)
    best = np.maximum(computed / (peak * device.efficiency[1] * fast), reading).sum()
    worst = (computed / (peak * device.efficiency[0] * slow) + reading).sum()
    return float(best), float(worst)
