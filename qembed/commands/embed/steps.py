"""The steps of ``embed`` before the first vector: options, reading, counting tokens, checking the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from qembed.commands.embed.earlier import settings_of
from qembed.corpus import CorpusOptions, check_ids, read_chunks
from qembed.corpus.survey import Groups, Survey
from qembed.engine import check_fits, clip, default_token_budget, make_batches, padding_waste
from qembed.engine.planning.memory import BUFFER_BYTES
from qembed.engine.workers.pool import STALL_SECONDS
from qembed.errors import CheckFailed, InputNotFound, QembedError
from qembed.models import (
    DEFAULT_MODEL,
    Encoder,
    EncoderOptions,
    ModelSource,
    TokenCounter,
    check_reachable,
    load_tokenizer,
)
from qembed.models.device import list_devices
from qembed.models.loading import precision_of
from qembed.models.weights import weight_bytes
from qembed.progress import Progress
from qembed.records import Lengths
from qembed.store import OutputFiles, Spool, describe_finding, subdirectory_stats
from qembed.store.formats import Format
from qembed.store.summary import SubdirectoryStats

TOKENIZE_TEXTS = 2048
"""Texts tokenised at a time: enough to keep all cores busy, little memory."""

HUGE_PARAMETERS = 1_000_000_000
"""A model beyond this is not run on a CPU unless the user asks for that."""


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """What ``embed`` is asked for.

    Attributes:
        model: A folder, a hub id, or a name of the catalog.
        corpus: How the chunks are read.
        encoder: How the model is used.
        token_budget: Padded tokens of a batch at most; by device when None.
        max_batch: Texts of a batch at most; no limit when None.
        memory_buffer_bytes: To be left free on a GPU.
        format: Of the output: ``jsonl``, ``parquet`` or ``npy``.
        shard_records: Records of one output file at most; one file when None.
        cache: A folder that keeps vectors across runs; what is in it is not encoded again.
        time_limit_seconds: Stop before so much time has passed; a later run goes on.
        stall_seconds: A worker that has not answered for so long is replaced.
        empty_cache_every: Give unused memory back to a GPU after so many batches; never when 0.
        strict: Any finding stops the run before the model is loaded.
        force: Replace output, and throw away unfinished work, that was made otherwise.
        dry_run: Say what would happen, write nothing.
    """

    model: str = DEFAULT_MODEL
    corpus: CorpusOptions = field(default_factory=CorpusOptions)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    token_budget: int | None = None
    max_batch: int | None = None
    memory_buffer_bytes: int = BUFFER_BYTES
    format: Format = "jsonl"
    shard_records: int | None = None
    cache: Path | None = None
    time_limit_seconds: float | None = None
    stall_seconds: float = STALL_SECONDS
    empty_cache_every: int = 0
    strict: bool = False
    force: bool = False
    dry_run: bool = False


@dataclass(slots=True)
class Work:
    """What one run has found and made so far; each step fills in its part."""

    input: Path
    options: EmbedOptions
    progress: Progress
    source: ModelSource
    collection: str
    files: OutputFiles
    folder: Path
    spool: Spool
    survey: Survey = field(default_factory=Survey)
    phases_seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=monotonic)
    groups: Groups = field(init=False)

    @contextmanager
    def phase(self, name: str, shown: str, *, total: int | None = None, unit: str = "") -> Iterator[None]:
        """Time a phase and tell of it."""
        self.progress.phase(shown, total=total, unit=unit)
        started = perf_counter()
        yield
        self.phases_seconds[name] = perf_counter() - started


def check_model_can_run(source: ModelSource, options: EmbedOptions) -> None:
    """Fail within seconds rather than after a long walk.

    Raises:
        ModelUnreachable: The model is neither here nor on the hub.
        QembedError: It does not fit the device, or wants a GPU.
    """
    check_reachable(source)
    card = source.card
    device = list_devices(options.encoder.device)[0]
    if card and card.parameters > HUGE_PARAMETERS and device == "cpu" and options.encoder.device == "auto":
        raise QembedError(
            f"{card.id} has {card.parameters / 1e9:.2f} billion parameters and this machine has no GPU",
            remedy="choose a small model (--model minilm), or force this one with --device cpu",
        )
    dtype = precision_of(source, options.encoder, device)
    if card:
        check_fits(card.id, getattr(card.weight_bytes, dtype), device, dtype)
    elif source.path is not None:
        check_fits(source.id, weight_bytes(source.path), device, dtype)


def read_corpus(work: Work) -> None:
    """Walk the corpus once: to disk, and into the survey.

    Raises:
        InputNotFound: No chunk could be read.
        DuplicateIds: Two chunks have one id.
        CheckFailed: ``strict``, and something could not be read.
    """
    with work.phase("read", "reading chunks", unit="chunks"):
        chunks = read_chunks(
            work.input,
            work.options.corpus,
            on_finding=work.survey.findings.append,
            on_file=work.survey.on_file,
        )
        for chunk in chunks:
            work.spool.append(chunk)
            work.survey.add(chunk)
            work.progress.advance(1)
        findings = work.survey.findings
        if not len(work.survey):
            first = (
                f"the first of {len(findings)} findings: {findings[0]}" if findings else "the files are empty"
            )
            raise InputNotFound(f"no chunk in {str(work.input)!r} could be read", where=first)
        check_ids(work.survey.ids, work.input, work.options.corpus)
    work.groups = work.survey.groups()
    if work.options.strict and findings:
        raise CheckFailed(
            f"--strict: {len(findings)} findings in {str(work.input)!r}",
            where=str(findings[0]),
            remedy="qembed inspect lists them all; repair the files, or run without --strict",
        )


def count_tokens(work: Work, groups: Groups, counter: TokenCounter | Encoder) -> Lengths:
    """Tokens of each unique text before truncation."""
    lengths = np.empty(len(groups.first), dtype=np.int64)
    with work.phase("tokenize", "counting tokens", total=len(lengths), unit="texts"):
        for start in range(0, len(lengths), TOKENIZE_TEXTS):
            texts = work.spool.texts(groups.first[start : start + TOKENIZE_TEXTS])
            lengths[start : start + len(texts)] = counter.count(texts)
            work.progress.advance(len(texts))
    return lengths


def settings(work: Work) -> dict[str, Any]:
    """What decides the output, apart from chunks and weights."""
    options = work.options
    decided = settings_of(work.source, options.encoder, options.corpus)
    return {**decided, "format": options.format, "shard_records": options.shard_records}


def stats_of(
    survey: Survey,
    groups: Groups,
    lengths: Lengths,
    max_tokens: int,
    seconds: npt.NDArray[np.float64] | None = None,
) -> dict[str, SubdirectoryStats]:
    """Statistics by subdirectory; ``seconds`` is the encoding time of each unique text."""
    return subdirectory_stats(
        names=survey.subdirectories,
        files=[survey.files_of(name) for name in survey.subdirectories],
        codes=survey.codes(),
        first=groups.first,
        inverse=groups.inverse,
        lengths=lengths,
        max_tokens=max_tokens,
        seconds=seconds,
    )


def dry_run(work: Work) -> dict[str, Any]:
    """What a run would do; the tokenizer is needed, the weights are not."""
    groups = work.groups
    counter = load_tokenizer(work.source)
    lengths = count_tokens(work, groups, counter)
    max_tokens = work.options.encoder.max_length or counter.max_tokens
    budget = work.options.token_budget or default_token_budget(list_devices(work.options.encoder.device)[0])
    read = clip(lengths, max_tokens)
    batches = make_batches(read, token_budget=budget, max_batch=work.options.max_batch)
    stats = stats_of(work.survey, groups, lengths, max_tokens)
    return {
        "collection": work.collection,
        "model": {"id": work.source.id, "max_tokens": max_tokens},
        "total_chunks": len(work.survey),
        "unique_texts": len(groups.first),
        "total_tokens": int(lengths[groups.inverse].sum()),
        "tokens_to_encode": int(read.sum()),
        "truncated_chunks": sum(entry.truncated_chunks for entry in stats.values()),
        "tokens_lost": sum(entry.tokens_lost for entry in stats.values()),
        "batches": len(batches),
        "token_budget": budget,
        "padding_waste": round(padding_waste(read, batches), 6),
        "skipped": [describe_finding(finding) for finding in work.survey.findings],
        "subdirectories": {name: asdict(entry) for name, entry in stats.items()},
    }
