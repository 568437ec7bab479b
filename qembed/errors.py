"""The errors that qembed raises on purpose. Each class has an exit code.

    QembedError                 1  the operation failed
    ├── UsageError              2  an option, a path or a setting is wrong
    │   ├── InputNotFound       2  the input is missing or holds no chunks
    │   └── OutputExists        2  the output exists and was made with other settings
    ├── CheckFailed             3  it ran, but a check or a gate did not hold
    │   ├── DuplicateIds        3  two chunks have the same id
    │   └── TimeLimitReached    3  it stopped at its time limit; the same command resumes
    ├── Unreachable             4  a service or a model could not be reached
    │   └── ModelUnreachable    4  the model is not on this machine and cannot be downloaded
    └── Mismatch                5  the schema or the dimension does not match
        └── DimensionMismatch   5  vectors of different lengths

Exit code 0 is success, 130 is an interruption (Ctrl-C). Every error says what is wrong, where, and what to do
next. The command line prints these three, and a traceback only with ``--debug``.
"""

from __future__ import annotations

import errno

EXIT_INTERRUPTED = 130

_REMEDIES = {
    errno.EMFILE: "raise the limit of open files (ulimit -n 4096), or close other programs",
    errno.ENFILE: "close other programs: the system has too many open files",
    errno.ENOMEM: "close other programs, or process less at a time",
    errno.EAGAIN: "raise the limit of processes (ulimit -u), or close other programs",
    errno.ENAMETOOLONG: "give shorter names of files and folders (--collection, -o)",
    errno.EACCES: "check the permissions, or give another folder",
    errno.EROFS: "give a folder that can be written",
    errno.ENOSPC: "make room or give another -o folder",
    errno.EDQUOT: "make room in your quota, or give another folder",
}


def remedy_of(error: OSError) -> str | None:
    """What to do about an error of the operating system; None where its own words are all there is to say."""
    return _REMEDIES.get(error.errno or 0)


class QembedError(Exception):
    """The operation failed.

    Args:
        message: What is wrong, in one sentence.
        where: The file, and the line or item if known, e.g. ``corpus.jsonl, line 7``.
        remedy: What to do next: an action or a command line.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [self.message]
        if self.where:
            parts.append(f"where: {self.where}")
        if self.remedy:
            parts.append(f"next: {self.remedy}")
        return "\n".join(parts)


class UsageError(QembedError):
    """An option, a path or a setting is wrong."""

    exit_code = 2


class InputNotFound(UsageError):
    """The input is missing or holds nothing that can be read as chunks."""


class OutputExists(UsageError):
    """The output already exists and was made from other inputs or settings."""


class CheckFailed(QembedError):
    """The command ran, but a check or a gate did not hold."""

    exit_code = 3


class DuplicateIds(CheckFailed):
    """Two chunks of one collection have the same id."""


class TimeLimitReached(CheckFailed):
    """The work stopped at its time limit. Finished work is kept."""


class Unreachable(QembedError):
    """A service or a model could not be reached."""

    exit_code = 4


class ModelUnreachable(Unreachable):
    """A model is not on this machine and cannot be downloaded."""


class Mismatch(QembedError):
    """The schema or the dimension does not match."""

    exit_code = 5


class DimensionMismatch(Mismatch):
    """Vectors of different lengths were mixed."""
