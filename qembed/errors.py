"""Every error qembed raises on purpose; each class owns its exit code.

    QembedError                 1  the operation failed
    ├── UsageError              2  an option, a path or a setting is wrong
    │   ├── InputNotFound       2  the input is missing, or holds no chunks
    │   └── OutputExists        2  the output is there and was made otherwise
    ├── CheckFailed             3  it ran, but a check or a gate did not hold
    │   ├── DuplicateIds        3  two chunks have one id
    │   └── TimeLimitReached    3  it stopped before its time was up; the same command goes on
    ├── Unreachable             4  a service or a model could not be reached
    │   └── ModelUnreachable    4  the weights or the tokenizer are not here and cannot be had
    └── Mismatch                5  schema or dimension do not fit
        └── DimensionMismatch   5  vectors of two lengths met

Exit 0 is success and 130 is an interruption (Ctrl-C). Every error says what is wrong, where, and what to
do next; the command line prints those three and no traceback unless ``--debug`` asks for one.
"""

from __future__ import annotations

EXIT_INTERRUPTED = 130


class QembedError(Exception):
    """The operation failed.

    Args:
        message: What is wrong, one sentence.
        where: The file, with line or item where known, e.g. ``corpus.jsonl, line 7``.
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
    """The input is missing, or holds nothing that can be read as chunks."""


class OutputExists(UsageError):
    """The output is already there and was made from other inputs or settings."""


class CheckFailed(QembedError):
    """The command ran, but a check or a gate did not hold."""

    exit_code = 3


class DuplicateIds(CheckFailed):
    """Two chunks of one collection have the same id."""


class TimeLimitReached(CheckFailed):
    """The work stopped before its time was up; what is finished is kept."""


class Unreachable(QembedError):
    """A service or a model could not be reached."""

    exit_code = 4


class ModelUnreachable(Unreachable):
    """A model's files are not on this machine and could not be had."""


class Mismatch(QembedError):
    """Schema or dimension do not fit together."""

    exit_code = 5


class DimensionMismatch(Mismatch):
    """Vectors of two lengths met."""
