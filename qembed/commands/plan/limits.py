"""What a plan is compared with: bytes on disk, Kaggle's limits, the rule of thumb for batches. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qembed.commands.plan.corpus import CorpusFacts
from qembed.engine.planning.memory import batch_by_rule

Answer: TypeAlias = Literal["yes", "perhaps", "no", "unknown"]

KAGGLE_SECONDS = 12 * 3600
KAGGLE_DISK_BYTES = 20_000_000_000
_JSON_BYTES_PER_FLOAT = 12.7
"""Digits, sign, comma; measured with orjson on unit vectors: 12.2 at 384 dimensions, 12.7 at 3,584."""

_ADDED_BYTES = 60
"""Keys of a record, token_count."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes on disk.

    Attributes:
        dimensions: Length of a vector.
        jsonl: Size of the output as JSON lines.
        parquet: Size as Parquet, before compression.
        npy: Size with vectors as .npy, the rest as JSON lines.
        work: Size of the hidden folder while it runs: texts, tokens, vectors of unique texts.
    """

    dimensions: int
    jsonl: int
    parquet: int
    npy: int
    work: int


@dataclass(frozen=True, slots=True)
class Kaggle:
    """Whether the chosen run keeps Kaggle's limits.

    Attributes:
        hours: Whether one session of 12 h is enough.
        disk: Whether the output as JSONL and the work folder fit 20 GB together.
        sessions: How many sessions it takes at worst; 0 where nothing is known.
    """

    hours: Answer
    disk: Answer
    sessions: int


@dataclass(frozen=True, slots=True)
class Rule:
    """``(memory - model - buffer) / chunk``, with the user's figures.

    Attributes:
        memory_bytes: Memory of one card.
        model_bytes: As given.
        buffer_bytes: As given.
        chunk_bytes: As given.
        texts: What the rule says.
        capped: The same, capped.
    """

    memory_bytes: int
    model_bytes: float
    buffer_bytes: int
    chunk_bytes: float
    texts: int
    capped: int


def disk_of(corpus: CorpusFacts, dimensions: int, tokens: int) -> Disk:
    """Bytes on disk of a run.

    Args:
        corpus: Every chunk has a record, unique texts have a vector each while it runs.
        dimensions: Dimension of the vectors.
        tokens: Tokens of the unique texts, as the model reads them.
    """
    texts = corpus.record_bytes + _ADDED_BYTES * corpus.chunks
    vectors = 4 * dimensions * corpus.chunks
    return Disk(
        dimensions=dimensions,
        jsonl=int(texts + _JSON_BYTES_PER_FLOAT * dimensions * corpus.chunks),
        parquet=texts + vectors,
        npy=texts + vectors,
        work=corpus.record_bytes + (4 * dimensions + 4) * len(corpus.lengths) + 4 * tokens,
    )


def kaggle_of(seconds: tuple[float, float] | None, disk: Disk) -> Kaggle:
    """Whether a run of so many seconds, best and worst, keeps Kaggle's limits."""
    fits = disk.jsonl + disk.work <= KAGGLE_DISK_BYTES
    space: Answer = "yes" if fits else "no"
    if seconds is None:
        return Kaggle("unknown", space, 0)
    best, worst = seconds
    time: Answer = "yes" if worst <= KAGGLE_SECONDS else "perhaps" if best <= KAGGLE_SECONDS else "no"
    return Kaggle(time, space, max(1, math.ceil(worst / KAGGLE_SECONDS)))


def rule_of(
    memory_bytes: int, model_bytes: float, buffer_bytes: int, chunk_bytes: float, cap: int | None
) -> Rule:
    """The rule of thumb with its terms."""
    texts, capped = batch_by_rule(
        memory_bytes=memory_bytes,
        model_bytes=model_bytes,
        buffer_bytes=buffer_bytes,
        chunk_bytes=chunk_bytes,
        cap=cap,
    )
    return Rule(memory_bytes, model_bytes, buffer_bytes, chunk_bytes, texts, capped)
