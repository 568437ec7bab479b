"""``embed``: a folder of chunks becomes a file of vectors, with a summary and a manifest."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np

from qembed.commands.embed.steps import (
    EmbedOptions,
    Work,
    check_model_can_run,
    choose_workers,
    dry_run,
    read_corpus,
    settings,
    stats_of,
    warn,
)
from qembed.commands.embed.write import ChunkWriter
from qembed.corpus import collection_name
from qembed.corpus.walk import walk
from qembed.engine import Encoded, Pool, Ready, TaskDone, deadline, encode_rows, peak_memory_bytes
from qembed.engine.workers.open import open_workers, plan_batches
from qembed.errors import QembedError, TimeLimitReached
from qembed.models import fetch, load_tokenizer, resolve_model
from qembed.progress import DeviceStatus, Progress
from qembed.store import (
    EncodingWork,
    Inputs,
    Manifest,
    Output,
    OutputFiles,
    Spool,
    build_summary,
    discard,
    environment,
    explained,
    publish,
    staging,
    work_folder,
    write_json,
)
from qembed.store.earlier import earlier_summary, replaced_files
from qembed.store.resume import Begun, begin, remember

__all__ = ["EmbedOptions", "EmbedResult", "embed"]

_RESERVE_SECONDS = 60.0
_RESERVE_SHARE = 0.05


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

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Chunks without a vector, with the reason; empty where all went well."""
        return list(self.summary.get("failed", []))


def embed(
    input: Path,
    output: Path,
    options: EmbedOptions = EmbedOptions(),
    *,
    progress: Progress = Progress(),
) -> EmbedResult:
    """Turn every chunk below ``input`` into a vector.

    Each unique text is encoded once, in batches of like length, on every device; the vectors are fanned out
    to duplicates and written in input order as ``{collection}_embeddings.jsonl``, with a summary and a
    manifest. Nothing takes its final name before it is complete. A run that was interrupted, however, is
    taken up by the next one with the same inputs and settings; where all is done, that does nothing.

    Args:
        input: A folder of chunk files, or one file.
        output: The folder for the three files; made if need be.
        options: See ``EmbedOptions``.
        progress: Receives the progress of every phase.

    Raises:
        InputNotFound: No chunk could be read.
        DuplicateIds: Two chunks have one id.
        CheckFailed: ``strict``, and something could not be read.
        TimeLimitReached: ``time_limit_seconds``; what is finished is kept.
        OutputExists: Output or unfinished work of other inputs or settings is there, and not ``force``.
        ModelUnreachable: The model is neither here nor on the hub.
        UsageError: An option that does not fit.
        QembedError: The model does not fit the device, every device was lost, or the disk is full.
    """
    input, output = Path(input), Path(output)
    collection = collection_name(input, options.corpus.collection)
    files = OutputFiles.in_folder(output, collection, options.format)
    source = resolve_model(options.model, revision=options.encoder.revision)
    next(walk(input))  # nothing to read: say so before an output folder is made
    may_be_done = files.manifest.exists() and not options.force
    device = None if may_be_done or options.dry_run else check_model_can_run(source, options)
    try:
        with ExitStack() as stack:
            if options.dry_run:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qembed-")))
            else:
                folder = stack.enter_context(work_folder(output, collection))
            spool = stack.enter_context(closing(Spool(folder)))
            work = Work(input, options, progress, source, collection, files, folder, spool, device)
            read_corpus(work)
            if options.dry_run:
                return EmbedResult("planned", files, dry_run(work))
            if not options.force:
                earlier = earlier_summary(files, work.survey.fingerprint(), settings(work), source)
                if earlier is not None:
                    discard(folder)  # what may be left of the run that wrote the output
                    return EmbedResult("unchanged", files, earlier)
            if may_be_done:
                work.device = check_model_can_run(source, options)
            return _embed(work)
    finally:
        progress.close()


def _embed(work: Work) -> EmbedResult:
    """Load the model on every device, encode every unique text, write all files or none."""
    options, folder = work.options, work.folder
    staff = choose_workers(work)  # before gigabytes are downloaded
    staff.source = work.source = fetch(work.source)
    with ExitStack() as stack:
        with work.phase("load", f"loading {work.source.id}"):
            pool = stack.enter_context(closing(open_workers(staff)))
            ready = pool.ready()
        warn(work, ready)
        begun = begin(
            folder,
            work.files.embeddings.parent,
            ready.info,
            inputs=work.survey.fingerprint(),
            digests=work.survey.digests(work.groups),
            plan=lambda earlier: plan_batches(staff.choice, ready, earlier, work.progress.note),
            cache=options.cache,
            force=options.force,
            note=work.progress.note,
        )
        writer = ChunkWriter(
            staging(folder),
            work.collection,
            options.format,
            options.shard_records,
            work.spool,
            work.groups,
            begun.rows,
            begun.lengths,
        )
        try:
            encoded = _encode(work, pool, begun, writer)
            with work.phase("write", "writing", total=len(work.spool), unit="chunks"):
                written = writer.finish(work.progress, [failure.row for failure in encoded.failures])
        except BaseException:
            writer.cancel()
            if not begun.rows.checksums.any():
                discard(folder)  # nothing to go on with
            raise
        devices = list(pool.statuses())
    remember(begun, work.progress.note)
    summary = _summary(work, ready, begun, encoded, devices)
    _publish(work, ready, written, summary)
    return EmbedResult("written", work.files, summary, ready.info.differences)


def _encode(work: Work, pool: Pool, begun: Begun, writer: ChunkWriter) -> Encoded:
    """Fill the rows; what is finished stays, however this ends.

    Raises:
        TimeLimitReached: Before all are done.
        QembedError: Not one text has a vector.
    """
    first, limit = work.groups.first, work.options.time_limit_seconds
    reserve = min(_RESERVE_SECONDS, (limit or 0.0) * _RESERVE_SHARE)
    left = None if limit is None else limit - (monotonic() - work.started)
    tokenizer = load_tokenizer(work.source)
    tokenizer.document_prompt = pool.ready().info.document_prompt
    kept = "what is finished is kept: the same command resumes there"
    try:
        with work.phase("encode", "encoding", unit="tokens"), explained(work.folder):
            encoded = encode_rows(
                pool,
                begun.rows,
                lambda start, end: work.spool.texts(first[start:end]),
                tokenizer,
                begun.plan,
                work.folder,
                lengths=begun.lengths,
                finished=begun.finished,
                skip=begun.cached,
                sizes=work.survey.unique_characters(work.groups),
                progress=work.progress,
                on_rows=writer.rows_done,
                stop=deadline(left, reserve_seconds=reserve),
            )
    except KeyboardInterrupt:
        work.progress.note(f"interrupted; {kept}")
        raise
    except QembedError:
        raise
    except Exception as error:  # of the model, in this process; other processes wrap theirs
        reason = (str(error).splitlines() or [""])[0]
        raise QembedError(f"the model failed: {type(error).__name__}: {reason}", remedy=kept) from error
    if len(encoded.failures) == len(first):
        reason = encoded.failures[0].reason
        raise QembedError("no text has a vector", where=reason, remedy="try another --precision or --device")
    if encoded.stopped:
        done, count = int(begun.rows.done().sum()), len(first)
        raise TimeLimitReached(f"the time limit came after {done:,} of {count:,} texts", remedy=kept)
    return encoded


def _summary(
    work: Work, ready: Ready, begun: Begun, encoded: Encoded, devices: list[DeviceStatus]
) -> dict[str, Any]:
    info, groups = ready.info, work.groups
    failed = _failed_chunks(work, encoded)
    seconds = encoded.seconds.astype(np.float64)
    return build_summary(
        collection=work.collection,
        timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
        model=asdict(info),
        findings=work.survey.findings,
        subdirectories=stats_of(work.survey, groups, begun.lengths, info.max_tokens, seconds),
        unique_texts=len(groups.first),
        failed=failed,
        work=EncodingWork(
            texts=encoded.texts,
            tokens=encoded.tokens,
            padded_tokens=encoded.padded_tokens,
            batches=encoded.batches,
            history=[_history_row(done) for done in encoded.history],
            splits=[asdict(split) for split in encoded.splits],
            retried=len(encoded.retried),
            resumed=encoded.resumed,
            cached=int(begun.cached.sum()),
        ),
        devices=[_device_row(status) for status in devices],
        token_budget=begun.plan.token_budget,
        phases_seconds=work.phases_seconds,
        memory=_peak_memory(devices),
    )


def _publish(work: Work, ready: Ready, written: Output, summary: dict[str, Any]) -> None:
    """Summary and manifest beside the staged embeddings; then all take their final names, or none."""
    staged = OutputFiles.in_folder(staging(work.folder), work.collection, work.options.format)
    inputs = Inputs(str(work.input), work.survey.fingerprint(), len(work.survey), len(work.groups.first))
    manifest = Manifest(
        work.collection,
        summary["timestamp"],
        inputs,
        written,
        settings(work),
        asdict(ready.info),
        environment(),
    )
    write_json(staged.summary, summary)
    write_json(staged.manifest, manifest)
    publish(work.folder, replaced=replaced_files(work.files))


def _failed_chunks(work: Work, encoded: Encoded) -> list[dict[str, Any]]:
    """One entry for every chunk whose text has no vector."""
    found = []
    for failure in sorted(encoded.failures, key=lambda failure: failure.row):
        for chunk in np.flatnonzero(work.groups.inverse == failure.row).tolist():
            entry = {"tokens": failure.tokens, "kind": failure.kind, "reason": failure.reason}
            found.append({"id": work.spool[chunk].id, **entry})
    return found


def _history_row(done: TaskDone) -> dict[str, Any]:
    return {
        "device": done.device,
        "texts": done.texts,
        "tokens": done.tokens,
        "padded_tokens": done.padded_tokens,
        "seconds": round(done.seconds, 4),
    }


def _device_row(status: DeviceStatus) -> dict[str, Any]:
    keys = ("device", "name", "texts", "tokens", "seconds", "splits", "restarts")
    peaks = ("peak_host_bytes", "peak_device_bytes")
    return {key: getattr(status, key) for key in (*keys, *peaks)} | {"seconds": round(status.seconds, 3)}


def _peak_memory(devices: list[DeviceStatus]) -> dict[str, int]:
    """Host memory of all processes together, at worst; and of the GPU that held most."""
    own = peak_memory_bytes("cpu")["host_bytes"]
    inside = devices[0].device == "cpu"  # the worker is this process
    workers = 0 if inside else sum(status.peak_host_bytes for status in devices)
    peaks = {"host_bytes": own + workers}
    if on_gpus := max(status.peak_device_bytes for status in devices):
        peaks["device_bytes"] = on_gpus
    return peaks
