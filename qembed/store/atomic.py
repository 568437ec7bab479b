"""Files appear whole or not at all, and one run at a time writes into one place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from qembed.errors import QembedError, UsageError

JOURNAL = "journal.json"
"""While it is in a work folder, it and the finished rows beside it outlive the run."""

_KEPT = {JOURNAL, "vectors.f32", "done.u32", "cached.npy"}


@contextmanager
def work_folder(output: Path, collection: str) -> Iterator[Path]:
    """A hidden folder beside the output for unfinished work, locked; gone when the work is published.

    Where a journal is in it, it is kept with the rows that are finished, so that a later run goes on; all
    else that a killed run left is removed first, and what it had begun to publish is published. Files are
    moved from it to their final names on the same file system, so a reader never sees half a file.

    Raises:
        UsageError: Another run holds it, or the output is not a folder.
        QembedError: The disk is full or cannot be written.
    """
    if (output.exists() or output.is_symlink()) and not output.is_dir():
        raise UsageError(f"the output {str(output)!r} is not a folder", remedy="give another -o folder")
    folder = output / f".{collection}.work"
    lock = FileLock(output / f".{collection}.lock")
    with explained(output):
        output.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"another run is writing the collection {collection!r} here",
                where=str(output),
                remedy="wait for it, or give another -o folder or --collection",
            ) from None
    try:
        with explained(output):
            if _finish(_ready(folder)):
                discard(folder)
            _tidy(folder)
            folder.mkdir(exist_ok=True)
        yield folder
    finally:
        _tidy(folder)
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def staging(work: Path) -> Path:
    """A folder in the work folder for files that only make sense together; ``publish`` gives them out."""
    folder = work / "staged"
    folder.mkdir(exist_ok=True)
    return folder


def publish(work: Path) -> None:
    """Give all staged files their final names beside the work folder: all or none, even after ``kill -9``.

    One rename decides; a run that is killed behind it leaves the rest to the next ``work_folder``.

    Raises:
        QembedError: The disk cannot be written; nothing was replaced.
    """
    with explained(work.parent):
        (work / "staged").replace(_ready(work))
        _finish(_ready(work))
        discard(work)


def discard(work: Path) -> None:
    """Empty a work folder, journal first: half-removed rows must not look like a run to go on with."""
    (work / JOURNAL).unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)


def forget(work: Path) -> None:
    """Remove a journal and what it stood for, journal first; the rest of the work folder stays."""
    for name in (JOURNAL, *sorted(_KEPT - {JOURNAL})):
        (work / name).unlink(missing_ok=True)


def _tidy(work: Path) -> None:
    """Remove what no later run can use."""
    if not (work / JOURNAL).exists():
        shutil.rmtree(work, ignore_errors=True)
        return
    for path in work.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in _KEPT:
            with suppress(OSError):
                path.unlink()


def _ready(work: Path) -> Path:
    return work.with_suffix(".ready")


def _finish(ready: Path) -> bool:
    if not ready.is_dir():
        return False
    for path in sorted(ready.iterdir(), reverse=True):  # embeddings, summary, manifest
        path.replace(ready.parent / path.name)
    ready.rmdir()
    return True


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that takes its name only when it is complete and on the disk; until then it is hidden.

    Raises:
        QembedError: The disk is full or cannot be written; what was at ``path`` is untouched.
    """
    unfinished = path.parent / f".{path.name}.{os.getpid()}.unfinished"
    try:
        with explained(path):
            with unfinished.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
    finally:
        with suppress(OSError):  # the reason for which it failed says more than this one
            unfinished.unlink()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an operating-system error into one that names the place and the remedy.

    Raises:
        QembedError: Disk full, no permission, and their kin.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise QembedError(
            f"cannot write: {reason}",
            where=str(error.filename or path),
            remedy="make room or give another -o folder; nothing that was there before has changed",
        ) from error
