"""``upload``: embeddings into a collection on a Qdrant server, checked from the first line to the last point.

audit -> lock -> server -> collection -> points -> green -> every point, a sample -> prune
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter

from qembed.commands.upload.collection import indexing_held, prepare_collection
from qembed.commands.upload.connection import Retries, open_server
from qembed.commands.upload.options import UploadOptions
from qembed.commands.upload.points import Points, state_of
from qembed.commands.upload.result import UploadResult
from qembed.commands.upload.steps import check_points, opened_journal, prune_points, send_points, settle
from qembed.errors import CheckFailed
from qembed.index.server.address import Address
from qembed.index.server.client import explained
from qembed.index.server.journal import only_one
from qembed.progress import Progress
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
    has its id from its chunk's, so nothing is ever doubled. Memory: one batch per stream and twice as many
    waiting, 60 bytes per record.

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
        CheckFailed: The audit found errors, or points on the server are not what was sent.
        Unreachable: The server cannot be reached, refuses the key, or failed for too long.
        Mismatch: The collection does not fit the embeddings.
        QembedError: Another upload is running, or the disk of the server is full.
        InputNotFound, UsageError: As ``audit``; a URL that is none.
    """
    started = perf_counter()
    address = Address.of(url, collection, options.vector)
    points = _audited(Path(embeddings), options, progress)
    retries = Retries(progress)
    try:
        with only_one(address):
            progress.phase("connecting")
            client, version = open_server(
                address, options, retries, api_key=api_key, ask_key=ask_key, note=progress.note
            )
            with closing(client), explained(address, client):
                target = prepare_collection(client, address, points, options, version=version)
                with opened_journal(address, points) as journal:
                    with indexing_held(client, target, options):
                        totals = send_points(
                            client, address, points, journal, options, retries.stop, progress
                        )
                    green = settle(client, address, options, progress)
                    others, sampled = check_points(client, address, points, target.datatype, progress)
                pruned = (
                    prune_points(client, address, points, confirm_prune, progress) if options.prune else 0
                )
    finally:
        retries.stop.set()
        progress.close()
    return UploadResult(
        url=address.url,
        collection=address.collection,
        vector=address.vector,
        embeddings=str(points.path),
        dimension=points.dimension,
        created=target.created,
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
    )


def _audited(embeddings: Path, options: UploadOptions, progress: Progress) -> Points:
    """The points of sound embeddings."""
    found = find_embeddings(embeddings)
    before = state_of(found)
    report = audit(found.path, progress=progress)
    if not report.sound():
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.counts.items())
        raise CheckFailed(
            f"the embeddings have errors, so nothing is uploaded: {kinds}",
            where=str(report.file),
            remedy=f"qembed audit {report.file}",
        )
    return Points(found, report, before, options)
