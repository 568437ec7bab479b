"""What the main process and its workers tell each other; everything here can be pickled.

main -> worker    Task, or None: no more work
worker -> main    Ready once, then a TaskDone for every Task; Dying where its device is lost to this process;
                  Broken where no worker could go on
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qembed.engine.planning.capacity import Capacity
from qembed.models.info import EncoderInfo

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Task:
    """One batch.

    Attributes:
        number: Number of the task; the halves of a split task get new numbers.
        window: Which window's file its texts are in.
        first_row: Row of the window's first text.
        batch: Positions of its texts in the window; int64 (texts,).
        lengths: Tokens that the model reads of each; int64 (texts,).
        deaths: How many workers have died while they had it.
    """

    number: int
    window: int
    first_row: int
    batch: Positions
    lengths: Positions
    deaths: int = 0

    @property
    def tokens(self) -> int:
        """Tokens that the model reads."""
        return int(self.lengths.sum())

    @property
    def padded_tokens(self) -> int:
        """Longest text times texts."""
        return int(self.lengths.max()) * len(self.lengths)

    @property
    def rows(self) -> Positions:
        """Rows of its texts; int64 (texts,)."""
        return self.batch + self.first_row


@dataclass(frozen=True, slots=True)
class OomSplit:
    """A batch that did not fit and was halved.

    Attributes:
        texts: Texts of the batch.
        padded_tokens: Padded tokens of the batch.
        budget_tokens: Padded tokens of a batch on this device at most, from here on.
        error: First line of what the device said.
        device: Where.
    """

    texts: int
    padded_tokens: int
    budget_tokens: int
    error: str
    device: str = ""


@dataclass(frozen=True, slots=True)
class TextFailure:
    """A text that has no vector.

    Attributes:
        row: Its row.
        tokens: That the model would read of it.
        kind: ``out-of-memory``, ``not-finite`` or ``worker-died``.
        reason: What happened, in words.
    """

    row: int
    tokens: int
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A finished batch; its vectors are in the rows already.

    Attributes:
        task: Number of the task.
        device: Where it ran.
        texts: With a vector.
        tokens: Tokens of those texts that the model read.
        padded_tokens: Padded tokens of the forward passes that succeeded.
        seconds: Wall time on the device.
        budget_tokens: Padded tokens of a batch at most, now; 0 without a limit of its own.
        memory_bytes: Memory that the worker uses on its device.
        peak: Most memory that it has used so far, by kind, as ``peak_memory_bytes`` has it.
        splits: Batches that did not fit.
        failures: Texts without a vector.
        retried: Rows that were not finite and came out finite in fp32.
    """

    task: int
    device: str
    texts: int
    tokens: int
    padded_tokens: int
    seconds: float
    budget_tokens: int = 0
    memory_bytes: int = 0
    peak: dict[str, int] = field(default_factory=dict)
    splits: tuple[OomSplit, ...] = ()
    failures: tuple[TextFailure, ...] = ()
    retried: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has loaded its model.

    Attributes:
        info: What is known of the model.
        reads_tokens: Whether it takes token ids; else it takes texts.
        memory_total_bytes: Memory of its device.
        capacity: What the device was measured to do with the model; None where it was not.
        seconds: Loading and measuring took.
    """

    info: EncoderInfo
    reads_tokens: bool
    memory_total_bytes: int
    capacity: Capacity | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Dying:
    """A worker ends itself: after such an error every call of its process to the device fails.

    Attributes:
        reason: First line of the error.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A worker cannot go on, for a reason that a new one would meet again.

    Attributes:
        error: What was raised; a ``QembedError`` where qembed knows the reason.
        traceback: The worker's traceback, as text.
    """

    error: Exception
    traceback: str = field(repr=False)
