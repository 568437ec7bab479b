"""The hidden folders of an unfinished run beside its output, and how its files take their final names.

    .NAME.lock     held while a run writes the collection NAME here
    .NAME.work     unfinished work; ``staged`` in it holds files that only make sense together
    .NAME.ready    staged files that are complete and take their names now, also after ``kill -9``

All three are made here and carry a marker. What carries none, is a link, or belongs to somebody else is never
read, emptied or moved.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson
from filelock import FileLock, Timeout

from qembed.errors import UsageError
from qembed.store.atomic import explained

JOURNAL = "journal.json"
"""While it is in a work folder, it and the finished rows beside it outlive the run."""
MARKER = ".made-by-qembed"
"""Lies in every folder made here; in a folder that is ready it lists the files that are replaced."""

_KEPT = {JOURNAL, MARKER, "vectors.f32", "done.u32", "cached.u8"}


@contextmanager
def work_folder(output: Path, collection: str) -> Iterator[Path]:
    """A hidden folder beside the output for unfinished work, locked; gone when the work is published.

    If it holds a journal, the journal and the finished rows are kept for the next run. Everything else that a
    killed run left is removed first, and what it had begun to publish is published. Files are moved from it
    to their final names on the same file system, so a reader never sees half a file.

    Raises:
        UsageError: Another run holds it, the output is not a folder, or something that qembed did not make
            stands where the work folder belongs.
        QembedError: The disk is full or cannot be written.
    """
    if (output.exists() or output.is_symlink()) and not output.is_dir():
        raise UsageError(f"the output {str(output)!r} is not a folder", remedy="give another -o folder")
    folder = output / f".{collection}.work"
    with explained(output):
        output.mkdir(parents=True, exist_ok=True)
    with _lock(output, collection):
        try:
            with explained(output):
                if _finish(_ready(folder)):
                    discard(folder)
                _tidy(folder)
                _make(folder)
            yield folder
        finally:
            _tidy(folder)


def staging(work: Path) -> Path:
    """A folder in the work folder for files that only make sense together; ``publish`` gives them out."""
    folder = work / "staged"
    _make(folder)
    return folder


def publish(work: Path, *, replaced: Iterable[str] = ()) -> None:
    """Give all staged files their final names beside the work folder: all or none, even after ``kill -9``.

    One rename decides. If the run is killed after it, the next ``work_folder`` finishes; until then readers
    refuse the set (``check_published``).

    Args:
        work: The work folder.
        replaced: Names of files that the new set replaces, as the manifest of the old set lists them. They
            are removed where no new file takes their name.

    Raises:
        QembedError: The disk cannot be written; nothing was replaced.
    """
    staged = staging(work)
    with explained(work.parent):
        # Only what no new file replaces: this list outlives a kill, when some new files have their names.
        gone = set(replaced) - {path.name for path in staged.iterdir()}
        (staged / MARKER).write_bytes(orjson.dumps(sorted(gone)))
        staged.replace(_ready(work))
        _finish(_ready(work))
        discard(work)


def check_published(folder: Path, collection: str) -> None:
    """Refuse a set of files that a run has begun to replace and has not finished.

    Raises:
        UsageError: Some of its files may be old and some new.
    """
    if (folder / f".{collection}.ready").is_dir():
        raise UsageError(
            f"a run has not finished writing {collection!r} here: some files may be old and some new",
            where=str(folder),
            remedy="wait a moment; if it was interrupted, the same qembed embed command finishes it",
        )


def discard(work: Path) -> None:
    """Empty a work folder, journal first: half-removed rows must not look like a run to resume."""
    if _is_ours(work):
        (work / JOURNAL).unlink(missing_ok=True)
        shutil.rmtree(work, ignore_errors=True)


def forget(work: Path) -> None:
    """Remove a journal and what it stood for, journal first; the rest of the work folder stays."""
    for name in (JOURNAL, *sorted(_KEPT - {JOURNAL, MARKER})):
        (work / name).unlink(missing_ok=True)


@contextmanager
def _lock(output: Path, collection: str) -> Iterator[None]:
    path = output / f".{collection}.lock"
    if path.is_symlink() or (path.exists() and (not path.is_file() or path.stat().st_size)):
        raise _foreign(path, "is not a lock file of qembed")
    lock = FileLock(path)
    with explained(output):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"another run is writing the collection {collection!r} here",
                where=str(output),
                remedy="wait for it, or give another -o folder or --collection",
            ) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _make(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / MARKER).touch()


def _is_ours(folder: Path) -> bool:
    """Whether a folder is there that was made here. It is looked at through one descriptor, never a link.

    Raises:
        UsageError: Something else is there.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _foreign(folder, "is a link or a file, not a folder of qembed") from None
        raise
    try:
        owners = {os.geteuid(), folder.parent.stat().st_uid}  # on some mounts our files get another owner
        if os.fstat(descriptor).st_uid not in owners:
            raise _foreign(folder, "belongs to another user")
        with os.scandir(descriptor) as entries:
            files = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
        if files and not files.get(MARKER):  # an empty one is ours, killed before it had its marker
            raise _foreign(folder, "was not made by qembed")
    finally:
        os.close(descriptor)
    return True


def _foreign(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"{path.name!r} {reason}; nothing in it was touched",
        where=str(path.parent),
        remedy="move it away, or give another -o folder or --collection",
    )


def _tidy(work: Path) -> None:
    """Remove what no later run can use."""
    if not _is_ours(work):
        return
    if not (work / JOURNAL).is_file():
        shutil.rmtree(work, ignore_errors=True)
        return
    for path in work.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_symlink() or path.name not in _KEPT:
            with suppress(OSError):
                path.unlink()


def _ready(work: Path) -> Path:
    return work.with_suffix(".ready")


def _finish(ready: Path) -> bool:
    """Give files that are ready their names: manifest, summary, and the embeddings last."""
    if not _is_ours(ready):
        return False
    output = ready.parent
    for name in _replaced(ready / MARKER):
        if (output / name).is_file():
            (output / name).unlink()
    for path in sorted(ready.iterdir()):
        if path.name != MARKER:
            path.replace(output / path.name)
    (ready / MARKER).unlink(missing_ok=True)
    ready.rmdir()
    return True


def _replaced(marker: Path) -> list[str]:
    try:
        said = orjson.loads(marker.read_bytes())
    except (OSError, orjson.JSONDecodeError):  # killed between the last file and the marker
        return []
    named = said if isinstance(said, list) else []
    return [name for name in named if isinstance(name, str) and Path(name).name == name]
