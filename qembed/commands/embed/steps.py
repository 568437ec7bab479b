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

from qembed.corpus import CorpusOptions, check_ids, read_chunks
from qembed.corpus.survey import Groups, Survey
from qembed.engine import Ready, clip, make_batches, padding_waste
from qembed.engine.planning.candidates import Limits
from qembed.engine.planning.choice import Choice, choose, require_gpu
from qembed.engine.planning.facts import model_facts
from qembed.engine.planning.gpus import MIN_GPU_BYTES
from qembed.engine.planning.presets import Device, device_here
from qembed.engine.workers.open import Staff
from qembed.engine.workers.pool import STALL_SECONDS
from qembed.errors import CheckFailed, InputNotFound
from qembed.kaggle import on_kaggle
from qembed.models import (
    DEFAULT_MODEL,
    EncoderOptions,
    ModelSource,
    TokenCounter,
    check_reachable,
    load_tokenizer,
)
from qembed.models.device import list_devices
from qembed.progress import Progress
from qembed.records import Lengths
from qembed.store import OutputFiles, Spool, describe_finding, subdirectory_stats
from qembed.store.earlier import settings_of
from qembed.store.formats import Format
from qembed.store.summary import SubdirectoryStats

TOKENIZE_TEXTS = 2048
"""Texts tokenised at a time: enough to keep all cores busy, little memory."""

_LONGEST_TEXTS = 256
"""The text with most tokens is as good as surely among so many with most characters."""

_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """What ``embed`` is asked for.

    Attributes:
        model: A folder, a hub id, or a name of the catalog.
        corpus: How the chunks are read.
        encoder: How the model is used. With precision ``auto``, precision and sharding are what ``plan``
            chooses for the device.
        token_budget: Largest batch in padded tokens; by device when None.
        max_batch: Largest batch in texts; by device for models of billions of weights when None.
        memory_buffer_bytes: Left free on each device. None: 2 GB, or less where the model needs it.
        format: Format of the output: ``jsonl``, ``parquet`` or ``npy``.
        shard_records: Most records per output file; one file when None.
        cache: A folder that keeps vectors across runs; what is in it is not encoded again.
        time_limit_seconds: Stop before so much time has passed; a later run resumes.
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
    memory_buffer_bytes: int | None = None
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
    device: Device | None = None
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


def check_model_can_run(source: ModelSource, options: EmbedOptions) -> Device:
    """Fail within seconds rather than after a long walk; returns what the run will be on.

    Raises:
        ModelUnreachable: The model is neither here nor on the hub.
        UsageError: The device is not here, or cannot compute in the precision that was asked for.
        QembedError: The model does not fit the device, or wants a GPU.
    """
    check_reachable(source)
    device = device_here(list_devices(options.encoder.device))
    require_gpu(model_facts(source), device, options.encoder.device)
    _choose(source, options, device, longest_tokens=1).require()
    return device


def _choose(source: ModelSource, options: EmbedOptions, device: Device, longest_tokens: int) -> Choice:
    encoder = options.encoder
    limits = Limits(
        options.memory_buffer_bytes,
        options.max_batch,
        options.token_budget,
        encoder.precision,
        encoder.shard,
    )
    return choose(model_facts(source), device, longest_tokens, limits)


def choose_workers(work: Work) -> Staff:
    """Precision, workers and batches for these very texts; ``plan`` comes to the same.

    Raises:
        QembedError: The model does not fit the device with texts of this length.
    """
    options, counter = work.options, load_tokenizer(work.source)
    characters = work.survey.unique_characters(work.groups)
    longest = np.argsort(characters, kind="stable")[::-1][:_LONGEST_TEXTS]
    tokens = int(counter.count(work.spool.texts(work.groups.first[longest])).max())
    read = min(tokens, options.encoder.max_length or counter.max_tokens)
    names = list_devices(options.encoder.device)
    work.device = work.device or device_here(names)
    choice = _choose(work.source, options, work.device, read)
    choice.require()
    if choice.decision.why:
        work.progress.note(choice.decision.why)
    return Staff(
        source=work.source,
        options=options.encoder,
        devices=names,
        choice=choice,
        folder=work.folder,
        count=len(characters),
        tokens=int(characters.sum()) / _CHARACTERS_PER_TOKEN,
        stall_seconds=options.stall_seconds,
        empty_cache_every=options.empty_cache_every,
        note=work.progress.note,
    )


def warn(work: Work, ready: Ready) -> None:
    """Say what the user should know of the model and the device before the work begins."""
    for difference in ready.info.differences:
        work.progress.note(f"the model differs from the catalog: {difference}")
    small = ready.info.device.startswith("cuda") and ready.memory_total_bytes < MIN_GPU_BYTES
    if small and on_kaggle():
        found = f"{ready.info.device_name} has {ready.memory_total_bytes / 1e9:.1f} GB"
        work.progress.note(f"{found}, less than the {MIN_GPU_BYTES / 1e9:.1f} GB of a T4")


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


def count_tokens(work: Work, groups: Groups, counter: TokenCounter) -> Lengths:
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
    chosen = choose_workers(work).choice.require()
    budget = work.options.token_budget or chosen.budget_tokens
    read = clip(lengths, max_tokens)
    batches = make_batches(read, token_budget=budget, max_batch=chosen.max_batch)
    stats = stats_of(work.survey, groups, lengths, max_tokens)
    return {
        "collection": work.collection,
        "model": {"id": work.source.id, "dtype": chosen.precision, "max_tokens": max_tokens},
        "workers": chosen.workers,
        "sharded": chosen.sharded,
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
