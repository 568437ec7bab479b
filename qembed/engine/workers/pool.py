"""Keeps the workers busy: one queue for all, every result once, no task lost with a worker that dies.

A worker that dies or stops answering is replaced; its tasks go back into the queue. A task that was with a
dying worker is suspect: from then on it runs alone, so that the next death has one cause only. A suspect
that kills again is taken apart into its texts, and a text that kills again and again has failed. Where text
after text does, it is the device's fault.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait
from signal import Signals
from time import monotonic
from typing import Protocol, TypeAlias

from qembed.engine.workers.messages import Broken, Dying, Ready, Task, TaskDone, TextFailure
from qembed.engine.workers.slot import Counters, Slot
from qembed.engine.workers.worker import Worker, WorkerSpec
from qembed.errors import QembedError
from qembed.models.probe import check_probe
from qembed.progress import DeviceStatus

MAX_DEATHS = 5
"""Processes of one device that may die in a row, without a finished batch between, before it is given up."""

STALL_SECONDS = 900.0
"""A batch without an answer for so long: the worker hangs."""

LOAD_SECONDS = 3600.0
"""Loading may take so long: 28 GB from a slow disk."""

_QUEUED_TASKS = 3  # one computing, one begun, one on its way
_DEATHS_OF_A_TEXT = 3  # one in company, two alone
WAKE_SECONDS = 1.0

Result: TypeAlias = tuple[Task, TaskDone]
Note: TypeAlias = Callable[[str], None]


class Pool(Protocol):
    """Workers, however many."""

    def ready(self) -> Ready:
        """Wait until the first worker has loaded its model."""

    def run(self, tasks: Iterator[Task]) -> Generator[Result, None, None]:
        """Work off all tasks; results in the order in which they are finished."""

    def statuses(self) -> Sequence[DeviceStatus]:
        """How far each device is."""

    def close(self) -> None:
        """End all workers, whatever they are doing."""


class InlinePool:
    """One worker inside this process: nothing to start, nothing to send."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._worker: Worker | None = None
        self._counters = Counters()

    @property
    def worker(self) -> Worker:
        """The worker; loads its model when first asked for."""
        if self._worker is None:
            self._worker = Worker(self._spec)
        return self._worker

    def ready(self) -> Ready:
        """Load the model.

        Raises:
            QembedError: It cannot be loaded.
        """
        return self.worker.ready

    def run(self, tasks: Iterator[Task]) -> Generator[Result, None, None]:
        """Work off all tasks in order."""
        for task in tasks:
            self.worker.start(task)
            done = self.worker.finish()
            self._counters.add(done)
            yield task, done

    def statuses(self) -> Sequence[DeviceStatus]:
        """The one device."""
        ready = self._worker.ready if self._worker else None
        return [self._counters.status(self._spec.device, "running", ready, 0)]

    def close(self) -> None:
        """Let go of the model."""
        self._worker = None


class ProcessPool:
    """One process a device, all fed from one queue."""

    def __init__(
        self,
        specs: Sequence[WorkerSpec],
        *,
        note: Note = lambda _: None,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        """Start the processes; they load their models while the caller continues.

        Args:
            specs: One a device.
            note: Called with a message about each death and restart.
            stall_seconds: A worker that has not answered for so long is replaced.

        Raises:
            QembedError: The system gives no process.
        """
        self._slots = [Slot(spec) for spec in specs]
        self._first: Ready | None = None
        self._note, self._stall_seconds = note, stall_seconds
        self._requeued: deque[Task] = deque()
        self._failed: deque[Result] = deque()
        self._part_number = 0
        self._last_death = ""
        try:
            for slot in self._slots:
                slot.start()
        except BaseException:
            self.close()
            raise

    def ready(self) -> Ready:
        """Wait until the first worker has loaded its model.

        Raises:
            QembedError: None can load it.
        """
        while True:
            for slot in self._slots:
                if slot.ready:
                    return slot.ready
            for _ in self._listen():
                pass

    def run(self, tasks: Iterator[Task]) -> Generator[Result, None, None]:
        """Work off all tasks.

        Yields:
            Every task once, with what came of it; one that had to be taken apart as its parts.

        Raises:
            QembedError: Every device was lost, or a worker met an error that no other worker can help.
        """
        source: Iterator[Task] | None = tasks
        while True:
            source = self._feed(source)
            yield from self._take_failed()
            if source is None and not self._requeued and not any(slot.in_flight for slot in self._slots):
                break
            yield from self._listen()
        for slot in self._slots:
            if slot.state == "running":
                slot.send(None)
                slot.state = "done"

    def statuses(self) -> Sequence[DeviceStatus]:
        """How far each device is."""
        return [slot.status() for slot in self._slots]

    def close(self) -> None:
        """End all processes."""
        for slot in self._slots:
            slot.stop(kill=slot.state != "done")

    def _feed(self, source: Iterator[Task] | None) -> Iterator[Task] | None:
        """Fill every worker's queue, one task each in turn; None when the source is exhausted."""
        room = [slot for slot in self._slots if slot.state == "running"]
        while room:
            for slot in list(room):
                if not self._has_room(slot):
                    room.remove(slot)
                    continue
                task = self._requeued.popleft() if self._requeued else None
                if task is None and source is not None:
                    task = next(source, None)
                    source = source if task else None
                if task is None:
                    return source
                if task.deaths and slot.in_flight:
                    self._requeued.appendleft(task)  # suspects run alone
                    room.remove(slot)
                    continue
                slot.send(task)
        return source

    @staticmethod
    def _has_room(slot: Slot) -> bool:
        suspect = any(task.deaths for task in slot.in_flight)
        return not suspect and len(slot.in_flight) < _QUEUED_TASKS

    def _listen(self) -> Iterator[Result]:
        """Hear what the workers have to say, or that they have died, or nothing for too long."""
        living = {slot.connection: slot for slot in self._slots if slot.connection is not None}
        if not living:
            raise self._all_lost()
        started = monotonic()
        heard = wait(list(living), timeout=WAKE_SECONDS)
        # Only while it was listened to: this process may itself have been stopped, or busy elsewhere.
        waited = min(monotonic() - started, WAKE_SECONDS)
        for slot in living.values():
            slot.silent_seconds = 0.0 if slot.connection in heard else slot.silent_seconds + waited
        for connection in heard:
            slot = living[connection]  # type: ignore[index]
            try:
                assert slot.connection is not None
                message = slot.connection.recv()
            except (EOFError, OSError):
                self._replace(slot, f"died ({_how_it_ended(slot.stop())})")
                continue
            if isinstance(message, Broken):
                message.error.add_note(message.traceback)
                raise message.error
            if isinstance(message, Dying):
                slot.stop(kill=True)
                self._replace(slot, f"lost its device ({message.reason})")
            elif isinstance(message, Ready):
                self._check_model(slot, message)
                slot.ready, slot.state = message, "running"
            else:
                yield self._finished(slot, message)
        for slot in self._slots:
            limit = LOAD_SECONDS if slot.state == "loading" else self._stall_seconds
            busy = slot.connection is not None and (slot.state == "loading" or slot.in_flight)
            if busy and slot.silent_seconds > limit:
                slot.stop(kill=True)
                self._replace(slot, f"has not answered for {limit:.0f} seconds")

    def _check_model(self, slot: Slot, ready: Ready) -> None:
        """Every worker, replaced ones too, computes what the first one does.

        Raises:
            Mismatch: Its vector of the probe text is another.
        """
        self._first = self._first or ready
        first = self._first.info
        check_probe(first.probe, first.dtype, ready.info, what=f"the first worker (not {slot.spec.device})")

    def _finished(self, slot: Slot, done: TaskDone) -> Result:
        slot.deaths = slot.blamed = 0
        slot.counters.add(done)
        task = next(task for task in slot.in_flight if task.number == done.task)
        slot.in_flight.remove(task)
        return task, done

    def _replace(self, slot: Slot, why: str) -> None:
        """Give the tasks of a process that has ended back, and put a new one in its place."""
        slot.deaths += 1
        alone = len(slot.in_flight) == 1
        for task in reversed(slot.in_flight):
            self._requeue(slot, task, task.deaths + 1 if alone else max(task.deaths, 1))
        slot.in_flight.clear()
        told = self._last_death = f"the worker on {slot.spec.device} {why}"
        if slot.deaths > MAX_DEATHS:
            slot.state = "lost"
            self._note(f"{told}; {slot.deaths} in a row, so {slot.spec.device} is given up")
            return
        self._note(f"{told}; a new one takes its place, nothing finished is lost")
        slot.restarts += 1
        slot.start()

    def _requeue(self, slot: Slot, task: Task, deaths: int) -> None:
        """Try a task again, or its texts one by one, or let its one text fail."""
        if len(task.batch) == 1 and deaths >= _DEATHS_OF_A_TEXT:
            device = slot.spec.device
            reason = f"the worker on {device} died, or hung, whenever it had this text alone"
            failure = TextFailure(int(task.rows[0]), task.tokens, "worker-died", reason)
            self._failed.append((task, TaskDone(task.number, device, 0, 0, 0, 0.0, failures=(failure,))))
            slot.blamed += 1
            slot.deaths = slot.blamed  # it was the text's fault, unless every text kills
        elif len(task.batch) > 1 and deaths > 1:
            for index in range(len(task.batch)):
                one = slice(index, index + 1)
                self._part_number -= 1  # below 0: those of the source are not
                part = replace(
                    task,
                    number=self._part_number,
                    batch=task.batch[one],
                    lengths=task.lengths[one],
                    deaths=1,
                )
                self._requeued.append(part)
        else:
            self._requeued.appendleft(replace(task, deaths=deaths))

    def _take_failed(self) -> Iterator[Result]:
        while self._failed:
            yield self._failed.popleft()

    def _all_lost(self) -> QembedError:
        names = ", ".join(slot.spec.device for slot in self._slots)
        return QembedError(
            f"every device was lost ({names}): their workers died {MAX_DEATHS + 1} times in a row",
            where=f"at last {self._last_death}" if self._last_death else None,
            remedy="what is finished is kept: the same command resumes; a smaller --token-budget may help, "
            "and dmesg tells whether the system ran out of memory",
        )


def _how_it_ended(code: int | None) -> str:
    """An exit code in words: the name of the signal where one ended the process."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return Signals(-code).name
    return f"exit code {code}"
