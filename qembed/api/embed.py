"""``embed``: a folder of chunks becomes a file of vectors, with a summary and a manifest."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qembed.api.embed_output import earlier_summary, settings_of, write_embeddings
from qembed.corpus import CorpusOptions, check_ids, collection_name, read_chunks
from qembed.corpus.survey import Groups, Survey
from qembed.engine import (
    BatchDone,
    check_fits,
    clip,
    default_token_budget,
    encode_batches,
    make_batches,
    padding_waste,
    peak_memory_bytes,
)
from qembed.engine.batching import Batch
from qembed.errors import CheckFailed, InputNotFound, QembedError
from qembed.models import (
    DEFAULT_MODEL,
    Encoder,
    EncoderOptions,
    ModelSource,
    check_reachable,
    fetch,
    load_tokenizer,
    resolve_model,
)
from qembed.models.encoder import pick_device, pick_precision
from qembed.models.tokens import TokenCounter
from qembed.models.weights import weight_bytes
from qembed.progress import Progress
from qembed.records import Lengths
from qembed.store import (
    Inputs,
    Manifest,
    OutputFiles,
    Spool,
    build_summary,
    describe_finding,
    environment,
    open_vectors,
    subdirectory_stats,
    work_folder,
    write_json,
)
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
        strict: Any finding stops the run before the model is loaded.
        force: Replace output that was made otherwise.
        dry_run: Say what would happen, write nothing.
    """

    model: str = DEFAULT_MODEL
    corpus: CorpusOptions = field(default_factory=CorpusOptions)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    token_budget: int | None = None
    max_batch: int | None = None
    strict: bool = False
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """What ``embed`` did.

    Attributes:
        status: ``written``; ``unchanged`` (the output is there already); ``planned`` (dry run).
        files: The output's names.
        summary: As in the summary file; of a dry run, what is known before encoding.
        differences: Where the loaded model says otherwise than the catalog.
    """

    status: Literal["written", "unchanged", "planned"]
    files: OutputFiles
    summary: dict[str, Any]
    differences: tuple[str, ...] = ()


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

    @contextmanager
    def phase(self, name: str, shown: str, *, total: int | None = None, unit: str = "") -> Iterator[None]:
        """Time a phase and tell of it."""
        self.progress.phase(shown, total=total, unit=unit)
        started = perf_counter()
        yield
        self.phases_seconds[name] = perf_counter() - started


def embed(
    input: Path,
    output: Path,
    options: EmbedOptions = EmbedOptions(),
    *,
    progress: Progress = Progress(),
) -> EmbedResult:
    """Turn every chunk below ``input`` into a vector.

    Each unique text is encoded once, in batches of like length; the vectors are fanned out to duplicates and
    written in input order as ``{collection}_embeddings.jsonl``, with a summary and a manifest. Nothing takes
    its final name before it is complete. A second run with the same inputs and settings does nothing.

    Args:
        input: A folder of chunk files, or one file.
        output: The folder for the three files; made if need be.
        options: See ``EmbedOptions``.
        progress: Told of every phase.

    Raises:
        InputNotFound: No chunk could be read.
        DuplicateIds: Two chunks have one id.
        CheckFailed: ``strict``, and something could not be read.
        OutputExists: Output of other inputs or settings is there, and not ``force``.
        ModelUnreachable: The model is neither here nor on the hub.
        UsageError: An option that does not fit.
        QembedError: The model does not fit the device, or the disk is full.
    """
    collection = collection_name(input, options.corpus.collection)
    files = OutputFiles.in_folder(output, collection)
    source = resolve_model(options.model, revision=options.encoder.revision)
    may_be_done = files.manifest.exists() and not options.force
    if not may_be_done and not options.dry_run:
        _check_model_can_run(source, options)
    try:
        with ExitStack() as stack:
            if options.dry_run:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qembed-")))
            else:
                folder = stack.enter_context(work_folder(output, collection))
            spool = stack.enter_context(closing(Spool(folder)))
            work = Work(input, options, progress, source, collection, files, folder, spool)
            _read(work)
            if options.dry_run:
                return EmbedResult("planned", files, _plan(work))
            if not options.force:
                earlier = earlier_summary(files, work.survey.fingerprint(), _settings(work), source)
                if earlier is not None:
                    return EmbedResult("unchanged", files, earlier)
            if may_be_done:
                _check_model_can_run(source, options)
            return _embed(work)
    finally:
        progress.close()


def _check_model_can_run(source: ModelSource, options: EmbedOptions) -> None:
    """Fail within seconds rather than after a long walk."""
    check_reachable(source)
    card = source.card
    device = pick_device(options.encoder.device)
    if card and card.parameters > HUGE_PARAMETERS and device == "cpu" and options.encoder.device == "auto":
        raise QembedError(
            f"{card.id} has {card.parameters / 1e9:.2f} billion parameters and this machine has no GPU",
            remedy="choose a small model (--model minilm), or force this one with --device cpu",
        )
    dtype = pick_precision(options.encoder.precision, device)
    if card:
        check_fits(card.id, getattr(card.weight_bytes, dtype), device, dtype)
    elif source.path is not None:
        check_fits(source.id, weight_bytes(source.path), device, dtype)


def _read(work: Work) -> None:
    """Walk the corpus once: to disk, and into the survey."""
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
    if work.options.strict and findings:
        raise CheckFailed(
            f"--strict: {len(findings)} findings in {str(work.input)!r}",
            where=str(findings[0]),
            remedy="qembed inspect lists them all; repair the files, or run without --strict",
        )


def _count_tokens(work: Work, groups: Groups, counter: TokenCounter | Encoder) -> Lengths:
    """Tokens of each unique text before truncation."""
    lengths = np.empty(len(groups.first), dtype=np.int64)
    with work.phase("tokenize", "counting tokens", total=len(lengths), unit="texts"):
        for start in range(0, len(lengths), TOKENIZE_TEXTS):
            texts = work.spool.texts(groups.first[start : start + TOKENIZE_TEXTS])
            lengths[start : start + len(texts)] = counter.count(texts)
            work.progress.advance(len(texts))
    return lengths


def _plan(work: Work) -> dict[str, Any]:
    """What a run would do; the tokenizer is needed, the weights are not."""
    groups = work.survey.groups()
    counter = load_tokenizer(work.source)
    lengths = _count_tokens(work, groups, counter)
    max_tokens = work.options.encoder.max_length or counter.max_tokens
    budget = work.options.token_budget or default_token_budget(work.options.encoder.device)
    read = clip(lengths, max_tokens)
    batches = make_batches(read, token_budget=budget, max_batch=work.options.max_batch)
    stats = _stats(work.survey, groups, lengths, max_tokens)
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


def _embed(work: Work) -> EmbedResult:
    """Load the model, encode every unique text, write the three files; the manifest last."""
    options = work.options
    with work.phase("load", f"loading {work.source.id}"):
        encoder = Encoder.load(fetch(work.source), options.encoder)
    info = encoder.info
    for difference in info.differences:
        work.progress.note(f"the model differs from the catalog: {difference}")
    groups = work.survey.groups()
    lengths = _count_tokens(work, groups, encoder)
    read = clip(lengths, info.max_tokens)
    budget = options.token_budget or default_token_budget(info.device)
    batches = make_batches(read, token_budget=budget, max_batch=options.max_batch)
    vectors = open_vectors(work.folder, len(groups.first), info.dimension)
    seconds = np.zeros(len(groups.first))
    history: list[dict[str, Any]] = []
    with work.phase("encode", "encoding", total=int(read.sum()), unit="tokens"):
        for done in encode_batches(encoder.encode, _texts_at(work.spool, groups), batches, read):
            vectors[done.batch] = done.vectors
            seconds[done.batch] = done.seconds * read[done.batch] / done.tokens
            history.append(_history_row(info.device, done))
            work.progress.advance(done.tokens, texts=len(done.batch))
    with work.phase("write", "writing", total=len(work.spool), unit="chunks"):
        output = write_embeddings(
            work.files, work.folder, work.spool, groups, lengths, vectors, work.progress
        )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    summary = build_summary(
        collection=work.collection,
        timestamp=now,
        model=asdict(info),
        findings=work.survey.findings,
        subdirectories=_stats(work.survey, groups, lengths, info.max_tokens, seconds),
        unique_texts=len(groups.first),
        batches=history,
        padding_waste=padding_waste(read, batches),
        token_budget=budget,
        phases_seconds=work.phases_seconds,
        memory=peak_memory_bytes(info.device),
    )
    inputs = Inputs(str(work.input), work.survey.fingerprint(), len(work.survey), len(groups.first))
    manifest = Manifest(work.collection, now, inputs, output, _settings(work), asdict(info), environment())
    write_json(work.files.summary, summary, work=work.folder)
    write_json(work.files.manifest, manifest, work=work.folder)
    return EmbedResult("written", work.files, summary, info.differences)


def _settings(work: Work) -> dict[str, Any]:
    options = work.options
    return settings_of(work.source, options.encoder, options.corpus)


def _texts_at(spool: Spool, groups: Groups) -> Callable[[Batch], list[str]]:
    return lambda batch: spool.texts(groups.first[batch])


def _history_row(device: str, done: BatchDone) -> dict[str, Any]:
    return {
        "device": device,
        "texts": len(done.batch),
        "tokens": done.tokens,
        "padded_tokens": done.padded_tokens,
        "seconds": round(done.seconds, 4),
    }


def _stats(
    survey: Survey,
    groups: Groups,
    lengths: Lengths,
    max_tokens: int,
    seconds: npt.NDArray[np.float64] | None = None,
) -> dict[str, SubdirectoryStats]:
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
