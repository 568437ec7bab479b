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


@contextmanager
def work_folder(output: Path, collection: str) -> Iterator[Path]:
    """A hidden folder beside the output for unfinished work, locked; gone afterwards.

    What a killed run left there is removed first; what it had begun to publish is published. Files are
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
            _finish(_ready(folder))
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
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


def _ready(work: Path) -> Path:
    return work.with_suffix(".ready")


def _finish(ready: Path) -> None:
    if not ready.is_dir():
        return
    for path in sorted(ready.iterdir(), reverse=True):  # embeddings, summary, manifest
        path.replace(ready.parent / path.name)
    ready.rmdir()


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
