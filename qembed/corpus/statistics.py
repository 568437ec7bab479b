"""What a corpus holds, in numbers: lengths, truncation, duplicates. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from qembed.corpus.survey import Groups, Indices

Numbers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Sizes of many texts: their sum, median, 95th percentile and maximum."""

    total: int
    p50: int
    p95: int
    max: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of many chunks, by the model's own tokenizer.

    Attributes:
        lengths: Special tokens and prompt included, before truncation.
        truncated_chunks: Chunks longer than the model reads.
        tokens_lost: Tokens truncated from those.
    """

    lengths: Distribution
    truncated_chunks: int
    tokens_lost: int


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a subdirectory, or the whole corpus, holds.

    Attributes:
        files: Chunk files read.
        chunks: Chunks in them.
        unique_texts: Different texts among those.
        characters: Characters of all chunks.
        tokens: Tokens of all chunks; None without a tokenizer.
    """

    files: int
    chunks: int
    unique_texts: int
    characters: Distribution
    tokens: Tokens | None


def describe(values: Numbers) -> Distribution:
    """Sum, median, 95th percentile (nearest rank) and maximum; zeros when there are none."""
    if not len(values):
        return Distribution(0, 0, 0, 0)
    p50, p95 = np.percentile(values, [50, 95], method="inverted_cdf")
    return Distribution(int(values.sum()), int(p50), int(p95), int(values.max()))


def describe_tokens(lengths: Numbers, max_tokens: int) -> Tokens:
    """Token lengths, and what a model that reads ``max_tokens`` loses of them."""
    lost = np.maximum(lengths - max_tokens, 0)
    return Tokens(describe(lengths), int((lost > 0).sum()), int(lost.sum()))


def holdings(
    files: int, chosen: Indices, groups: Groups, characters: Numbers, lengths: Numbers | None, max_tokens: int
) -> Holdings:
    """What some of the chunks hold.

    Args:
        files: Files that they came from.
        chosen: Positions of the chunks.
        groups: Unique text of every chunk of the corpus.
        characters: Characters of every chunk of the corpus.
        lengths: Tokens of every unique text; None without a tokenizer.
        max_tokens: What the model reads.
    """
    texts = groups.inverse[chosen]
    tokens = None if lengths is None else describe_tokens(lengths[texts], max_tokens)
    return Holdings(files, len(chosen), len(np.unique(texts)), describe(characters[chosen]), tokens)


def largest_groups(groups: Groups, count: int) -> list[tuple[int, int]]:
    """The unique texts with most copies: (unique text, chunks that have it), most first, twice at least."""
    sizes = groups.sizes()
    order = np.argsort(-sizes, kind="stable")[:count]
    return [(int(text), int(sizes[text])) for text in order if sizes[text] > 1]
