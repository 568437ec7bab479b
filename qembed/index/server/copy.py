"""A collection read by scroll into a local file, for what needs every vector or text.

The copy is a file of JSON lines, one point per line, in the user's cache. It lasts as long as it is read: a
server does not tell whether its points have changed since. Only what an interrupted scroll has read is kept
for the next one, for a day, and only where the collection has the same configuration and number of points and
a sample of the points is still the same.

    points.jsonl   {"id", "vector", "payload"}
    pages.jsonl    what is read, then per page: points and bytes so far, and where the next page begins
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import count, pairwise
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import orjson
from filelock import FileLock, Timeout

from qembed.errors import QembedError
from qembed.index.server.reading import scroll_page
from qembed.index.server.served import Served
from qembed.progress import Progress
from qembed.store import USUAL, Embeddings, Keys
from qembed.user_cache import VARIABLE, user_cache

if TYPE_CHECKING:
    from qdrant_client import models

_SCHEMA = "qembed.scroll/1"
_PAGE_BYTES = 2_000_000
_FIRST_POINTS, _MOST_POINTS = 64, 1000
"""Per page: of the first one, whose size nobody knows yet, and of any other."""
_PAGES_A_COLLECTION = 16
_SAMPLE = 64
_KEPT_SECONDS = 24 * 3600.0
_PAGES = "pages.jsonl"


@dataclass(frozen=True, slots=True)
class _Page:
    """What is written when a page is complete.

    Attributes:
        points: Points so far.
        bytes: Bytes of the copy so far.
        left_out: Points so far that lack the vector.
        next: Point id with which the next page begins; None after the last.
    """

    points: int = 0
    bytes: int = 0
    left_out: int = 0
    next: int | str | None = None


@contextmanager
def local_copy(served: Served, keys: Keys = USUAL, progress: Progress = Progress()) -> Iterator[Embeddings]:
    """Read a whole collection; the copy is removed when the context ends.

    Memory: 16 pages at most, of some 2 MB as JSON. What is interrupted is resumed by the next call.

    Args:
        served: The collection.
        keys: What the user says about the keys of its payloads.
        progress: Receives the progress of every page.

    Raises:
        Unreachable: The server cannot be reached, or fails for too long; what has been read is kept.
        QembedError: The disk is full, or the user's cache cannot be written.
    """
    with _writing():
        folder, lock = _own_folder(served)
    try:
        with _writing():
            points, left_out = _read(served, folder, progress)
        try:
            keys = Keys(text=keys.text, id=keys.id)
            yield Embeddings("jsonl", (points,), keys, str(served.address), left_out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        lock.release()


@contextmanager
def _writing() -> Iterator[None]:
    """Say what to do where the disk is full, or the cache cannot be written."""
    try:
        yield
    except OSError as error:
        raise QembedError(
            f"the copy of the collection cannot be written: {error.strerror or error}",
            where=str(error.filename or user_cache()),
            remedy=f"make room, or name another folder with {VARIABLE}",
        ) from error


def _own_folder(served: Served) -> tuple[Path, FileLock]:
    """A folder of this collection that no other process is using, and the lock that says so."""
    base = user_cache() / "collections"
    base.mkdir(parents=True, exist_ok=True)
    for pages in base.glob(f"*/{_PAGES}"):
        if _age(pages) > _KEPT_SECONDS:  # nobody came back for it
            shutil.rmtree(pages.parent, ignore_errors=True)
    key = sha256(str(served.address).encode()).hexdigest()[:16]
    for number in count(1):
        lock = FileLock(base / f".{key}-{number}.lock")
        with suppress(Timeout):
            lock.acquire(timeout=0)
            break
    folder = base / f"{key}-{number}"
    folder.mkdir(exist_ok=True)
    return folder, lock


def _read(served: Served, folder: Path, progress: Progress) -> tuple[Path, int]:
    """Read every page that is not there yet; returns the file, and how many points lack the vector."""
    points, pages = folder / "points.jsonl", folder / _PAGES
    head = {"schema": _SCHEMA, "collection": str(served.address), **_identity(served)}
    done = _resumed(served, points, pages, head, progress)
    progress.phase("reading the collection", total=served.points, unit="points")
    progress.advance(done.points + done.left_out)
    if not done.points:
        pages.write_bytes(_line(head))
        points.write_bytes(b"")
    with points.open("r+b") as copy, pages.open("ab") as journal:
        copy.seek(done.bytes)
        copy.truncate()
        for number in count(1):
            done = _next_page(served, copy, done, progress)
            copy.flush()
            journal.write(_line(asdict(done)))
            journal.flush()
            if done.next is None:
                break
            if number % _PAGES_A_COLLECTION == 0:
                gc.collect()  # responses hold themselves in circles, and are few enough to be left for long
    _tell(served, done, progress)
    return points, done.left_out


def _next_page(served: Served, copy: BinaryIO, done: _Page, progress: Progress) -> _Page:
    size = _PAGE_BYTES * done.points // done.bytes if done.bytes else _FIRST_POINTS
    found, after = served.ask(
        lambda client: scroll_page(
            client,
            served.address.collection,
            max(1, min(_MOST_POINTS, size)),
            offset=done.next,
            with_payload=True,
            with_vectors=_wanted(served),
        )
    )
    lines = [line for point in found if (line := _point_line(served, point))]
    copy.writelines(lines)
    progress.advance(len(found))
    return _Page(
        done.points + len(lines),
        done.bytes + sum(map(len, lines)),
        done.left_out + len(found) - len(lines),
        after if after is None or isinstance(after, int) else str(after),
    )


def _wanted(served: Served) -> bool | list[str]:
    return [served.address.vector] if served.address.vector else True


def _point_line(served: Served, point: models.Record) -> bytes:
    """A point as a line of the copy; empty where it lacks the vector."""
    vector: Any = point.vector
    if isinstance(vector, dict):
        vector = vector.get(served.address.vector)
    if not vector:
        return b""
    name = point.id if isinstance(point.id, int) else str(point.id)
    numbers = np.asarray(vector, dtype=np.float32)
    value = {"id": name, "vector": numbers, "payload": point.payload or {}}
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


def _identity(served: Served) -> dict[str, Any]:
    return {"dimension": served.dimension, "distance": served.distance, "points": served.points}


def _resumed(served: Served, points: Path, pages: Path, head: dict[str, Any], progress: Progress) -> _Page:
    """How far an interrupted scroll came; the beginning where it is not of this collection as it is now."""
    try:
        first, *rest = pages.read_bytes().splitlines(keepends=True)
        read = _age(pages)
        size = points.stat().st_size
    except (OSError, ValueError):
        return _Page()
    done = [_Page(**orjson.loads(line)) for line in rest if line.endswith(b"\n")]
    done = [page for page in done if page.bytes <= size and page.points]
    if first != _line(head) or not done or done[-1].next is None or read > _KEPT_SECONDS:
        return _Page()
    if not _still_the_same(served, points, done):
        progress.note("the collection has changed since it was read in part; it is read again")
        return _Page()
    progress.note(
        f"resuming: {done[-1].points:,} of {served.points:,} points were read {read / 60:.0f} minutes ago"
    )
    return done[-1]


def _age(path: Path) -> float:
    """Seconds since a file was changed; 0 where it has gone."""
    try:
        return time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _still_the_same(served: Served, points: Path, done: list[_Page]) -> bool:
    """Whether the first points of some pages are on the server as they are in the copy."""
    ends = [0, *(page.bytes for page in done)]
    begins = [begin for begin, end in pairwise(ends) if begin < end]
    lines = set()
    with points.open("rb") as copy:
        for at in np.unique(np.linspace(0, len(begins) - 1, min(len(begins), _SAMPLE)).astype(int)).tolist():
            copy.seek(begins[at])
            lines.add(copy.readline())
    found = served.ask(
        lambda client: client.retrieve(
            served.address.collection,
            [orjson.loads(line)["id"] for line in lines],
            with_payload=True,
            with_vectors=_wanted(served),
        )
    )
    return {_point_line(served, point) for point in found} == lines


def _tell(served: Served, done: _Page, progress: Progress) -> None:
    if done.left_out:
        progress.note(f"points without the vector {served.address.vector!r}, left out: {done.left_out:,}")
    if done.points + done.left_out != served.points:
        progress.note(
            f"the collection changed while it was read: {done.points + done.left_out:,} points came, it had "
            f"{served.points:,} at first"
        )


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
