"""What a device was measured to do: bytes and seconds of real forward passes, fitted. Pure, except ``probe``.

Two straight lines through a few points, ``fixed + padded tokens * (a + b * longest text)``, one for bytes
and one for seconds. The bytes' line is raised until it covers every point: a batch without padding may take
another attention kernel and more memory, and running out costs more than a smaller batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from qembed.engine.planning.memory import BUFFER_BYTES, CONTEXT_BYTES, token_budget_for
from qembed.engine.workers.oom import is_out_of_memory, release_memory
from qembed.records import Lengths

Shape: TypeAlias = npt.NDArray[np.int64]
"""int64 (texts,): tokens of each text of a batch, longest first."""

Floats: TypeAlias = npt.NDArray[np.float64]
Positive: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]

FEWER_WORKERS_WITHIN = 0.05
_BETTER_BY = 0.7
_LEAST_BYTES_PER_TOKEN = 1.0  # the smallest model takes hundreds
_BYTES_NOISE = 0.003
_SECONDS_NOISE = 0.02


@dataclass(frozen=True, slots=True)
class ProbePoint:
    """One measured forward pass.

    Attributes:
        padded_tokens: Longest text times texts.
        texts: Number of texts in the batch.
        longest_tokens: Tokens of its longest text.
        peak_bytes: Most that the process held of the device meanwhile, weights included.
        seconds: Duration of the pass.
    """

    padded_tokens: int
    texts: int
    longest_tokens: int
    peak_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """Bytes and seconds of a batch on one kind of device.

    Attributes:
        fixed_bytes: Bytes whatever the batch: the weights, mostly.
        bytes_per_token: Bytes per padded token.
        bytes_per_token_length: Bytes per padded token and token of the batch's longest text (masks, scores).
        seconds_per_batch: Seconds whatever the batch.
        seconds_per_token: Seconds per padded token.
        seconds_per_token_length: Seconds per padded token and token of the batch's longest text (attention).
    """

    fixed_bytes: Positive
    bytes_per_token: Positive
    bytes_per_token_length: Positive
    seconds_per_batch: Positive
    seconds_per_token: Positive
    seconds_per_token_length: Positive

    def bytes_of(self, padded_tokens: float, longest_tokens: float) -> float:
        """Peak bytes of a batch."""
        return self.fixed_bytes + padded_tokens * self.bytes_at(longest_tokens)

    def bytes_at(self, longest_tokens: float) -> float:
        """Bytes of a padded token in a batch with a longest text of so many tokens."""
        return self.bytes_per_token + self.bytes_per_token_length * longest_tokens

    def seconds_of(self, padded_tokens: float, longest_tokens: float) -> float:
        """Seconds of a batch."""
        per_token = self.seconds_per_token + self.seconds_per_token_length * longest_tokens
        return self.seconds_per_batch + padded_tokens * per_token

    def token_budget(
        self,
        *,
        device_memory_bytes: int,
        longest_tokens: int,
        context_bytes: int = CONTEXT_BYTES,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> int:
        """Largest safe batch in padded tokens; 0 where not even the longest text is safe."""
        return token_budget_for(
            device_memory_bytes=device_memory_bytes,
            weights_bytes=int(self.fixed_bytes),
            bytes_per_token=self.bytes_at(longest_tokens),
            longest_tokens=longest_tokens,
            context_bytes=context_bytes,
            buffer_bytes=buffer_bytes,
        )


def fit(points: Sequence[ProbePoint]) -> Capacity:
    """Non-negative least squares of the relative errors, through one point or more.

    A term in the longest text is taken only where the points need it.

    Raises:
        ValueError: There is no point, or the memory does not grow with the batch: then something else was
            measured, and a budget from it would know no bounds.
    """
    if not points:
        raise ValueError("no forward pass was measured")
    padded = np.asarray([point.padded_tokens for point in points], dtype=np.float64)
    longest = np.asarray([point.longest_tokens for point in points], dtype=np.float64)
    columns = np.stack([np.ones_like(padded), padded, padded * longest], axis=1)
    held = np.asarray([point.peak_bytes for point in points], dtype=np.float64)
    taken = np.asarray([point.seconds for point in points], dtype=np.float64)
    fixed, per_token, per_length = _cover(columns, held, _least_squares(columns, held, _BYTES_NOISE))
    if per_token + per_length * longest.max() < _LEAST_BYTES_PER_TOKEN:
        raise ValueError("the memory does not grow with the batch")
    seconds = _least_squares(columns, taken, _SECONDS_NOISE)
    return Capacity(fixed, per_token, per_length, *map(float, seconds))


def _least_squares(columns: Floats, values: Floats, noise: float) -> Floats:
    """The best non-negative coefficients, with few terms where errors are within noise; float64 (3,)."""
    scale = 1 / np.maximum(values, np.finfo(np.float64).tiny)
    best, error = _best(columns, scale, [(1,), (0, 1)])
    if len(values) > columns.shape[1]:
        richer, less = _best(columns, scale, _subsets(columns.shape[1]))
        if error > noise and less < _BETTER_BY * error:
            return richer
    return best


def _subsets(terms: int) -> list[tuple[int, ...]]:
    """All but the constant alone: a larger batch takes more memory, and more time."""
    sets = (chosen for size in range(1, terms + 1) for chosen in combinations(range(terms), size))
    return [chosen for chosen in sets if chosen != (0,)]


def _best(columns: Floats, scale: Floats, subsets: Sequence[tuple[int, ...]]) -> tuple[Floats, float]:
    """Coefficients by subset of terms: with three terms, trying all of them is an exact NNLS."""
    found, error = np.zeros(columns.shape[1]), np.inf
    for chosen in subsets:
        if len(chosen) > len(columns):
            continue
        weighted = columns[:, chosen] * scale[:, None]
        size = np.linalg.norm(weighted, axis=0)  # terms differ by ten orders of magnitude
        part = np.linalg.lstsq(weighted / size, np.ones(len(columns)), rcond=None)[0] / size
        if (part < 0).any():
            continue
        off = float(np.sqrt(np.mean((weighted @ part - 1) ** 2)))
        if off < error - 1e-12:
            found, error = np.zeros(columns.shape[1]), off
            found[list(chosen)] = part
    return found, error


def _cover(columns: Floats, values: Floats, coefficients: Floats) -> tuple[float, float, float]:
    """The same line, raised by a factor on what grows until no value lies above it."""
    fixed, per_token, per_length = map(float, coefficients)
    grows = columns[:, 1] * per_token + columns[:, 2] * per_length
    factor = max(1.0, float(((values - fixed) / np.maximum(grows, 1e-9)).max())) if grows.any() else 1.0
    return fixed, per_token * factor, per_length * factor


def probe_shapes(lengths: Lengths, max_tokens: int, start_budget: int) -> list[Shape]:
    """Batches worth measuring, the smallest first: mixed lengths at rising size, and one of equal lengths.

    Without padding there is no mask, and torch may take another attention kernel: faster, or the math kernel
    with its square of scores.

    Args:
        lengths: Tokens of the corpus's texts; int64 (texts,), not empty.
        max_tokens: What the model reads of each.
        start_budget: Padded tokens of the largest batch; a longer text is measured alone.
    """
    read = np.sort(np.minimum(lengths, max_tokens))
    longest, median = int(read[-1]), int(read[len(read) // 2])
    wanted = [(median, start_budget // 4), (longest, start_budget // 2), (longest, start_budget)]
    shapes = [_mixed(read, top, max(1, budget // top)) for top, budget in wanted]
    shapes.append(np.full(max(1, start_budget // 2 // longest), longest, dtype=np.int64))
    different = {tuple(shape): shape for shape in shapes}
    return sorted(different.values(), key=lambda shape: int(shape[0]) * len(shape))


def _mixed(read: Lengths, top: int, texts: int) -> Shape:
    """``texts`` lengths spread over those up to ``top``, that one first."""
    below = read[read <= top]
    spread = below[np.linspace(0, len(below) - 1, texts).astype(np.int64)]
    shape = np.sort(spread)[::-1].astype(np.int64)
    shape[0] = top
    return shape


def probe(
    forward: Callable[[Shape], object],
    shapes: Sequence[Shape],
    peak_bytes: Callable[[], int],
    clock: Callable[[], float],
) -> list[ProbePoint]:
    """Measure forward passes; one that does not fit ends it with what is known.

    Args:
        forward: Runs a batch of texts of these lengths, and waits for it.
        shapes: Rising; from ``probe_shapes``.
        peak_bytes: The most that was held since it was last called.
        clock: Seconds.

    Each shape runs twice: the first pass picks kernels and reserves memory, the second is timed.
    """
    points: list[ProbePoint] = []
    for shape in shapes:
        peak_bytes()
        seconds = _timed(forward, shape, clock)
        if seconds is None:
            release_memory()
            break
        longest = int(shape.max())
        points.append(ProbePoint(longest * len(shape), len(shape), longest, peak_bytes(), seconds))
    return points


def _timed(forward: Callable[[Shape], object], shape: Shape, clock: Callable[[], float]) -> float | None:
    """Seconds of the second pass; None where memory ran out. Leaves the ``except`` block, so it is free."""
    try:
        forward(shape)
        started = clock()
        forward(shape)
        return clock() - started
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None


def choose_threads(measured: Mapping[int, float], cores: int) -> tuple[int, int]:
    """How to split cores: (workers, threads of each) with the highest total rate.

    Args:
        measured: Tokens per second of one worker, by its threads.
        cores: Cores of the machine, at least 1.

    Returns:
        Fewer workers win where they are within 5 %: each has its own copy of the weights.
    """
    splits = [(cores // threads, threads) for threads in measured if 1 <= threads <= cores]
    if not splits:
        return 1, max(1, cores)
    rates = {split: split[0] * measured[split[1]] for split in splits}
    enough = max(rates.values()) * (1 - FEWER_WORKERS_WITHIN)
    return min(
        (split for split in splits if rates[split] >= enough), key=lambda split: (split[0], -rates[split])
    )
