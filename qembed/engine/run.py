"""All texts of a corpus to rows of vectors: windows of tokens are divided into batches for the pool."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import numpy as np
import numpy.typing as npt

from qembed.engine.batching import make_batches
from qembed.engine.ragged import window_path
from qembed.engine.rows import Rows
from qembed.engine.windows import RunPlan, Tokenizer, Window, ahead, tokenize_windows
from qembed.engine.workers.messages import OomSplit, Task, TaskDone, TextFailure
from qembed.engine.workers.pool import Pool
from qembed.errors import QembedError
from qembed.progress import Progress
from qembed.records import Lengths

MAX_TEXTS = 2048
"""Texts of a batch at most: the tasks that are sent ahead fit into a pipe, so that sending never waits."""

BATCH_HISTORY = 10_000
"""Finished batches of which every figure is kept."""

_HOPELESS_TEXTS = 1000


@dataclass(slots=True)
class Encoded:
    """What a run has come to.

    Attributes:
        seconds: Time on a device, per text; float32 (rows,).
        history: The first ``BATCH_HISTORY`` finished batches.
        batches: Number of batches.
        splits: Every batch that did not fit.
        failures: Texts without a vector.
        retried: Rows that are finite in fp32 only.
        resumed: Rows that an earlier run had finished.
        texts: Texts that this run has made a vector of.
        tokens: Tokens that the models read of them.
        padded_tokens: Padded tokens of this run's forward passes.
        stopped: The run was told to end before all was done.
    """

    seconds: npt.NDArray[np.float32]
    history: list[TaskDone] = field(default_factory=list)
    batches: int = 0
    splits: list[OomSplit] = field(default_factory=list)
    failures: list[TextFailure] = field(default_factory=list)
    retried: list[int] = field(default_factory=list)
    resumed: int = 0
    texts: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    stopped: bool = False

    def add(self, task: Task, done: TaskDone) -> None:
        """Take in a finished batch.

        Raises:
            QembedError: So many texts have failed, and not one has come out, that it is not their fault.
        """
        self.batches += 1
        if len(self.history) < BATCH_HISTORY:
            self.history.append(done)
        self.splits += done.splits
        self.failures += done.failures
        self.retried += done.retried
        self.texts += done.texts
        self.tokens += done.tokens
        self.padded_tokens += done.padded_tokens
        self.seconds[task.rows] = done.seconds * task.lengths / max(task.tokens, 1)
        if not self.texts and len(self.failures) >= _HOPELESS_TEXTS:
            raise QembedError(
                f"no text has a vector, and {len(self.failures):,} were tried",
                where=self.failures[-1].reason,
                remedy="see what else uses the device (nvidia-smi), or take a smaller model or --max-length",
            )


def encode_rows(
    pool: Pool,
    rows: Rows,
    texts: Callable[[int, int], Sequence[str]],
    tokenizer: Tokenizer,
    plan: RunPlan,
    folder: Path,
    *,
    lengths: Lengths,
    finished: npt.NDArray[np.bool_] | None = None,
    skip: npt.NDArray[np.bool_] | None = None,
    sizes: npt.NDArray[np.int64] | None = None,
    progress: Progress = Progress(),
    on_rows: Callable[[int], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Encoded:
    """Fill every row that is not done.

    Args:
        pool: Workers that write into ``rows``.
        rows: What an earlier run has finished stays, batch by batch.
        texts: Gives the texts of the rows from first to last, last excluded; called from another thread.
        tokenizer: The model's tokenizer.
        plan: See there.
        folder: For the windows' files; that of ``rows``.
        lengths: Filled with the tokens of each text before truncation; int64 (rows,).
        finished: Rows that are done, as ``rows.done()`` said; asked when None; bool (rows,).
        skip: Rows that are not to be made, done or not; bool (rows,).
        sizes: Characters of each text, to foresee the tokens of windows to come; int64 (rows,).
        progress: Receives the progress of every batch.
        on_rows: Called with n whenever all rows below n are finished or have failed.
        stop: Asked before every batch; the batches that have begun are finished.

    Raises:
        QembedError: The workers cannot go on; what was finished stays in the rows.
        OSError: The disk is full.
    """
    count = len(rows.checksums)
    encoded = Encoded(np.zeros(count, dtype=np.float32))
    finished = rows.done() if finished is None else finished
    rows.forget(np.flatnonzero(~finished))  # a checksum of torn bytes must not pass for a vector later
    skip = np.zeros(count, dtype=np.bool_) if skip is None else skip
    expected = _Expected(np.ones(count, dtype=np.int64) if sizes is None else sizes)
    open_windows = _OpenWindows(folder, on_rows)

    def tasks() -> Generator[Task, None, None]:
        number = 0
        with ahead(tokenize_windows(texts, tokenizer, plan, folder, count)) as windows:
            for window in windows:
                end = window.first_row + len(window.lengths)
                lengths[window.first_row : end] = window.lengths
                here = slice(window.first_row, end)
                batches = _unfinished(window, plan, finished[here], skip[here])
                left = sum(len(batch) for batch, _ in batches)
                encoded.resumed += int((~skip[here]).sum()) - left
                progress.expect(expected.total(end, sum(int(read.sum()) for _, read in batches)))
                open_windows.open(window, left)
                for batch, read in batches:
                    if stop():
                        encoded.stopped = True
                        return
                    yield Task(number, window.number, window.first_row, batch, read)
                    number += 1

    try:
        with closing(tasks()) as source, closing(pool.run(source)) as results:
            for task, done in results:
                encoded.add(task, done)
                open_windows.close_texts(task.window, len(task.batch))
                progress.advance(task.tokens, texts=len(task.batch))
                progress.devices(pool.statuses())
    finally:
        for path in folder.glob("window-*.bin"):
            with suppress(OSError):  # some systems do not remove what a worker still reads
                path.unlink()
    return encoded


def deadline(seconds: float | None, *, reserve_seconds: float = 0.0) -> Callable[[], bool]:
    """A ``stop`` that says yes ``reserve_seconds`` before the time is up; never without a limit."""
    if seconds is None:
        return lambda: False
    end = monotonic() + seconds - reserve_seconds
    return lambda: monotonic() >= end


def _unfinished(
    window: Window, plan: RunPlan, finished: npt.NDArray[np.bool_], skip: npt.NDArray[np.bool_]
) -> list[tuple[npt.NDArray[np.int64], Lengths]]:
    """Batches with a text that is not done, and the lengths that the model reads.

    They are made of all that is not skipped, whatever of it is done: the same batches give the same
    vectors to the last bit, so a run that was interrupted ends like one that was not.
    """
    wanted = np.flatnonzero(~skip)
    read = np.minimum(window.lengths, plan.max_tokens)
    texts = min(plan.max_batch or MAX_TEXTS, MAX_TEXTS)
    batches = make_batches(read[wanted], token_budget=plan.token_budget, max_batch=texts)
    placed = (wanted[batch] for batch in batches)
    return [(batch, read[batch]) for batch in placed if not finished[batch].all()]


class _Expected:
    """Foresees how many tokens a run will read: those of the windows seen, and for the rest by characters."""

    def __init__(self, sizes: npt.NDArray[np.int64]) -> None:
        self._characters = np.concatenate([[0], np.cumsum(sizes)])
        self._tokens = 0

    def total(self, end: int, tokens: int) -> int:
        """After one more window of ``tokens``, whose last row is below ``end``."""
        self._tokens += tokens
        seen, every = int(self._characters[end]), int(self._characters[-1])
        return self._tokens * every // max(seen, 1)


class _OpenWindows:
    """Which windows are not finished; says how far all are, and removes the files of those that are."""

    def __init__(self, folder: Path, on_rows: Callable[[int], None]) -> None:
        self._folder, self._on_rows = folder, on_rows
        self._left: dict[int, int] = {}
        self._first: dict[int, int] = {}

    def open(self, window: Window, left: int) -> None:
        self._left[window.number], self._first[window.number] = left, window.first_row
        self._first[window.number + 1] = window.first_row + len(window.lengths)
        self.close_texts(window.number, 0)

    def close_texts(self, window: int, texts: int) -> None:
        self._left[window] -= texts
        if self._left[window]:
            return
        with suppress(OSError):  # some systems do not remove what a worker still reads
            window_path(self._folder, window).unlink()
        oldest = min(self._left)
        if window != oldest:
            return
        while oldest in self._left and not self._left[oldest]:
            del self._left[oldest]
            oldest += 1
        self._on_rows(self._first[oldest])
