"""Which texts go through the model together. Pure: lengths in, batches out.

A batch costs what its longest text costs times its size, so texts of like length belong together, and the
padded tokens of a batch (longest x size), not its size, are what memory and time follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from qembed.records import Lengths

Batch: TypeAlias = npt.NDArray[np.int64]
"""int64, shape (texts,): positions of the texts of one forward pass."""


def clip(lengths: Lengths, max_tokens: int) -> Lengths:
    """What the model reads of each text: ``min(length, max_tokens)``."""
    return np.minimum(lengths, max_tokens)


def make_batches(lengths: Lengths, *, token_budget: int, max_batch: int | None = None) -> list[Batch]:
    """Batches of texts of like length, longest first, each within a budget of padded tokens.

    Longest first, because a batch that does not fit shows itself at once, and because the last and
    shortest batches let several devices finish together.

    Args:
        lengths: Tokens read of each text; int64 (texts,), each at least 1.
        token_budget: Padded tokens of a batch at most. A single longer text is a batch of its own.
        max_batch: Texts of a batch at most; no limit when None.

    Returns:
        Every position exactly once. Texts of equal length stay in input order.

    Raises:
        ValueError: A budget or a limit below 1.
    """
    if token_budget < 1 or (max_batch is not None and max_batch < 1):
        raise ValueError("token_budget and max_batch must be at least 1")
    order = np.argsort(-lengths, kind="stable").astype(np.int64)
    batches = []
    start = 0
    while start < len(order):
        # The first text is the longest of what is left, so it decides the size of the batch.
        size = max(1, token_budget // max(1, int(lengths[order[start]])))
        if max_batch is not None:
            size = min(size, max_batch)
        batches.append(order[start : start + size])
        start += size
    return batches


def padded_tokens(lengths: Lengths, batch: Batch) -> int:
    """Longest text of the batch times its size."""
    return int(lengths[batch].max()) * len(batch)


def padding_waste(lengths: Lengths, batches: Sequence[Batch]) -> float:
    """``1 - real tokens / padded tokens`` over all batches; 0 when there are none."""
    padded = sum(padded_tokens(lengths, batch) for batch in batches)
    real = sum(int(lengths[batch].sum()) for batch in batches)
    return 1 - real / padded if padded else 0.0
