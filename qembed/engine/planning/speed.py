"""How long batches take on a device: operations against its peak, bytes against its bandwidth. Pure.

A padded token costs two operations for each weight of the linear layers, and 4 * layers * heads * head_dim
for each token it attends to (scores and their sum with the values; no kernel is assumed to skip the masked
half). Every batch reads the weights once. Embedding look-ups, norms and activations are left out: they are
in the efficiency, which is an assumption with a range until a capacity has been measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

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

DOWNLOAD_BYTES_PER_SECOND = (200e6, 20e6)
"""From the model hub: an ASSUMPTION."""

CACHED_BYTES_PER_SECOND = 2e9
"""Reading what another worker has just read, from memory: an ASSUMPTION."""

START_SECONDS = (4.0, 20.0)
"""Importing torch and transformers, and opening a device: an ASSUMPTION."""

TOKENISED_PER_SECOND = (2e6, 0.2e6)
"""Tokens per second on the host's cores, best and worst: an ASSUMPTION."""

WRITTEN_BYTES_PER_SECOND = 40e6
"""JSON lines on a slow disk, where nothing of it is hidden: an ASSUMPTION; 220e6 were measured elsewhere."""

Span: TypeAlias = tuple[float, float]
"""Best and worst, in seconds."""


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
    peak = device.peak_tflops("fp16" if dtype in QUANTISED_SPEED else dtype) * 1e12
    read = weights_bytes + (4 * architecture.linear_parameters if dtype == "nf4" else 0)
    reading = read / (device.bandwidth_gb_s * 1e9)
    best = np.maximum(computed / (peak * device.efficiency[1] * fast), reading).sum()
    worst = (computed / (peak * device.efficiency[0] * slow) + reading).sum()
    return float(best), float(worst)


def other_seconds(
    *, published_bytes: int, download: bool, workers: int, first_tokens: int, written_bytes: int
) -> dict[str, Span]:
    """Best and worst seconds of all that is not encoding, by what it is.

    Args:
        published_bytes: Bytes of the model's files.
        download: They are not on the machine yet.
        workers: Each reads the weights, the first from the disk and the others mostly from memory.
        first_tokens: Tokens of the texts that are tokenised before the first batch; the rest is hidden.
        written_bytes: Bytes of the output, most of which is written while the devices work.
    """

    def span(count: float, rates: Span) -> Span:
        return count / rates[0], count / rates[1]

    again = (workers - 1) * published_bytes / CACHED_BYTES_PER_SECOND
    read = span(published_bytes, LOAD_BYTES_PER_SECOND)
    return {
        "download": span(published_bytes if download else 0, DOWNLOAD_BYTES_PER_SECOND),
        "start-up": START_SECONDS,
        "loading": (read[0], read[1] + again),
        "tokenising": span(first_tokens, TOKENISED_PER_SECOND),
        "writing": (0.0, written_bytes / WRITTEN_BYTES_PER_SECOND),
    }
