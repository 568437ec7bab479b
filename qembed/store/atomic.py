"""Files appear whole or not at all, and one writer at a time changes a file that others change too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from qembed.errors import QembedError, remedy_of

LOCK_SECONDS = 60.0
"""How long a writer waits for another one."""


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that takes its name only when it is complete and on the disk; until then it is hidden.

    Raises:
        QembedError: The disk is full or cannot be written; what was at ``path`` is untouched.
    """
    unfinished = path.parent / f".{path.name}.{os.getpid()}.unfinished"
    try:
        with explained(path):
            # A new file, never one that something else has put there (a link would lead elsewhere).
            unfinished.unlink(missing_ok=True)
            with unfinished.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
    finally:
        with suppress(OSError):  # the reason for which it failed says more than this one
            unfinished.unlink()


@contextmanager
def locked(path: Path, *, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock of a file while it is read, changed and written again.

    The lock is a hidden file beside it. It stays: removing it would let two writers hold two locks.

    Args:
        path: The file that is changed; it need not exist.
        seconds: How long to wait for another writer.

    Raises:
        QembedError: Another writer held the lock for all that time, or the folder cannot be written.
    """
    lock = FileLock(path.parent / f".{path.name}.lock")
    with explained(path):
        try:
            lock.acquire(timeout=seconds)
        except Timeout:
            raise QembedError(
                f"another program has been changing this file for {seconds:.0f} seconds",
                where=str(path),
                remedy="wait until it has finished, then try again",
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an operating-system error into one that names the place and the remedy.

    Raises:
        QembedError: Disk full, no permission, and the like.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = remedy_of(error) or "make room or give another -o folder"
        raise QembedError(
            f"cannot write: {reason}",
            where=str(error.filename or path),
            remedy=f"{remedy}; nothing that was there before has changed",
        ) from error
