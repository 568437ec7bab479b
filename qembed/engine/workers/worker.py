"""One device's share of the work: batches in, rows filled; what does not fit is halved.

The same ``Worker`` runs inside the main process (one CPU) or in a process of its own (``engine.serve``).
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from qembed.engine.planning.probe import Probe, measure
from qembed.engine.ragged import Ragged, window_path
from qembed.engine.rows import Rows
from qembed.engine.workers.devices import peak_memory_bytes, total_memory_bytes, use_device, used_memory_bytes
from qembed.engine.workers.messages import OomSplit, Ready, Task, TaskDone, TextFailure
from qembed.engine.workers.model import Model, Pending
from qembed.engine.workers.oom import first_line, is_out_of_memory, release_memory
from qembed.errors import QembedError
from qembed.records import Vectors

GROW_AFTER_BATCHES = 20
_MEMORY_SECONDS = 1.0
_NO_LIMIT = sys.maxsize


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker needs to begin.

    Attributes:
        device: Its name: ``cuda:0``, ``cpu``, ``cpu#1``.
        load: Gives the model; can be pickled.
        load_exact: The same in fp32, for texts whose vector is not finite; None where it is that already, or
            has no room.
        folder: Folder of the windows and the rows.
        count: Number of rows.
        threads: torch's threads on a CPU; its own choice when None.
        empty_cache_every: Give unused memory back to the device after so many batches; never when 0.
        load_alone: Wait while another worker of the folder loads, so that the host holds one copy at a time.
        probe: What to measure of the device before the first task; nothing when None.
        tight: The model leaves little memory: avoid fragments (in a process of its own only).
    """

    device: str
    load: Callable[[], Model]
    load_exact: Callable[[], Model] | None
    folder: Path
    count: int
    threads: int | None = None
    empty_cache_every: int = 0
    load_alone: bool = False
    probe: Probe | None = None
    tight: bool = False


class Worker:
    """Runs tasks in order; ``start`` begins one, ``finish`` ends the oldest.

    Raises (from ``finish``):
        QembedError: The model returned vectors of another number or dimension.
        Exception: Whatever the model raises that is not about memory, as it is.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        started = perf_counter()
        if spec.threads:
            _use_threads(spec.threads)
        if spec.device.startswith("cuda"):
            use_device(spec.device)
        self.spec = spec
        with FileLock(spec.folder / "load.lock") if spec.load_alone else nullcontext():
            self.model = spec.load()
        info = self.model.info
        self.ready = Ready(
            info=info,
            reads_tokens=self.model.reads_tokens,
            memory_total_bytes=total_memory_bytes(info.device),
            capacity=measure(self.model, spec.probe) if spec.probe else None,
            seconds=perf_counter() - started,
        )
        self.budget = _NO_LIMIT
        self._exact: Model | str | None = None  # or why it cannot be loaded
        self._rows: Rows | None = None
        self._window: tuple[int, Ragged] | None = None
        self._begun: deque[tuple[Task, Pending | Vectors | str]] = deque()
        self._batches = self._fitted = self._memory_bytes = 0
        self._peak: dict[str, int] = {}
        self._free_from = self._memory_from = 0.0

    @property
    def in_flight(self) -> int:
        """Tasks begun and not ended."""
        return len(self._begun)

    def start(self, task: Task) -> None:
        """Begin a task; what does not fit is dealt with by ``finish``."""
        if not self._begun:
            self._free_from = perf_counter()
        if task.padded_tokens > self.budget and len(task.batch) > 1:
            self._begun.append((task, ""))
        else:
            self._begun.append((task, self._submit(self.model, task, task.batch)))

    def finish(self) -> TaskDone:
        """End the oldest task that was begun."""
        task, begun = self._begun.popleft()
        work, result = _Work(task), self._outcome(begun)
        del begun  # it may hold the memory of a batch that did not fit
        if isinstance(result, str):
            self._in_parts(work, result)
        else:
            self._store(work, np.arange(len(task.batch)), result)
        self._batches += 1
        if self.spec.empty_cache_every and self._batches % self.spec.empty_cache_every == 0:
            release_memory()
        now = perf_counter()
        seconds, self._free_from = now - self._free_from, now
        return TaskDone(
            task=task.number,
            device=self.spec.device,
            texts=work.texts,
            tokens=work.tokens,
            padded_tokens=work.padded_tokens,
            seconds=seconds,
            budget_tokens=0 if self.budget == _NO_LIMIT else self.budget,
            memory_bytes=self._used_memory_bytes(now),
            peak=self._peak,
            splits=tuple(work.splits),
            failures=tuple(work.failures),
            retried=tuple(work.retried),
        )

    def _submit(self, model: Model, task: Task, batch: npt.NDArray[np.int64]) -> Pending | str:
        """A forward pass that has begun, or what the device said.

        The ``except`` block is left before anything else is done: until then the exception holds the
        batch's tensors.
        """
        window = self._open_window(task.window)
        try:
            if self.model.reads_tokens:
                return model.submit(window.ids(batch))
            return model.submit_texts(window.texts(batch))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return first_line(error)

    def _outcome(self, begun: Pending | Vectors | str) -> Vectors | str:
        """The vectors of a forward pass that has begun, or what the device said."""
        if isinstance(begun, (str, np.ndarray)):
            return begun
        try:
            return begun.result()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return first_line(error)

    def _settle(self) -> None:
        """Wait for what was begun behind this task: it would take memory from the attempts to come."""
        for index, (task, begun) in enumerate(self._begun):
            self._begun[index] = task, self._outcome(begun)

    def _in_parts(self, work: _Work, failure: str) -> None:
        """Halve a batch until it fits; ``failure`` is what the device said of the whole, if it was tried."""
        task = work.task
        self._settle()
        whole = np.arange(len(task.batch))
        parts = deque([whole])
        if failure and len(whole) > 1:
            parts = deque(self._halve(work, whole, failure))
        elif failure:  # a single text is judged by an attempt that has the memory for itself
            release_memory()
        while parts:
            part = parts.popleft()
            padded = int(task.lengths[part].max()) * len(part)
            if padded > self.budget and len(part) > 1:
                parts.extendleft(reversed(np.array_split(part, 2)))
                continue
            result = self._outcome(self._submit(self.model, task, task.batch[part]))
            if isinstance(result, str):
                parts.extendleft(reversed(self._halve(work, part, result)))
            else:
                self._store(work, part, result)

    def _halve(self, work: _Work, part: npt.NDArray[np.int64], failure: str) -> list[npt.NDArray[np.int64]]:
        """The two halves of what did not fit; none of a single text, which has failed."""
        release_memory()
        task = work.task
        padded = int(task.lengths[part].max()) * len(part)
        if len(part) == 1:
            reason = f"{padded:,} tokens alone do not fit {self.spec.device}: {failure}"
            work.fail(int(part[0]), "out-of-memory", reason)
            return []
        self.budget, self._fitted = max(1, padded // 2), 0
        work.splits.append(OomSplit(len(part), padded, self.budget, failure, self.spec.device))
        return np.array_split(part, 2)

    def _store(self, work: _Work, part: npt.NDArray[np.int64], vectors: Vectors) -> None:
        task, dimension = work.task, self.model.info.dimension
        if vectors.shape != (len(part), dimension):
            found = " x ".join(map(str, vectors.shape))
            raise QembedError(
                f"the model returned {found} numbers for {len(part)} texts of {dimension} dimensions",
                remedy="nothing of this batch was kept: the model's code does not match its files",
            )
        made, finite = part, np.asarray(np.isfinite(vectors).all(axis=1))
        if not finite.all():
            vectors = np.array(vectors)
            for index in np.flatnonzero(~finite).tolist():
                finite[index] = self._retry(work, int(part[index]), vectors[index])
            made, vectors = part[finite], vectors[finite]
        self._open_rows().put(task.rows[made], vectors)
        work.texts += len(made)
        work.tokens += int(task.lengths[made].sum())
        work.padded_tokens += int(task.lengths[part].max()) * len(part)
        self._fitted += 1
        if self._fitted % GROW_AFTER_BATCHES == 0 and self.budget < _NO_LIMIT:
            self.budget += self.budget // 4

    def _retry(self, work: _Work, index: int, vector: Vectors) -> bool:
        """Make one vector again in fp32, in place; whether it is finite now."""
        task, dtype = work.task, self.model.info.dtype
        not_finite = f"its vector is not finite in {dtype}"
        if self.spec.load_exact is None:
            work.fail(index, "not-finite", not_finite)
            return False
        self._settle()
        if self._exact is None:
            self._exact = _load_exact(self.spec.load_exact)
            if isinstance(self._exact, str):
                release_memory()  # of what was loaded of it
        if isinstance(self._exact, str):
            why = f"{not_finite}, and the model cannot be loaded in fp32: {self._exact}"
            work.fail(index, "not-finite", why)
            return False
        result = self._outcome(self._submit(self._exact, task, task.batch[[index]]))
        if isinstance(result, str) or not np.isfinite(result).all():
            if isinstance(result, str):
                release_memory()
            why = f"does not fit: {result}" if isinstance(result, str) else "is not finite either"
            work.fail(index, "not-finite", f"{not_finite}; in fp32 it {why}")
            return False
        vector[:] = result[0]
        work.retried.append(int(task.rows[index]))
        return True

    def _used_memory_bytes(self, now: float) -> int:
        """As of a moment ago: asking costs as much as a small batch."""
        if not self._memory_bytes or now - self._memory_from > _MEMORY_SECONDS:
            self._memory_bytes, self._memory_from = used_memory_bytes(self.model.info.device), now
            self._peak = peak_memory_bytes(self.model.info.device)
        return self._memory_bytes

    def _open_window(self, number: int) -> Ragged:
        if self._window is None or self._window[0] != number:
            path = window_path(self.spec.folder, number)
            self._window = number, Ragged(path, tokens=self.model.reads_tokens)
        return self._window[1]

    def _open_rows(self) -> Rows:
        if self._rows is None:
            self._rows = Rows(self.spec.folder, self.spec.count, self.model.info.dimension)
        return self._rows


@dataclass(slots=True)
class _Work:
    """What a task has come to so far."""

    task: Task
    texts: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    splits: list[OomSplit] = field(default_factory=list)
    failures: list[TextFailure] = field(default_factory=list)
    retried: list[int] = field(default_factory=list)

    def fail(self, index: int, kind: str, reason: str) -> None:
        self.failures.append(
            TextFailure(int(self.task.rows[index]), int(self.task.lengths[index]), kind, reason)
        )


def _load_exact(load: Callable[[], Model]) -> Model | str:
    """The model in fp32, or why it cannot be had; loading is not tried again."""
    try:
        return load()
    except (QembedError, MemoryError, RuntimeError, OSError) as error:
        return first_line(error)


def _use_threads(threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)
