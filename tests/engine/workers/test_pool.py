"""Worker processes that die, hang, fail and are killed: no text lost, doubled or misplaced, and no hang."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from fakes import (
    DIE,
    DIE_ONCE,
    FAIL,
    HANG,
    INFO,
    LOSE_DEVICE,
    NAN,
    FakeModel,
    Ran,
    encode,
    expected,
    load,
    load_differing,
    load_dying,
    load_failing,
    load_slowly,
    some_texts,
)

from qembed.engine import InlinePool, ProcessPool, RunPlan, Task, WorkerSpec
from qembed.engine.workers import pool as module
from qembed.engine.workers.slot import Slot
from qembed.errors import Mismatch, QembedError

REPOSITORY = Path(__file__).parents[3]
TEXTS = some_texts(300)
GONE_SECONDS = 10.0


def check_all(ran: Ran, texts: list[str], failed: set[int] = frozenset()) -> None:  # type: ignore[assignment]
    assert {failure.row for failure in ran.encoded.failures} == failed
    assert len(ran.encoded.failures) == len(failed)
    assert set(np.flatnonzero(~ran.done).tolist()) == failed
    assert (ran.vectors[ran.done] == expected(texts)[ran.done]).all()
    assert ran.encoded.texts == len(texts) - len(failed)


def specs_of(folder: Path, load_model: Callable[[], Any], workers: int = 1) -> list[WorkerSpec]:
    return [WorkerSpec(f"cpu#{number}", load_model, None, folder, 1) for number in range(workers)]


def workers_of(pool: ProcessPool) -> list[int]:
    return [slot.process.pid for slot in pool._slots if slot.process is not None]  # type: ignore[misc]


def gone(pids: list[int]) -> bool:
    """Whether all have ended; a zombie of somebody else has ended too."""
    end = time.monotonic() + GONE_SECONDS
    while time.monotonic() < end:
        alive = [pid for pid in pids if psutil.pid_exists(pid)]
        if not [pid for pid in alive if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]:
            return True
        time.sleep(0.02)
    return False


class TestWork:
    @pytest.mark.parametrize("workers", [1, 2, 3])
    def test_any_number_of_workers_gives_the_same_rows(self, tmp_path: Path, workers: int) -> None:
        ran = encode(TEXTS, tmp_path, workers=workers)
        check_all(ran, TEXTS)
        assert ran.encoded.tokens == sum(len(text.split()) for text in TEXTS)
        assert ran.notes == []

    def test_longest_first_and_ahead(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        encode(TEXTS[:100], tmp_path, FakeModel(log=log), workers=1)
        longest = [int(line.split()[2]) for line in log.read_text().splitlines()]
        assert longest == sorted(longest, reverse=True)
        assert longest[0] == 20

    def test_each_has_a_share(self, tmp_path: Path) -> None:
        log = tmp_path / "log"

        def wait_for_both(pool: ProcessPool) -> None:
            while any(status.state == "loading" for status in pool.statuses()):
                list(pool._listen())

        check_all(encode(TEXTS, tmp_path, FakeModel(log=log), workers=2, during=wait_for_both), TEXTS)
        pids = [line.split()[0] for line in log.read_text().splitlines()]
        assert min(pids.count(pid) for pid in set(pids)) >= 3
        assert len(set(pids)) == 2

    def test_texts_and_small_memory(self, tmp_path: Path) -> None:
        model = FakeModel(limit_tokens=30, late=True, spelling="cudnn", reads_tokens=False)
        ran = encode(TEXTS, tmp_path, model, workers=2)
        check_all(ran, TEXTS)
        assert {split.device for split in ran.encoded.splits} <= {"cpu#0", "cpu#1"}
        assert ran.encoded.splits

    def test_not_finite_is_retried(self, tmp_path: Path) -> None:
        texts = [*TEXTS[:50], f"{NAN} 5"]
        ran = encode(texts, tmp_path, workers=1)
        check_all(ran, texts)
        assert ran.encoded.retried == [50]

    def test_no_texts(self, tmp_path: Path) -> None:
        assert encode([], tmp_path, workers=1).encoded.batches == 0

    def test_inline(self, tmp_path: Path) -> None:
        check_all(encode(TEXTS, tmp_path), TEXTS)
        pool = InlinePool(specs_of(tmp_path, partial(load, FakeModel()))[0])
        assert pool.ready().info == INFO
        assert [status.state for status in pool.statuses()] == ["running"]

    def test_statuses(self, tmp_path: Path) -> None:
        pool = ProcessPool(specs_of(tmp_path, partial(load, FakeModel())))
        with closing(pool):
            assert [status.state for status in pool.statuses()] == ["loading"]
            assert pool.ready().info.device_name == "Fake T4"
            assert [(status.state, status.name) for status in pool.statuses()] == [("running", "Fake T4")]
            pids = workers_of(pool)
        assert gone(pids)
        pool.close()


class TestDeath:
    def test_once(self, tmp_path: Path) -> None:
        once = tmp_path / "once"
        once.touch()
        texts = [*TEXTS, f"{DIE_ONCE} 1 2"]
        ran = encode(texts, tmp_path, FakeModel(once=once), workers=2)
        check_all(ran, texts)
        (note,) = ran.notes
        assert note.endswith(" died (SIGKILL); a new one takes its place, nothing finished is lost")

    @pytest.mark.parametrize("workers", [1, 2])
    def test_of_a_text(self, tmp_path: Path, workers: int) -> None:
        texts = [*TEXTS[:150], f"{DIE} 1 2", *TEXTS[150:]]
        ran = encode(texts, tmp_path, workers=workers)
        check_all(ran, texts, {150})
        (failure,) = ran.encoded.failures
        assert (failure.tokens, failure.kind) == (3, "worker-died")
        assert "died, or hung, whenever it had this text alone" in failure.reason
        assert len(ran.notes) == 4  # in company, with its batch, twice alone

    def test_of_texts_in_a_row(self, tmp_path: Path) -> None:
        """More deaths without a finished batch between than a device may have, all of them explained."""
        texts = [f"{DIE} 1 2"] * 4
        ran = encode([*texts, "1"], tmp_path, workers=1, plan=RunPlan(1000, 3))
        check_all(ran, [*texts, "1"], {0, 1, 2, 3})
        assert len(ran.notes) > module.MAX_DEATHS + 1

    def test_of_text_after_text_is_the_devices_fault(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else a broken driver would cost two loads for each of a million texts."""
        monkeypatch.setattr(module, "MAX_DEATHS", 3)
        texts = ["1 2 3 4", *[f"{DIE} 1 2"] * 50]
        with pytest.raises(QembedError, match="every device was lost"):
            encode(texts, tmp_path, workers=1, plan=RunPlan(1000, 4))
        assert encode(texts, tmp_path, stop=lambda: True).done.tolist() == [True] + [False] * 50

    def test_while_loading(self, tmp_path: Path) -> None:
        load_model = partial(load_dying, FakeModel(), tmp_path / "deaths", 2)
        ran = encode(TEXTS, tmp_path, workers=1, load_model=load_model)
        check_all(ran, TEXTS)
        assert len(ran.notes) == 2

    def test_whenever_it_loads(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_DEATHS", 1)
        load_model = partial(load_dying, FakeModel(), tmp_path / "deaths", 1000)
        with pytest.raises(QembedError, match=r"every device was lost \(cpu#0, cpu#1\)") as caught:
            encode(TEXTS, tmp_path, workers=2, load_model=load_model)
        assert "--token-budget" in str(caught.value.remedy)

    def test_of_one_device_for_good(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two deaths are the first device's, whichever process is first; the other does all the work."""
        monkeypatch.setattr(module, "MAX_DEATHS", 1)
        states: list[list[str]] = []

        def break_first(pool: ProcessPool) -> None:
            slot = pool._slots[0]
            slot.stop(kill=True)
            slot.spec = WorkerSpec(
                "cpu#0", partial(load_dying, FakeModel(), tmp_path / "d", 99), None, tmp_path, 1
            )
            slot.start()
            while slot.state != "lost":
                list(pool._listen())
            states.append([status.state for status in pool.statuses()])

        ran = encode(TEXTS, tmp_path, workers=2, during=break_first)
        check_all(ran, TEXTS)
        assert ran.notes[-1].endswith("2 in a row, so cpu#0 is given up")
        assert states[0][0] == "lost"

    def test_all_lost_in_the_middle_keeps_what_is_finished(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MAX_DEATHS", 0)
        texts = [*TEXTS[:150], f"{DIE} 1", *TEXTS[150:]]
        with pytest.raises(QembedError, match="every device was lost"):
            encode(texts, tmp_path, workers=1)
        kept = encode(texts, tmp_path, stop=lambda: True)
        assert kept.done[:100].all()
        assert (kept.vectors[kept.done] == expected(texts)[kept.done]).all()

    def test_from_outside_at_random_moments(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_DEATHS", 1000)
        assert check_random_kills(tmp_path, kills=4) >= 1

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(5))
    def test_from_outside_many_times(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
    ) -> None:
        monkeypatch.setattr(module, "MAX_DEATHS", 1000)
        assert check_random_kills(tmp_path, kills=40, seed=seed) >= 10


class StubSlot:
    """Takes down what it is sent."""

    state = "running"

    def __init__(self, *in_flight: Task) -> None:
        self.in_flight = list(in_flight)

    def send(self, task: Task) -> None:
        self.in_flight.append(task)

    @property
    def numbers(self) -> list[int]:
        return [task.number for task in self.in_flight]


def test_suspects_run_alone() -> None:
    one = np.ones(1, dtype=np.int64)
    fresh = [Task(number, 0, 0, one, one) for number in range(10)]
    suspects = [Task(number, 0, 0, one, one, deaths=1) for number in (20, 21)]
    busy, free, third = StubSlot(fresh[8]), StubSlot(), StubSlot()
    pool = ProcessPool([])
    pool._slots = [busy, free]  # type: ignore[list-item]
    pool._requeued.extend(suspects)
    source = pool._feed(iter(fresh))
    assert (busy.numbers, free.numbers) == ([8], [20])
    pool._slots = [third, free]  # type: ignore[list-item]
    source = pool._feed(source)
    assert (third.numbers, free.numbers) == ([21], [20])
    pool._slots = [busy, free]  # type: ignore[list-item]
    pool._feed(source)
    assert (busy.numbers, free.numbers) == ([8, 0, 1], [20])


@pytest.mark.parametrize(
    ("in_flight", "again"),
    [
        ([(1, 0), (2, 0), (3, 0)], [(1, 1), (2, 1), (3, 1)]),
        ([(1, 1), (2, 0)], [(1, 1), (2, 1)]),
        ([(1, 0)], [(1, 1)]),
    ],
)
def test_only_a_death_alone_counts_for_more(
    in_flight: list[tuple[int, int]], again: list[tuple[int, int]]
) -> None:
    two = np.ones(2, dtype=np.int64)
    slot = StubSlot(*[Task(number, 0, 0, two, two, deaths=deaths) for number, deaths in in_flight])
    slot.deaths = slot.restarts = 0  # type: ignore[attr-defined]
    slot.spec = WorkerSpec("cpu", lambda: None, None, Path(), 1)  # type: ignore[attr-defined]
    slot.start = lambda: None  # type: ignore[attr-defined]
    pool = ProcessPool([])
    pool._replace(slot, "died")  # type: ignore[arg-type]
    assert [(task.number, task.deaths) for task in pool._requeued] == again
    assert slot.in_flight == []


def check_random_kills(folder: Path, kills: int, seed: int = 0) -> int:
    """Kill a random worker every now and then, whatever it is doing; how many died."""
    randomly, texts = random.Random(seed), some_texts(800 * kills, seed)
    ended = threading.Event()

    def kill(pool: ProcessPool) -> None:
        for _ in range(kills):
            if ended.wait(randomly.uniform(0.1, 0.5)):
                return
            with suppress(AttributeError, ValueError):  # between two processes
                randomly.choice(pool._slots).process.kill()  # type: ignore[union-attr]

    killer: list[threading.Thread] = []

    def begin(pool: ProcessPool) -> None:
        pool.ready()
        killer.append(threading.Thread(target=kill, args=(pool,)))
        killer[0].start()

    try:
        ran = encode(texts, folder, FakeModel(seconds=0.003), workers=2, during=begin)
    finally:
        ended.set()
        killer[0].join()
    check_all(ran, texts)
    return len(ran.notes)


class TestHang:
    def test_of_a_text(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "WAKE_SECONDS", 0.05)
        texts = [*TEXTS[:20], f"{HANG} 1 2"]
        ran = encode(texts, tmp_path, workers=1, stall_seconds=0.3)
        check_all(ran, texts, {20})
        assert "has not answered for 0 seconds" in ran.notes[0]

    def test_a_stopped_worker_does_not_stop_who_feeds_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its pipe holds the largest tasks that it is sent ahead."""
        monkeypatch.setattr(module, "WAKE_SECONDS", 0.05)
        texts = ["1"] * 10_000

        def stop(pool: ProcessPool) -> None:
            pool.ready()
            os.kill(workers_of(pool)[0], signal.SIGSTOP)

        plan = RunPlan(1000, 1 << 20)
        ran = encode(texts, tmp_path, workers=1, stall_seconds=0.5, during=stop, plan=plan)
        check_all(ran, texts)
        assert len(ran.notes) == 1

    def test_time_in_which_nobody_listened_does_not_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The machine slept, or Ctrl-Z stopped all processes for hours."""
        real, calls = time.monotonic, count()

        def jumps() -> float:
            """An hour at every tenth wait: it asks before and after."""
            return real() + 3600.0 * ((next(calls) + 1) // 20)

        monkeypatch.setattr(module, "monotonic", jumps)
        ran = encode(TEXTS, tmp_path, FakeModel(seconds=0.002), workers=2, stall_seconds=9.0)
        check_all(ran, TEXTS)
        assert ran.notes == []
        assert next(calls) > 80

    def test_a_process_that_nobody_can_end(self) -> None:
        """One that a driver holds is left behind."""

        class Held:
            exitcode = None
            killed = 0

            def kill(self) -> None:
                self.killed += 1

            def join(self, timeout: float) -> None:
                assert timeout <= 5

            def is_alive(self) -> bool:
                return True

        held = Held()
        slot = Slot(WorkerSpec("cuda:0", lambda: None, None, Path(), 1), process=held)  # type: ignore[arg-type]
        assert slot.stop(kill=True) is None
        assert held.killed == 2
        assert slot.process is None


def test_one_copy_of_the_weights_at_a_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    specs = specs_of(tmp_path, partial(load_slowly, FakeModel(), log), workers=3)
    with closing(ProcessPool([replace(spec, load_alone=True) for spec in specs])) as pool:
        while not all(slot.ready for slot in pool._slots):
            list(pool._listen())
    words = [line.split() for line in log.read_text().splitlines()]
    assert [word for word, _ in words] == ["begin", "end"] * 3
    assert all(first[1] == second[1] for first, second in zip(words[::2], words[1::2], strict=True))


class TestLostDevice:
    """A CUDA error after which a process can do nothing more counts as a death."""

    def test_the_worker_is_replaced_and_only_the_text_that_does_it_fails(self, tmp_path: Path) -> None:
        texts = [*TEXTS, f"{LOSE_DEVICE} 1"]
        ran = encode(texts, tmp_path, workers=2)
        check_all(ran, texts, {len(TEXTS)})
        assert ran.encoded.failures[0].kind == "worker-died"
        assert "lost its device (CUDA error: an illegal memory access was encountered)" in ran.notes[0]
        assert "a new one takes its place" in ran.notes[0]

    def test_every_text_does_it(self, tmp_path: Path) -> None:
        texts = [f"{LOSE_DEVICE} {number}" for number in range(40)]
        with pytest.raises(QembedError, match="every device was lost") as caught:
            encode(texts, tmp_path, workers=1)
        assert "an illegal memory access" in str(caught.value.where)


class TestErrors:
    @pytest.mark.parametrize(
        ("kind", "message"),
        [
            ("known", "the model is broken"),
            ("locked", "the worker on cpu#0 failed: Locked: the model is locked"),
            ("other", "the worker on cpu#0 failed: OSError: no such device"),
        ],
    )
    def test_while_loading(self, tmp_path: Path, kind: str, message: str) -> None:
        with pytest.raises(QembedError) as caught:
            encode(TEXTS, tmp_path, workers=1, load_model=partial(load_failing, kind))
        assert caught.value.message == message
        assert caught.value.remedy is not None
        assert "load_failing" in caught.value.__notes__[0]
        if kind == "known":
            assert caught.value.where == "model.safetensors"

    def test_in_a_batch(self, tmp_path: Path) -> None:
        texts = [*TEXTS, f"{FAIL} 1"]
        with pytest.raises(QembedError, match="failed: RuntimeError: mat1 and mat2 shapes"):
            encode(texts, tmp_path, workers=2)
        assert encode(texts, tmp_path, stop=lambda: True).done.any()

    def test_what_cannot_be_imported_in_the_worker(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(load, "__module__", "a_module_that_is_not_there")
        monkeypatch.setitem(sys.modules, "a_module_that_is_not_there", sys.modules["fakes"])
        with pytest.raises(QembedError, match="ModuleNotFoundError: No module named 'a_module_that"):
            encode(TEXTS, tmp_path, workers=1)

    def test_no_process_to_be_had(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        started: list[Slot] = []
        start = Slot.start

        def second_fails(slot: Slot) -> None:
            started.append(slot)
            if len(started) == 2:
                monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", refuse)
            start(slot)

        def refuse(_: object) -> None:
            raise OSError(11, "Resource temporarily unavailable")

        monkeypatch.setattr(Slot, "start", second_fails)
        with pytest.raises(QembedError, match="cannot start a process for the worker on cpu#1: Resource"):
            ProcessPool(specs_of(tmp_path, partial(load, FakeModel()), 3))
        assert [slot.process for slot in started] == [None, None]

    def test_an_error_of_who_takes_the_results(self, tmp_path: Path) -> None:
        pids: list[int] = []

        class Takes(Exception):
            pass

        def fail(_: int) -> None:
            raise Takes

        with pytest.raises(Takes):
            encode(
                TEXTS, tmp_path, workers=1, on_rows=fail, during=lambda pool: pids.extend(workers_of(pool))
            )
        assert gone(pids)


SCRIPT = """
from functools import partial
from itertools import count
from pathlib import Path
import numpy as np, sys
from fakes import *
folder, texts = Path(sys.argv[1]), some_texts(50)
(folder / "ran").open("a").write("x")
ran = encode(texts, folder, workers=1, load_model=partial(load_chatty, FakeModel()))
print("data", bool((ran.vectors == expected(texts)).all()))
"""

HANGING = """
from pathlib import Path
import sys
from fakes import *
def during(pool):
    print("started", *[slot.process.pid for slot in pool._slots], flush=True)
    if sys.argv[2] == "working":
        pool.ready()
        print("ready", flush=True)
encode([f"{HANG} 1"], Path(sys.argv[1]), workers=1, during=during)
"""


def python(*arguments: str | Path, stdin: str | None = None, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])}
    child = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=environment,
        text=True,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )
    if stdin:
        assert child.stdin is not None
        child.stdin.write(stdin)
        child.stdin.close()
        child.stdin = None
    return child


class TestMain:
    """Whatever the main module is; and what a worker prints is not data."""

    @pytest.mark.parametrize("how", ["script", "stdin", "notebook"])
    def test_of_any_kind(self, tmp_path: Path, how: str) -> None:
        if how == "stdin":
            child = python("-", tmp_path, stdin=SCRIPT)
        else:
            script = tmp_path / "script.py"
            head = "del __file__\n__spec__ = None\n" if how == "notebook" else ""
            script.write_text(head + SCRIPT)  # no ``if __name__ == "__main__"``
            child = python(script, tmp_path)
        out, error = child.communicate(timeout=50)
        assert out == "data True\n", error
        assert error == "noise from python\nnoise from below\n" or sorted(error.splitlines()) == [
            "noise from below",
            "noise from python",
        ]
        assert (tmp_path / "ran").read_text() == "x"


@pytest.fixture
def hanging(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A run whose worker has a batch that never ends, or is still being started; and the worker's pid."""
    when = request.param
    child = python("-c", HANGING, tmp_path, when, start_new_session=True)
    assert child.stdout is not None
    pids = [int(word) for word in child.stdout.readline().split()[1:]]
    if when == "working":
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.1)
    yield child, pids
    for pid in pids:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("hanging", ["starting", "working"], indirect=True)
class TestEndOfMain:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_workers_end_with_it(self, hanging: tuple[subprocess.Popen[str], list[int]], number: int) -> None:
        child, pids = hanging
        child.send_signal(number)
        _, error = child.communicate(timeout=30)
        assert gone(pids)
        assert "Traceback" not in error

    def test_ctrl_c(self, hanging: tuple[subprocess.Popen[str], list[int]]) -> None:
        child, pids = hanging
        os.killpg(child.pid, signal.SIGINT)
        _, error = child.communicate(timeout=30)
        assert gone(pids)
        assert error.count("Traceback") == 1, error  # of the script itself
        assert error.rstrip().endswith("KeyboardInterrupt")
        assert "Process qembed" not in error


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux")
def test_ctrl_c_never_reaches_a_worker(tmp_path: Path) -> None:
    """Not while Python starts in it, when nothing there could be told to ignore it yet, and not later."""

    def has_interrupt(pid: int, mask: str) -> bool:
        status = Path(f"/proc/{pid}/status").read_text()
        (bits,) = [line.split()[1] for line in status.splitlines() if line.startswith(f"{mask}:")]
        return bool(int(bits, 16) >> (signal.SIGINT - 1) & 1)

    with closing(ProcessPool(specs_of(tmp_path, partial(load, FakeModel())))) as pool:
        (pid,) = workers_of(pool)
        assert has_interrupt(pid, "SigBlk")
        assert not has_interrupt(os.getpid(), "SigBlk")
        pool.ready()
        assert has_interrupt(pid, "SigIgn")


def test_tasks_are_small_enough_for_the_pipe() -> None:
    """See ``MAX_TEXTS``: three of the largest, with room to spare, in the 208 KiB that Linux gives a pipe."""
    import pickle

    from qembed.engine.run import MAX_TEXTS

    many = np.arange(MAX_TEXTS, dtype=np.int64)
    assert 3 * len(pickle.dumps(Task(1, 1, 0, many, many))) < 120_000


def listen_long(pool: ProcessPool) -> None:
    for _ in range(1000):
        list(pool._listen())


def test_workers_that_compute_different_vectors_stop_the_run(tmp_path: Path) -> None:
    """As of weights that are missing, and made up anew in every process."""
    said = r"does not compute what the first worker \(not cpu#\d\) computed"
    with (
        closing(ProcessPool(specs_of(tmp_path, load_differing, workers=2))) as pool,
        pytest.raises(Mismatch, match=said),
    ):
        listen_long(pool)
