"""``upload``: embeddings into a collection on a Qdrant server, checked from the first line to the last point.

audit -> gate -> server -> plan -> lock -> collection -> points -> green -> checks -> prune -> alias
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from qembed.commands.upload.collection import UploadPlan, conclude, decide, indexing_held, make_ready
from qembed.commands.upload.connection import server_of
from qembed.commands.upload.options import UploadOptions
from qembed.commands.upload.points import Points, state_of
from qembed.commands.upload.result import UploadResult
from qembed.commands.upload.steps import (
    check_points,
    count_vanished,
    opened_journal,
    prune_points,
    send_points,
    settle,
)
from qembed.errors import CheckFailed
from qembed.index.server.address import Address
from qembed.index.server.journal import only_one
from qembed.progress import Progress
from qembed.report.gated import bench_that_passed
from qembed.shell import shell_line
from qembed.store import find_embeddings
from qembed.store.audit.report import audit


def upload(
    embeddings: Path,
    *,
    url: str,
    collection: str,
    options: UploadOptions = UploadOptions(),
    api_key: str | None = None,
    ask_key: Callable[[], str] | None = None,
    confirm_prune: Callable[[Sequence[str]], bool] = lambda _: True,
    progress: Progress = Progress(),
) -> UploadResult:
    """Upload embeddings of any format into a collection on a Qdrant server.

    The collection is made if it is absent. The same call again resumes after a failure or a kill: every point
    has its id from its chunk's, so nothing is ever doubled. Memory: two batches per stream, and 60
    bytes per record.

    Args:
        embeddings: The file (any shard means all), or the folder that holds it and its manifest.
        url: The server's REST API, e.g. ``http://localhost:6333``.
        collection: Name of the collection, or an alias of it.
        options: Everything else.
        api_key: Key of the server; that in ``QDRANT_API_KEY`` when None. It is kept and shown nowhere.
        ask_key: Asks for a key where the server wants one and there is none.
        confirm_prune: Asked before points are deleted, with the ids of their chunks; False keeps them.
        progress: Receives the progress of every phase.

    Raises:
        CheckFailed: The audit found errors, no bench vouches for the embeddings, points on the server are not
            what was sent, or it still indexes and so the alias did not move.
        Unreachable: The server cannot be reached, refuses the key, or failed for too long.
        Mismatch: The collection does not fit the embeddings.
        QembedError: Another upload is running, or the disk of the server is full.
        InputNotFound, UsageError: As ``audit``; a URL that is none.
    """
    started = perf_counter()
    asked = Address.of(url, collection, options.vector)
    points, bench = _vouched_for(Path(embeddings), options, progress)
    with server_of(asked, options, api_key=api_key, ask_key=ask_key, progress=progress) as server:
        client, version, retries = server
        decided = decide(client, asked, points, options, version, bench)
        address, plan = decided.address, decided.plan
        with only_one(address), opened_journal(address, points) as journal:
            datatype = make_ready(client, decided, points)
            with indexing_held(client, decided):
                totals = send_points(client, address, points, journal, options, retries.stop, progress)
            green = settle(client, address, options, progress)
            others, sampled = check_points(client, address, points, datatype, journal, progress)
            pruned = prune_points(client, address, points, confirm_prune, progress) if options.prune else 0
            said = conclude(client, decided, points, green=green)
    return UploadResult(
        url=address.url,
        collection=address.collection,
        vector=address.vector,
        embeddings=str(points.path),
        dimension=points.dimension,
        model=points.model_name,
        created=plan.create,
        resumed=totals.resumed,
        records=points.records,
        sent=totals.sent,
        unchanged=totals.unchanged,
        retried=retries.count,
        halved=totals.halved,
        pruned=pruned,
        other_points=others - pruned,
        sampled=sampled,
        green=green,
        bytes_sent=totals.bytes,
        seconds_sending=totals.seconds,
        seconds=perf_counter() - started,
        alias=plan.alias,
        alias_before=plan.alias_before,
        replaces=plan.replaces,
        bench=str(bench) if bench else None,
        remarks=(*plan.remarks, *said),
        later=plan.later,
        back=plan.back,
    )


def plan_upload(
    embeddings: Path,
    *,
    url: str,
    collection: str,
    options: UploadOptions = UploadOptions(),
    api_key: str | None = None,
    ask_key: Callable[[], str] | None = None,
    progress: Progress = Progress(),
) -> UploadPlan:
    """What ``upload`` would do with the same arguments; changes nothing, on the server or here.

    Raises:
        QembedError: As ``upload``, before anything is sent.
    """
    asked = Address.of(url, collection, options.vector)
    points, bench = _vouched_for(Path(embeddings), options, progress)
    with server_of(asked, options, api_key=api_key, ask_key=ask_key, progress=progress) as server:
        client, version, _ = server
        decided = decide(client, asked, points, options, version, bench)
        if not options.prune:
            return decided
        gone = count_vanished(client, decided.address, points, progress) if not decided.plan.create else 0
        return replace(decided, pruned=gone)


def _vouched_for(embeddings: Path, options: UploadOptions, progress: Progress) -> tuple[Points, Path | None]:
    """The points of sound embeddings, and the bench that vouches for them where one is asked for."""
    found = find_embeddings(embeddings)
    before = state_of(found)
    report = audit(found.path, progress=progress)
    if not report.sound():
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.counts.items())
        raise CheckFailed(
            f"the embeddings have errors, so nothing is uploaded: {kinds}",
            where=str(report.file),
            remedy=shell_line("qembed", "audit", report.file),
        )
    if report.read_as:
        progress.note(report.read_as)
    points = Points(found, report, before, options)
    if options.gate is None:
        return points, None
    return points, bench_that_passed(options.gate, points.sha256, embeddings=embeddings)
