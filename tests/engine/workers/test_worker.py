"""One device's share: every text its own vector or a failure, whatever the device does."""

from __future__ import annotations

import gc
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import (
    DIMENSION,
    INFO,
    NAN,
    NAN_ALWAYS,
    OOM_SPELLINGS,
    FakeModel,
    FakeTokenizer,
    exact,
    expected,
    load,
    oom,
    vector_of,
)
from hypothesis import given
from hypothesis import strategies as st

from qembed.engine import Rows, RunPlan, Task, TaskDone, Worker, WorkerSpec, make_batches
from qembed.engine.windows import tokenize_windows
from qembed.engine.workers import worker as module
from qembed.errors import QembedError


@pytest.fixture(autouse=True)
def freed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the releases; a real one costs more than all the rest."""
    calls: list[int] = []
    monkeypatch.setattr(module, "release_memory", lambda: calls.append(1))
    monkeypatch.setattr(module, "use_device", lambda device: None)  # there is no cuda:7
    return calls


def tasks_of(folder: Path, texts: Sequence[str], budget: int, reads_tokens: bool = True) -> list[Task]:
    """Writes window 0, and cuts it into tasks."""
    plan = RunPlan(1000, budget, window_texts=len(texts), reads_tokens=reads_tokens)
    window = next(tokenize_windows(lambda a, b: texts[a:b], FakeTokenizer(), plan, folder, len(texts)))
    batches = make_batches(window.lengths, token_budget=budget)
    return [Task(number, 0, 0, batch, window.lengths[batch]) for number, batch in enumerate(batches)]


def make(folder: Path, model: Any, count: int, **options: Any) -> Worker:
    Rows.create(folder, count, DIMENSION)
    spec = WorkerSpec("cuda:7", lambda: model, options.pop("load_exact", None), folder, count, **options)
    return Worker(spec)


def work_off(worker: Worker, tasks: Sequence[Task], depth: int = 2) -> list[TaskDone]:
    """As ``serve`` does it, with tasks begun ahead."""
    waiting, done = deque(tasks), []
    while waiting or worker.in_flight:
        if waiting and worker.in_flight < depth:
            worker.start(waiting.popleft())
        else:
            done.append(worker.finish())
    return done


def same(length: int, count: int) -> list[str]:
    return [" ".join([str(number + 1)] * length) for number in range(count)]


@dataclass
class Device:
    """Memory in padded tokens, shared by all passes that have begun and whose result was not taken."""

    memory: int
    late: bool = False
    error: BaseException = field(default_factory=lambda: oom("OutOfMemoryError"))
    reads_tokens: bool = True
    info: Any = INFO
    used: int = 0
    tried: list[int] = field(default_factory=list)

    def submit(self, ids: Sequence[np.ndarray]) -> Pass:
        padded = max(map(len, ids)) * len(ids)
        self.tried.append(padded)
        fits = self.used + padded <= self.memory
        if not fits and not self.late:
            raise self.error
        self.used += padded
        return Pass(self, padded, np.array([vector_of(item) for item in ids], dtype=np.float32), fits)


@dataclass
class Pass:
    device: Device
    padded: int
    vectors: np.ndarray
    fits: bool

    def result(self) -> np.ndarray:
        self.device.used -= self.padded
        if not self.fits:
            raise self.device.error
        return self.vectors


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("spelling", OOM_SPELLINGS)
def test_every_spelling_is_halved_down_to_what_fits(tmp_path: Path, spelling: str, late: bool) -> None:
    texts = same(10, 8)
    worker = make(tmp_path, FakeModel(limit_tokens=20, spelling=spelling, late=late), 8)
    (done,) = work_off(worker, tasks_of(tmp_path, texts, 80))
    splits = [(split.texts, split.padded_tokens, split.budget_tokens) for split in done.splits]
    assert splits == [(8, 80, 40), (4, 40, 20)]
    assert done.splits[0].error == (OOM_SPELLINGS[spelling].splitlines() or ["MemoryError"])[0]
    assert done.splits[0].device == "cuda:7"
    assert (done.texts, done.tokens, done.padded_tokens, done.budget_tokens) == (8, 80, 80, 20)
    rows = Rows(tmp_path, 8, DIMENSION)
    assert rows.done().all()
    assert (rows.vectors == expected(texts)).all()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        ValueError("out of memory"),
        KeyboardInterrupt(),
    ],
)
def test_nothing_else_is_swallowed(tmp_path: Path, error: BaseException, late: bool) -> None:
    device = Device(10, late, error)
    worker = make(tmp_path, device, 4)
    with pytest.raises(type(error)) as caught:
        work_off(worker, tasks_of(tmp_path, same(10, 4), 40))
    assert caught.value is error
    assert device.tried == [40]


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=40),
    memory=st.integers(1, 120),
    budget=st.integers(1, 300),
    late=st.booleans(),
    depth=st.integers(1, 3),
)
def test_every_text_has_its_own_vector_or_a_failure(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    memory: int,
    budget: int,
    late: bool,
    depth: int,
) -> None:
    folder = tmp_path_factory.mktemp("worker")
    texts = [" ".join([str(row + 1)] * length) for row, length in enumerate(lengths)]
    device = Device(memory, late)
    done = work_off(make(folder, device, len(texts)), tasks_of(folder, texts, budget), depth)
    failures = [failure for result in done for failure in result.failures]
    too_long = [row for row, length in enumerate(lengths) if length > memory]
    assert sorted(failure.row for failure in failures) == too_long
    assert all(failure.tokens == lengths[failure.row] for failure in failures)
    rows = Rows(folder, len(texts), DIMENSION)
    assert np.flatnonzero(~rows.done()).tolist() == too_long
    assert (rows.vectors[rows.done()] == expected(texts)[rows.done()]).all()
    assert sum(result.texts for result in done) == len(texts) - len(too_long)
    assert sum(result.tokens for result in done) == sum(length for length in lengths if length <= memory)
    assert device.used == 0


def test_a_text_is_judged_only_when_it_had_all_the_memory(tmp_path: Path, freed: list[int]) -> None:
    texts = same(10, 4)
    device = Device(10)  # one fits, two at a time do not
    done = work_off(make(tmp_path, device, 4), tasks_of(tmp_path, texts, 10), depth=3)
    assert [result.failures for result in done] == [()] * 4
    assert freed  # what the first attempt left
    assert Rows(tmp_path, 4, DIMENSION).done().all()


def test_a_text_that_does_not_fit_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    texts = ["7 " * 500, "1 2"]
    tasks = tasks_of(tmp_path, texts, 1000)
    (done,) = work_off(make(tmp_path, Device(100), 2), tasks)
    (failure,) = done.failures
    assert (failure.row, failure.tokens, failure.kind) == (0, 500, "out-of-memory")
    assert failure.reason.startswith("500 tokens alone do not fit cuda:7: CUDA out of memory.")
    assert done.texts == 1
    assert Rows(tmp_path, 2, DIMENSION).done().tolist() == [False, True]


def test_after_a_failure_larger_batches_are_split_before_they_are_tried(tmp_path: Path) -> None:
    device = Device(40)
    done = work_off(make(tmp_path, device, 64), tasks_of(tmp_path, same(10, 64), 160), depth=1)
    # 160 fails, then 80; the other batches of 160 never reach the device.
    assert device.tried[:3] == [160, 80, 40]
    assert max(device.tried[3:]) == 40
    assert [len(result.splits) for result in done] == [2, 0, 0, 0]


def test_the_budget_grows_back_by_a_quarter_after_twenty_batches(tmp_path: Path) -> None:
    device = Device(1000)
    worker = make(tmp_path, device, 800)
    budgets = []
    for number, task in enumerate(tasks_of(tmp_path, same(10, 800), 80)):
        device.memory = 40 if number == 5 else 1000
        budgets += [result.budget_tokens for result in work_off(worker, [task])]
    # Two batches of 40 for each of 80: grown after ten tasks; 40, 50, 62, 77, 96. Five before do not count.
    assert budgets[:6] == [0, 0, 0, 0, 0, 40]
    assert budgets[13:15] == [40, 50]
    assert [budgets[index] for index in (24, 34, 44)] == [62, 77, 96]
    assert set(device.tried[6:86]) == {40}
    assert set(device.tried[86:]) == {80}


@pytest.mark.parametrize("late", [False, True])
def test_a_failed_batch_is_freed_before_the_next_attempt(
    tmp_path: Path, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors: list[weakref.ref[Any]] = []
    alive: list[bool] = []
    monkeypatch.setattr(module, "release_memory", lambda: alive.append(tensors[-1]() is not None))

    class Tensor:
        def result(self) -> np.ndarray:
            raise oom("OutOfMemoryError")

    class Model(FakeModel):
        def submit(self, ids: Sequence[np.ndarray]) -> Any:
            alive.extend(tensor() is not None for tensor in tensors)
            if len(ids) == 1:
                return super().submit(ids)
            tensor = Tensor()
            tensors.append(weakref.ref(tensor))
            if late:
                return tensor
            raise oom("OutOfMemoryError")

    gc.disable()  # what only a collection would free is not free yet
    try:
        work_off(make(tmp_path, Model(), 4), tasks_of(tmp_path, same(5, 4), 20))
    finally:
        gc.enable()
    assert len(tensors) == 2  # the batch of four, the first half; then the budget is known
    assert not any(alive)


class TestNotFinite:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_made_again_in_fp32(self, tmp_path: Path, bad: float) -> None:
        class Overflows(FakeModel):
            def submit(self, ids: Sequence[np.ndarray]) -> Any:
                done = super().submit(ids)
                done.vectors[[item[0] == 5 for item in ids], 2] = bad
                return done

        texts = same(3, 9)
        worker = make(tmp_path, Overflows(), 9, load_exact=partial(load, exact(FakeModel())))
        (done,) = work_off(worker, tasks_of(tmp_path, texts, 100))
        assert (done.retried, done.failures, done.texts) == ((4,), (), 9)
        rows = Rows(tmp_path, 9, DIMENSION)
        assert rows.done().all()
        assert (rows.vectors == expected(texts)).all()

    def test_not_finite_in_fp32_either(self, tmp_path: Path) -> None:
        texts = ["1 2 3", f"{NAN_ALWAYS} 5", f"{NAN} 5"]
        worker = make(tmp_path, FakeModel(), 3, load_exact=partial(load, exact(FakeModel())))
        (done,) = work_off(worker, tasks_of(tmp_path, texts, 100))
        (failure,) = done.failures
        assert (failure.row, failure.tokens, failure.kind) == (1, 2, "not-finite")
        assert failure.reason == "its vector is not finite in fp16; in fp32 it is not finite either"
        assert done.retried == (2,)
        assert (done.texts, done.tokens) == (2, 5)
        assert Rows(tmp_path, 3, DIMENSION).done().tolist() == [True, False, True]

    def test_it_was_fp32_already(self, tmp_path: Path) -> None:
        texts = [f"{NAN_ALWAYS} 5", "1"]
        (done,) = work_off(make(tmp_path, exact(FakeModel()), 2), tasks_of(tmp_path, texts, 100))
        assert [failure.reason for failure in done.failures] == ["its vector is not finite in fp32"]
        assert Rows(tmp_path, 2, DIMENSION).done().tolist() == [False, True]

    def test_fp32_does_not_fit(self, tmp_path: Path, freed: list[int]) -> None:
        small = partial(load, exact(FakeModel(limit_tokens=1)))
        worker = make(tmp_path, FakeModel(), 1, load_exact=small)
        (done,) = work_off(worker, tasks_of(tmp_path, [f"{NAN} 5"], 100))
        assert "; in fp32 it does not fit: CUDA out of memory" in done.failures[0].reason
        assert done.splits == ()
        assert freed == [1]

    def test_fp32_cannot_be_loaded_and_is_not_tried_twice(self, tmp_path: Path, freed: list[int]) -> None:
        tries = []

        def fail() -> FakeModel:
            tries.append(1)
            raise oom("OutOfMemoryError")

        texts = [f"{NAN} 5", f"{NAN} 6", "7"]
        worker = make(tmp_path, FakeModel(), 3, load_exact=fail)
        (done,) = work_off(worker, tasks_of(tmp_path, texts, 100))
        assert [failure.row for failure in done.failures] == [0, 1]
        assert "cannot be loaded in fp32: CUDA out of memory" in done.failures[1].reason
        assert len(tries) == len(freed) == 1


class TestWrongShape:
    @pytest.mark.parametrize("extra", [-1, 1])
    def test_another_number_of_vectors(self, tmp_path: Path, extra: int) -> None:
        worker = make(tmp_path, FakeModel(extra=extra), 3)
        with pytest.raises(QembedError, match=rf"returned {3 + extra} x 4 numbers for 3 texts of 4 dim"):
            work_off(worker, tasks_of(tmp_path, same(2, 3), 100))
        assert not Rows(tmp_path, 3, DIMENSION).done().any()

    def test_another_dimension(self, tmp_path: Path) -> None:
        worker = make(tmp_path, FakeModel(info=replace(INFO, dimension=3)), 3)
        with pytest.raises(QembedError, match="returned 3 x 4 numbers for 3 texts of 3 dimensions"):
            work_off(worker, tasks_of(tmp_path, same(2, 3), 100))


def test_texts_where_the_model_takes_no_tokens(tmp_path: Path) -> None:
    texts = same(10, 8)
    model = FakeModel(limit_tokens=40, reads_tokens=False)
    worker = make(tmp_path, model, 8)
    assert not worker.ready.reads_tokens
    (done,) = work_off(worker, tasks_of(tmp_path, texts, 80, reads_tokens=False))
    assert len(done.splits) == 1
    assert (Rows(tmp_path, 8, DIMENSION).vectors == expected(texts)).all()


@pytest.mark.parametrize(("every", "times"), [(0, 0), (1, 7), (3, 2)])
def test_memory_is_given_back_every_so_many_batches(
    tmp_path: Path, freed: list[int], every: int, times: int
) -> None:
    worker = make(tmp_path, FakeModel(), 7, empty_cache_every=every)
    work_off(worker, tasks_of(tmp_path, same(10, 7), 10))
    assert len(freed) == times


def test_memory_in_use_is_asked_for_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(module, "used_memory_bytes", lambda device: asked.append(device) or 77)
    clock = iter(np.arange(0.0, 100.0, 0.1))
    monkeypatch.setattr(module, "perf_counter", lambda: float(next(clock)))
    done = work_off(make(tmp_path, FakeModel(), 40), tasks_of(tmp_path, same(10, 40), 10), depth=1)
    assert {result.memory_bytes for result in done} == {77}
    assert 4 < len(asked) < 12


def test_two_windows_at_once(tmp_path: Path) -> None:
    """Tasks of one window may come between those of another: a dead worker's come back late."""
    texts = same(3, 20)
    plan = RunPlan(1000, 100, window_texts=10)
    list(tokenize_windows(lambda a, b: texts[a:b], FakeTokenizer(), plan, tmp_path, 20))
    parts = [(window, np.arange(start, start + 5)) for start in (0, 5) for window in (1, 0)]
    tasks = [Task(n, window, window * 10, batch, np.full(5, 3)) for n, (window, batch) in enumerate(parts)]
    work_off(make(tmp_path, FakeModel(), 20), tasks)
    rows = Rows(tmp_path, 20, DIMENSION)
    assert rows.done().all()
    assert (rows.vectors == expected(texts)).all()
