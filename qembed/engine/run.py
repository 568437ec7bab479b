"""Runs batches through an encoder, one device, in order.

What several devices need goes behind ``encode_batches``: callers see finished batches in any order and
place them by their positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from qembed.engine.batching import Batch, padded_tokens
from qembed.errors import QembedError
from qembed.records import Lengths, Vectors


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


def encode_batches(
    encode: Callable[[Sequence[str]], Vectors],
    texts: Callable[[Batch], Sequence[str]],
    batches: Sequence[Batch],
    lengths: Lengths,
) -> Iterator[BatchDone]:
    """Encode every batch.

    Args:
        encode: Texts to float32 (texts, dimension); one forward pass.
        texts: Gives the texts at some positions; called for one batch at a time.
        batches: From ``make_batches``.
        lengths: Tokens read of each text.

    Raises:
        QembedError: A vector is not finite, or the encoder returned another number of vectors.
    """
    for batch in batches:
        started = perf_counter()
        batch_texts = texts(batch)
        vectors = encode(batch_texts)
        seconds = perf_counter() - started
        _check(vectors, batch_texts)
        yield BatchDone(batch, vectors, int(lengths[batch].sum()), padded_tokens(lengths, batch), seconds)


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
