"""The summary of an embedding run, for people and for scripts that read its keys. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qembed.records import Finding


@dataclass(frozen=True, slots=True)
class SubdirectoryStats:
    """One subdirectory.

    Attributes:
        files: Chunk files read.
        chunks: Chunks in them.
        unique_texts: Different texts that appear here first.
        tokens: Tokens of all its chunks, before truncation.
        truncated_chunks: Chunks longer than the model reads.
        tokens_lost: Tokens truncated from those.
        seconds: Share of the encoding time, by tokens, of the texts that appear here first.
    """

    files: int
    chunks: int
    unique_texts: int
    tokens: int
    truncated_chunks: int
    tokens_lost: int
    seconds: float


@dataclass(frozen=True, slots=True)
class EncodingWork:
    """What a run encoded.

    Attributes:
        texts: With a vector made by this run.
        tokens: That the models read of them.
        padded_tokens: Padded tokens of the forward passes.
        batches: How many.
        history: One mapping a batch: device, texts, tokens, padded_tokens, seconds.
        splits: One mapping for every batch that did not fit and was halved.
        retried: Texts whose vector is finite in fp32 only.
        resumed: Texts that an earlier, interrupted run had finished.
        cached: Texts whose vector came from a cache.
    """

    texts: int
    tokens: int
    padded_tokens: int
    batches: int
    history: Sequence[Mapping[str, Any]]
    splits: Sequence[Mapping[str, Any]]
    retried: int = 0
    resumed: int = 0
    cached: int = 0


def describe_finding(finding: Finding) -> dict[str, Any]:
    """A finding as JSON: file, item or line, kind, reason, and what was lost."""
    place = {"file": finding.place.path, "item": finding.place.item, "line": finding.place.line}
    described = {key: value for key, value in place.items() if value is not None}
    return {**described, "kind": finding.kind, "reason": finding.reason, "lost": finding.lost}


def build_summary(
    *,
    collection: str,
    timestamp: str,
    model: Mapping[str, Any],
    findings: Sequence[Finding],
    subdirectories: Mapping[str, SubdirectoryStats],
    unique_texts: int,
    failed: Sequence[Mapping[str, Any]],
    work: EncodingWork,
    devices: Sequence[Mapping[str, Any]],
    token_budget: int,
    phases_seconds: Mapping[str, float],
    memory: Mapping[str, int],
) -> dict[str, Any]:
    """The summary's keys in order; all times in seconds unless the key says otherwise.

    Args:
        collection: Its name.
        timestamp: UTC, ISO 8601.
        model: From ``models.EncoderInfo``.
        findings: Everything skipped or odd.
        subdirectories: Statistics by name.
        unique_texts: How many different texts there are.
        failed: One mapping a chunk without a vector: id, tokens, kind, reason.
        work: What this run encoded.
        devices: One mapping a device: device, name, texts, tokens, splits, restarts.
        token_budget: Padded tokens of a batch at most.
        phases_seconds: Wall time by phase; ``encode`` among them.
        memory: Peak bytes.
    """
    chunks = sum(stats.chunks for stats in subdirectories.values())
    seconds = sum(phases_seconds.values())
    encoding = phases_seconds.get("encode", 0.0)
    return {
        "collection": collection,
        "timestamp": timestamp,
        "model": {
            "id": model["id"],
            "revision": model["revision"],
            "dtype": model["dtype"],
            "weights_note": model.get("weights_note", ""),
            "prompt": model["document_prompt"],
            "max_tokens": model["max_tokens"],
        },
        "vector_dimension": model["dimension"],
        "total_chunks": chunks,
        "unique_texts": unique_texts,
        "total_embeddings": chunks - len(failed),
        "failed": list(failed),
        "truncated_chunks": sum(stats.truncated_chunks for stats in subdirectories.values()),
        "tokens_lost": sum(stats.tokens_lost for stats in subdirectories.values()),
        "total_tokens": sum(stats.tokens for stats in subdirectories.values()),
        "skipped": [describe_finding(finding) for finding in findings],
        "subdirectories": {
            name: {key: getattr(stats, key) for key in SubdirectoryStats.__slots__}
            for name, stats in subdirectories.items()
        },
        "devices": list(devices),
        "token_budget": token_budget,
        "texts_encoded": work.texts,
        "texts_resumed": work.resumed,
        "texts_from_cache": work.cached,
        "texts_retried_in_fp32": work.retried,
        "padding_waste": round(1 - work.tokens / work.padded_tokens, 6) if work.padded_tokens else 0.0,
        "batches": work.batches,
        "batch_history": list(work.history),
        "batch_history_omitted": work.batches - len(work.history),
        "oom_splits": list(work.splits),
        "phases_seconds": {name: round(value, 3) for name, value in phases_seconds.items()},
        "processing_time_minutes": round(seconds / 60, 4),
        "average_speed_chunks_per_sec": round(chunks / seconds, 3) if seconds else 0.0,
        "texts_per_sec": round(work.texts / encoding, 3) if encoding else 0.0,
        "tokens_per_sec": round(work.tokens / encoding, 1) if encoding else 0.0,
        "peak_memory": dict(memory),
    }


def subdirectory_stats(
    *,
    names: Sequence[str],
    files: Sequence[int],
    codes: np.ndarray[Any, np.dtype[np.int64]],
    first: np.ndarray[Any, np.dtype[np.int64]],
    inverse: np.ndarray[Any, np.dtype[np.int64]],
    lengths: np.ndarray[Any, np.dtype[np.int64]],
    max_tokens: int,
    seconds: np.ndarray[Any, np.dtype[np.float64]] | None = None,
) -> dict[str, SubdirectoryStats]:
    """Statistics per subdirectory.

    Args:
        names: Names of the subdirectories.
        files: Read in each.
        codes: Position of each chunk's subdirectory in ``names``; (chunks,).
        first: First chunk of each unique text; (unique texts,).
        inverse: Unique text of each chunk; (chunks,).
        lengths: Tokens of each unique text before truncation; (unique texts,).
        max_tokens: What the model reads.
        seconds: Encoding time of each unique text; zero when None.
    """
    count = len(names)
    of_chunk = lengths[inverse]
    lost = np.maximum(of_chunk - max_tokens, 0)
    spent = np.zeros(len(first)) if seconds is None else seconds
    columns = (
        np.bincount(codes, minlength=count),
        np.bincount(codes[first], minlength=count),
        np.bincount(codes, weights=of_chunk, minlength=count),
        np.bincount(codes, weights=lost > 0, minlength=count),
        np.bincount(codes, weights=lost, minlength=count),
        np.bincount(codes[first], weights=spent, minlength=count),
    )
    return {
        name: SubdirectoryStats(
            files=files[i],
            chunks=int(columns[0][i]),
            unique_texts=int(columns[1][i]),
            tokens=int(columns[2][i]),
            truncated_chunks=int(columns[3][i]),
            tokens_lost=int(columns[4][i]),
            seconds=round(float(columns[5][i]), 3),
        )
        for i, name in enumerate(names)
    }
