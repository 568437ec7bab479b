"""A worker process as the main process sees it: start it, feed it, count what it does, bury it."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from time import monotonic

from qembed.engine.workers.messages import Ready, Task, TaskDone
from qembed.engine.workers.serve import serve
from qembed.engine.workers.worker import WorkerSpec
from qembed.errors import QembedError
from qembed.progress import DeviceState, DeviceStatus

_CLOSE_SECONDS = 5.0


@dataclass(slots=True)
class Counters:
    """What a device has done so far; feeds the progress."""

    texts: int = 0
    tokens: int = 0
    splits: int = 0
    budget_tokens: int = 0
    memory_bytes: int = 0
    peak: dict[str, int] = field(default_factory=dict)
    first_batch: float | None = None

    def add(self, done: TaskDone) -> None:
        """Count a finished task."""
        if self.first_batch is None:
            self.first_batch = monotonic() - done.seconds
        self.texts += done.texts
        self.tokens += done.tokens
        self.splits += len(done.splits)
        self.budget_tokens = done.budget_tokens
        self.memory_bytes = done.memory_bytes
        for kind, count in done.peak.items():  # a worker that took a dead one's place begins at nothing
            self.peak[kind] = max(self.peak.get(kind, 0), count)

    def status(self, device: str, state: DeviceState, ready: Ready | None, restarts: int) -> DeviceStatus:
        """For the progress."""
        return DeviceStatus(
            device=device,
            name=ready.info.device_name if ready else "",
            state=state,
            texts=self.texts,
            tokens=self.tokens,
            seconds=monotonic() - self.first_batch if self.first_batch is not None else 0.0,
            memory_used_bytes=self.memory_bytes,
            memory_total_bytes=ready.memory_total_bytes if ready else 0,
            peak_host_bytes=self.peak.get("host_bytes", 0),
            peak_device_bytes=self.peak.get("device_bytes", 0),
            budget_tokens=self.budget_tokens,
            splits=self.splits,
            restarts=restarts,
        )


@dataclass(slots=True)
class Slot:
    """A device and the process that works on it now.

    Attributes:
        spec: What its processes are started with.
        state: As the progress shows it.
        in_flight: Tasks sent and not answered, oldest first.
        deaths: Processes that have died since the last finished task, those that a text was blamed for
            counted as one.
        blamed: Texts that were blamed since the last finished task.
        restarts: Processes that were started in place of a dead one.
        ready: What the process said after loading; None before.
        silent_seconds: How long it has been listened to without a word.
    """

    spec: WorkerSpec
    state: DeviceState = "loading"
    in_flight: deque[Task] = field(default_factory=deque)
    deaths: int = 0
    blamed: int = 0
    restarts: int = 0
    ready: Ready | None = None
    silent_seconds: float = 0.0
    counters: Counters = field(default_factory=Counters)
    process: SpawnProcess | None = None
    connection: Connection | None = None

    def start(self) -> None:
        """Start a process; it begins to load at once.

        Raises:
            QembedError: The system gives no process.
        """
        context, device = multiprocessing.get_context("spawn"), self.spec.device
        self.state, self.ready, self.silent_seconds = "loading", None, 0.0
        self.connection, theirs = context.Pipe()
        with theirs:
            arguments = (theirs, device, pickle.dumps(self.spec), self.spec.tight)
            process = context.Process(target=serve, args=arguments, name=f"qembed {device}", daemon=True)
            try:
                with _without_main(), _without_interrupt():
                    process.start()
            except OSError as error:
                raise QembedError(
                    f"cannot start a process for the worker on {device}: {error.strerror or error}",
                    remedy="what is finished is kept: close other programs, then run the same command again",
                ) from error
        self.process = process

    def send(self, task: Task | None) -> None:
        """Give it a task; None ends it. A process that has just died is noticed by who waits for it."""
        if not self.in_flight:
            self.silent_seconds = 0.0
        if task is not None:
            self.in_flight.append(task)
        assert self.connection is not None
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(task)

    def stop(self, *, kill: bool = False) -> int | None:
        """End the process; its exit code, None where it has none."""
        process, connection = self.process, self.connection
        self.process = self.connection = None
        if connection is not None:
            connection.close()  # it sees the end of its input
        if process is None:
            return None
        if kill:
            process.kill()
        process.join(_CLOSE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join(_CLOSE_SECONDS)
        code = process.exitcode
        if code is not None:  # else a driver holds it, and nobody can end it
            process.close()
        return code

    def status(self) -> DeviceStatus:
        """For the progress."""
        return self.counters.status(self.spec.device, self.state, self.ready, self.restarts)


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Start a process that Ctrl-C does not reach, not even while it starts: it inherits what is blocked."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # else ``start`` does it, and unblocks what is blocked here
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep a new process from running the caller's script again.

    ``spawn`` imports ``__main__`` in the child, which a notebook does not have and which a script without
    ``if __name__ == "__main__"`` cannot bear. The worker needs nothing from it.
    """
    names = vars(sys.modules["__main__"])
    kept = {name: names[name] for name in names.keys() & {"__file__", "__spec__"}}
    names.update(dict.fromkeys(kept))
    try:
        yield
    finally:
        names.update(kept)
