"""``embed``: a folder of chunks becomes a file of vectors, with a summary and a manifest."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qembed.api.embed_output import earlier_summary, write_embeddings
from qembed.api.embed_steps import (
    EmbedOptions,
    Work,
    check_model_can_run,
    count_tokens,
    read_corpus,
    settings,
    stats_of,
)
from qembed.corpus import collection_name
from qembed.corpus.survey import Groups
from qembed.corpus.walk import walk
from qembed.engine import (
    BatchDone,
    OomSplit,
    clip,
    default_token_budget,
    encode_batches,
    make_batches,
    padding_waste,
    peak_memory_bytes,
)
from qembed.engine.batching import Batch
from qembed.models import Encoder, fetch, load_tokenizer, resolve_model
from qembed.models.device import pick_device
from qembed.progress import Progress
from qembed.records import Lengths, Vectors
from qembed.store import (
    Inputs,
    Manifest,
    OutputFiles,
    Spool,
    build_summary,
    describe_finding,
    environment,
    open_vectors,
    publish,
    staging,
    work_folder,
    write_json,
)

__all__ = ["EmbedOptions", "EmbedResult", "embed"]


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
    input, output = Path(input), Path(output)
    collection = collection_name(input, options.corpus.collection)
    files = OutputFiles.in_folder(output, collection)
    source = resolve_model(options.model, revision=options.encoder.revision)
    next(walk(input))  # nothing to read: say so before an output folder is made
    may_be_done = files.manifest.exists() and not options.force
    if not may_be_done and not options.dry_run:
        check_model_can_run(source, options)
    try:
        with ExitStack() as stack:
            if options.dry_run:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qembed-")))
            else:
                folder = stack.enter_context(work_folder(output, collection))
            spool = stack.enter_context(closing(Spool(folder)))
            work = Work(input, options, progress, source, collection, files, folder, spool)
            read_corpus(work)
            if options.dry_run:
                return EmbedResult("planned", files, _plan(work))
            if not options.force:
                earlier = earlier_summary(files, work.survey.fingerprint(), settings(work), source)
                if earlier is not None:
                    return EmbedResult("unchanged", files, earlier)
            if may_be_done:
                check_model_can_run(source, options)
            return _embed(work)
    finally:
        progress.close()


def _plan(work: Work) -> dict[str, Any]:
    """What a run would do; the tokenizer is needed, the weights are not."""
    groups = work.survey.groups()
    counter = load_tokenizer(work.source)
    lengths = count_tokens(work, groups, counter)
    max_tokens = work.options.encoder.max_length or counter.max_tokens
    budget = work.options.token_budget or default_token_budget(pick_device(work.options.encoder.device))
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


@dataclass(slots=True)
class _Encoded:
    """What encoding left beside the vectors: seconds of each unique text, a row a batch, every split."""

    seconds: npt.NDArray[np.float64]
    history: list[dict[str, Any]]
    splits: list[OomSplit]


def _embed(work: Work) -> EmbedResult:
    """Load the model, encode every unique text, write the three files, all or none."""
    with work.phase("load", f"loading {work.source.id}"):
        encoder = Encoder.load(fetch(work.source), work.options.encoder)
    info = encoder.info
    for difference in info.differences:
        work.progress.note(f"the model differs from the catalog: {difference}")
    groups = work.survey.groups()
    lengths = count_tokens(work, groups, encoder)
    budget = work.options.token_budget or default_token_budget(info.device)
    vectors = open_vectors(work.folder, len(groups.first), info.dimension)
    encoded = _encode(work, encoder, groups, clip(lengths, info.max_tokens), budget, vectors)
    staged = OutputFiles.in_folder(staging(work.folder), work.collection)
    with work.phase("write", "writing", total=len(work.spool), unit="chunks"):
        output = write_embeddings(staged.embeddings, work.spool, groups, lengths, vectors, work.progress)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    summary = build_summary(
        collection=work.collection,
        timestamp=now,
        model=asdict(info),
        findings=work.survey.findings,
        subdirectories=stats_of(work.survey, groups, lengths, info.max_tokens, encoded.seconds),
        unique_texts=len(groups.first),
        batches=encoded.history,
        oom_splits=[asdict(split) for split in encoded.splits],
        token_budget=budget,
        phases_seconds=work.phases_seconds,
        memory=peak_memory_bytes(info.device),
    )
    inputs = Inputs(str(work.input), work.survey.fingerprint(), len(work.survey), len(groups.first))
    manifest = Manifest(work.collection, now, inputs, output, settings(work), asdict(info), environment())
    write_json(staged.summary, summary)
    write_json(staged.manifest, manifest)
    publish(work.folder)
    return EmbedResult("written", work.files, summary, info.differences)


def _encode(
    work: Work, encoder: Encoder, groups: Groups, read: Lengths, budget: int, vectors: Vectors
) -> _Encoded:
    """Fill ``vectors`` with those of all unique texts."""
    encoded = _Encoded(np.zeros(len(groups.first)), [], [])

    def on_split(split: OomSplit) -> None:
        encoded.splits.append(split)
        work.progress.note(
            f"out of memory: a batch of {split.texts} texts is halved, "
            f"from here on at most {split.budget_tokens:,} padded tokens"
        )

    batches = make_batches(read, token_budget=budget, max_batch=work.options.max_batch)
    texts = _texts_at(work.spool, groups)
    with work.phase("encode", "encoding", total=int(read.sum()), unit="tokens"):
        for done in encode_batches(encoder.encode, texts, batches, read, on_split=on_split):
            vectors[done.batch] = done.vectors
            encoded.seconds[done.batch] = done.seconds * read[done.batch] / max(done.tokens, 1)
            encoded.history.append(_history_row(encoder.info.device, done))
            work.progress.advance(done.tokens, texts=len(done.batch))
    return encoded


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
