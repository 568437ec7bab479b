"""Runs batches through an encoder, one device, in order; halves what does not fit.

What several devices need goes behind ``encode_batches``: callers see finished batches in any order and
place them by their positions.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from qembed.engine.batching import Batch, padded_tokens
from qembed.engine.oom import is_out_of_memory, release_memory
from qembed.errors import QembedError
from qembed.records import Lengths, Vectors

_GROW_AFTER_BATCHES = 20


@dataclass(frozen=True, slots=True)
class BatchDone:
    """A finished batch.

    Attributes:
        batch: Positions of its texts; int64 (texts,).
        vectors: float32 (texts, dimension), in the same order.
        tokens: Real tokens that the model read.
        padded_tokens: Longest text times size.
        seconds: Wall time of the forward pass, tokenising included.
    """

    batch: Batch
    vectors: Vectors
    tokens: int
    padded_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class OomSplit:
    """A batch that did not fit and was halved.

    Attributes:
        texts: Texts of the batch.
        padded_tokens: Of the batch.
        budget_tokens: Padded tokens of a batch at most, from here on.
        error: First line of what the device said.
    """

    texts: int
    padded_tokens: int
    budget_tokens: int
    error: str


def encode_batches(
    encode: Callable[[Sequence[str]], Vectors],
    texts: Callable[[Batch], Sequence[str]],
    batches: Sequence[Batch],
    lengths: Lengths,
    *,
    on_split: Callable[[OomSplit], None] = lambda _: None,
) -> Iterator[BatchDone]:
    """Encode every text of every batch; a batch that does not fit is halved until it does.

    After a failure the budget is half of what failed; it grows by a quarter after 20 batches that fit.
    What was finished before stays.

    Args:
        encode: Texts to float32 (texts, dimension); one forward pass.
        texts: Gives the texts at some positions; called for one batch at a time.
        batches: From ``make_batches``.
        lengths: Tokens read of each text.
        on_split: Told of every halving.

    Raises:
        QembedError: A single text does not fit, a vector is not finite, or the encoder returned another
            number of vectors. Errors that are not about memory pass through as they are.
    """
    pending = deque(batches)
    budget, fitted = sys.maxsize, 0
    while pending:
        batch = pending.popleft()
        padded = padded_tokens(lengths, batch)
        if padded > budget and len(batch) > 1:
            pending.extendleft(reversed(np.array_split(batch, 2)))
            continue
        started = perf_counter()
        batch_texts = texts(batch)
        vectors, failure = _attempt(encode, batch_texts)
        if vectors is None:
            if len(batch) == 1:
                raise _does_not_fit(batch_texts[0], padded, failure)
            budget, fitted = max(1, padded // 2), 0
            on_split(OomSplit(len(batch), padded, budget, failure))
            release_memory()
            pending.appendleft(batch)
            continue
        seconds = perf_counter() - started
        _check(vectors, batch_texts)
        fitted += 1
        if fitted % _GROW_AFTER_BATCHES == 0 and budget < sys.maxsize:
            budget += budget // 4
        yield BatchDone(batch, vectors, int(lengths[batch].sum()), padded, seconds)


def _attempt(encode: Callable[[Sequence[str]], Vectors], texts: Sequence[str]) -> tuple[Vectors | None, str]:
    """The vectors, or None and what the device said; leaves the ``except`` block so that memory is free."""
    try:
        return encode(texts), ""
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None, (str(error).splitlines() or [type(error).__name__])[0]


def _does_not_fit(text: str, tokens: int, failure: str) -> QembedError:
    return QembedError(
        f"a single text of {tokens:,} tokens does not fit the device's memory: {text[:80]!r}",
        where=failure,
        remedy="--max-length reads less of each text, --precision fp16 halves the weights, or --device cpu",
    )


def _check(vectors: Vectors, texts: Sequence[str]) -> None:
    if len(vectors) != len(texts):
        raise QembedError(f"the encoder returned {len(vectors)} vectors for {len(texts)} texts")
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        text = texts[int(np.argmin(finite))]
        raise QembedError(
            f"the model gave a vector that is not finite (NaN or infinity) for the text {text[:80]!r}",
            remedy="--precision fp32 (fp16 overflows on some models)",
        )
