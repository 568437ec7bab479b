"""Windows of texts to rows: in order, resumed batch by batch, stopped in time, with bounded memory."""

from __future__ import annotations

import threading
import tracemalloc
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import (
    DIMENSION,
    NAN_ALWAYS,
    FakeModel,
    FakeTokenizer,
    encode,
    expected,
    ids_of,
    load,
    some_texts,
)
from hypothesis import given
from hypothesis import strategies as st

from qembed.engine import InlinePool, ProcessPool, Rows, RunPlan, WorkerSpec, deadline, encode_rows
from qembed.engine import run as module
from qembed.errors import QembedError
from qembed.models.tokens import Tokenized
from qembed.progress import Progress

PLAN = RunPlan(1000, 64, window_texts=50)


@pytest.fixture(autouse=True)
def _no_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after each batch that does not fit costs more than all the rest."""
    monkeypatch.setattr("qembed.engine.workers.worker.release_memory", lambda: None)


class Told(Progress):
    """Remembers."""

    def __init__(self) -> None:
        self.expected: list[int] = []
        self.tokens = self.texts = self.statuses = 0

    def expect(self, total: int) -> None:
        self.expected.append(total)

    def advance(self, amount: int, *, texts: int = 0) -> None:
        self.tokens += amount
        self.texts += texts

    def devices(self, statuses: Any) -> None:
        self.statuses += len(statuses)


def log_of(path: Path) -> list[str]:
    return [line.split(" ", 1)[1] for line in path.read_text().splitlines()] if path.exists() else []


def stop_after(batches: int) -> Any:
    asked: list[int] = []
    return lambda: (asked.append(1), len(asked) > batches)[1]


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=60),
    window=st.integers(1, 70),
    budget=st.integers(1, 60),
    limit=st.none() | st.integers(1, 5),
    cut=st.integers(1, 15),
    skipped=st.sets(st.integers(0, 59)),
)
def test_every_row_that_is_not_skipped_is_made(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    window: int,
    budget: int,
    limit: int | None,
    cut: int,
    skipped: set[int],
) -> None:
    folder = tmp_path_factory.mktemp("run")
    texts = [" ".join(str(row + position + 1) for position in range(n)) for row, n in enumerate(lengths)]
    skip = np.array([row in skipped for row in range(len(texts))])
    counted, told, ends = np.zeros(len(texts), dtype=np.int64), Told(), []
    plan = RunPlan(cut, budget, max_batch=limit, window_texts=window)
    ran = encode(texts, folder, plan=plan, skip=skip, lengths=counted, progress=told, on_rows=ends.append)
    read = [" ".join(text.split()[:cut]) for text in texts]
    assert ran.done.tolist() == (~skip).tolist()
    assert (ran.vectors[~skip] == expected(read)[~skip]).all()
    assert counted.tolist() == lengths
    made = [len(read[row].split()) for row in np.flatnonzero(~skip)]
    assert (ran.encoded.texts, ran.encoded.tokens) == (len(made), sum(made))
    assert (told.texts, told.tokens, told.statuses) == (len(made), sum(made), ran.encoded.batches)
    assert ends == sorted(set(ends))
    assert ends[-1] == len(texts)
    assert sorted(path.name for path in folder.iterdir()) == ["done.u32", "vectors.f32"]


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_are_told_of_in_order_and_only_when_all_below_are_there(tmp_path: Path, workers: int) -> None:
    texts = some_texts(300)
    texts[120] = f"{NAN_ALWAYS} 1"
    ends: list[int] = []

    def check(end: int) -> None:
        ends.append(end)
        done = Rows(tmp_path, 300, DIMENSION).done()
        assert np.flatnonzero(~done[:end]).tolist() == ([120] if end > 120 else [])

    encode(texts, tmp_path, workers=workers, plan=PLAN, on_rows=check)
    assert ends == sorted(set(ends))
    assert ends[-1] == 300
    if not workers:
        assert ends == [50, 100, 150, 200, 250, 300]


def test_a_window_that_is_finished_before_an_earlier_one() -> None:
    ends: list[int] = []
    windows = module._OpenWindows(Path("nowhere"), ends.append)
    for number in range(3):
        windows.open(module.Window(number, number * 10, np.zeros(10, dtype=np.int64)), 10)
    windows.close_texts(1, 10)
    windows.close_texts(0, 9)
    assert ends == []
    windows.close_texts(0, 1)
    assert ends == [20]
    windows.close_texts(2, 10)
    assert ends == [20, 30]


class TestExpected:
    def test_the_last_is_exact_and_the_first_foresees(self, tmp_path: Path) -> None:
        texts = [" ".join(["7"] * (1 + row % 5)) for row in range(200)]
        told = Told()
        sizes = np.array([len(text) for text in texts])
        encode(texts, tmp_path, plan=PLAN, progress=told, sizes=sizes)
        total = sum(len(text.split()) for text in texts)
        assert len(told.expected) == 4
        assert told.expected[-1] == told.tokens == total
        assert told.expected[0] == total  # all windows are alike

    def test_what_is_done_is_not_expected(self, tmp_path: Path) -> None:
        texts = some_texts(200)
        encode(texts, tmp_path, plan=PLAN, stop=stop_after(20))
        told = Told()
        encode(texts, tmp_path, plan=PLAN, progress=told)
        assert told.expected[-1] == told.tokens


class TestResume:
    def test_only_what_is_not_finished_runs_in_the_same_batches(self, tmp_path: Path) -> None:
        """To the last bit: this model's vectors depend on what else is in the batch."""
        texts = some_texts(200)
        whole, broken = tmp_path / "whole", tmp_path / "broken"
        whole.mkdir()
        broken.mkdir()

        class Padded(FakeModel):
            def submit(self, ids: Any) -> Any:
                done = super().submit(ids)
                done.vectors[:, 3] = len(ids) * 1000 + max(map(len, ids))
                return done

        unbroken = encode(texts, whole, Padded(log=whole / "log"), plan=PLAN)
        first = encode(texts, broken, Padded(log=broken / "log"), plan=PLAN, stop=stop_after(23))
        assert (first.encoded.stopped, first.encoded.batches) == (True, 23)
        assert first.done.sum() == first.encoded.texts
        Rows(broken, 200, DIMENSION).forget(np.flatnonzero(first.done)[[0, 40]])  # half a batch is none
        second = encode(texts, broken, Padded(log=broken / "log"), plan=PLAN)
        assert second.vectors.tobytes() == unbroken.vectors.tobytes()
        assert not second.encoded.stopped
        assert second.encoded.resumed + second.encoded.texts == 200
        again = len(log_of(broken / "log")) - len(log_of(whole / "log"))
        assert 1 <= again <= 2  # the batches of the two rows
        assert sorted(set(log_of(broken / "log"))) == sorted(set(log_of(whole / "log")))

    def test_nothing_is_left(self, tmp_path: Path) -> None:
        texts, ends = some_texts(120), []
        encode(texts, tmp_path, plan=PLAN)
        ran = encode(texts, tmp_path, FakeModel(log=tmp_path / "log"), plan=PLAN, on_rows=ends.append)
        assert (ran.encoded.batches, ran.encoded.resumed, ran.encoded.texts) == (0, 120, 0)
        assert log_of(tmp_path / "log") == []
        assert ends == [50, 100, 120]

    def test_a_damaged_row_is_made_again(self, tmp_path: Path) -> None:
        texts = some_texts(120)
        encode(texts, tmp_path, plan=PLAN)
        Rows(tmp_path, 120, DIMENSION).vectors[77, 2] += 1
        ran = encode(texts, tmp_path, plan=PLAN)
        assert ran.encoded.batches == 1
        assert (ran.vectors == expected(texts)).all()

    def test_failed_texts_are_tried_again(self, tmp_path: Path) -> None:
        texts = ["1 " * 30, *some_texts(20)]
        first = encode(texts, tmp_path, FakeModel(limit_tokens=25), plan=PLAN)
        assert [failure.row for failure in first.encoded.failures] == [0]
        second = encode(texts, tmp_path, plan=PLAN)
        assert second.encoded.batches == 1
        assert (second.vectors == expected(texts)).all()

    def test_a_damaged_row_whose_text_fails_now_does_not_pass_for_a_vector(self, tmp_path: Path) -> None:
        texts = some_texts(30)
        encode(texts, tmp_path)
        rows = Rows(tmp_path, len(texts), DIMENSION)
        rows.vectors[7, 0] += 1
        texts[7] = f"{NAN_ALWAYS} " + texts[7].partition(" ")[2]
        ran = encode(texts, tmp_path)
        assert [failure.row for failure in ran.encoded.failures] == [7]
        assert np.flatnonzero(rows.checksums == 0).tolist() == [7]


class TestStop:
    @pytest.mark.parametrize("workers", [0, 1])
    def test_what_has_begun_is_finished(self, tmp_path: Path, workers: int) -> None:
        texts = some_texts(300)
        ran = encode(texts, tmp_path, workers=workers, plan=PLAN, stop=stop_after(12))
        assert ran.encoded.stopped
        assert ran.encoded.batches == 12
        assert ran.done.sum() == ran.encoded.texts > 0
        assert (ran.vectors[ran.done] == expected(texts)[ran.done]).all()
        assert not list(tmp_path.glob("window-*"))

    def test_deadline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [100.0]
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
        stop = deadline(10.0, reserve_seconds=3.0)
        assert not stop()
        now[0] = 106.9
        assert not stop()
        now[0] = 107.0
        assert stop()
        assert not deadline(None)()


def test_a_device_on_which_nothing_fits_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HOPELESS_TEXTS", 10)
    texts = some_texts(50)
    with pytest.raises(QembedError, match=r"no text has a vector, and 1[0-9] were tried") as caught:
        encode(texts, tmp_path, FakeModel(limit_tokens=0))
    assert "CUDA out of memory" in str(caught.value.where)
    fits = encode(["1", *texts], tmp_path, FakeModel(limit_tokens=1), plan=RunPlan(1, 1, window_texts=1))
    assert fits.done.all()


def test_texts_that_fail_beside_others_do_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HOPELESS_TEXTS", 10)
    texts = ["1", *["1 2 3"] * 50]
    ran = encode(texts, tmp_path, FakeModel(limit_tokens=2), plan=RunPlan(1000, 64, window_texts=1))
    assert len(ran.encoded.failures) == 50


def test_an_interrupt_leaves_nothing_but_rows(tmp_path: Path) -> None:
    def interrupt(end: int) -> None:
        if end == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        encode(some_texts(600), tmp_path, plan=PLAN, on_rows=interrupt)
    assert [thread.name for thread in threading.enumerate() if "tokenizer" in thread.name] == []
    del caught  # held the frames until here
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done.u32", "vectors.f32"]
    assert Rows(tmp_path, 600, DIMENSION).done()[:100].all()


def test_time_on_the_device_is_shared_by_tokens(tmp_path: Path) -> None:
    ran = encode(["1 2 3", "1"], tmp_path, FakeModel(seconds=0.01))
    seconds = ran.encoded.seconds
    assert seconds.dtype == np.float32
    assert seconds[0] == pytest.approx(3 * seconds[1])
    assert seconds.sum() == pytest.approx(sum(done.seconds for done in ran.encoded.history), rel=1e-5)


def test_history_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_HISTORY", 5)
    ran = encode(some_texts(100), tmp_path)
    assert len(ran.encoded.history) == 5
    assert ran.encoded.batches > 5


class Ones(FakeTokenizer):
    """Every text is one token, and costs nothing."""

    def encode(self, texts: Any, max_tokens: int = 1000) -> Tokenized:
        ones = np.ones(len(texts), dtype=np.int32)
        return Tokenized(ones.astype(np.int64), ones, np.arange(len(texts) + 1, dtype=np.int64))


def test_memory_is_a_few_bytes_a_text(tmp_path: Path) -> None:
    """Lengths, seconds, flags and the forecast are arrays; no object is kept for a text."""

    def peak(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        spec = WorkerSpec("cpu", lambda: Same(), None, folder, count)
        rows, lengths = Rows.create(folder, count, DIMENSION), np.zeros(count, dtype=np.int64)
        tracemalloc.start()
        try:
            encode_rows(
                InlinePool(spec),
                rows,
                lambda first, last: range(first, last),  # type: ignore[arg-type, return-value]
                Ones(),
                RunPlan(1000, 2048, window_texts=4096),
                folder,
                lengths=lengths,
            )
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    class Same(FakeModel):
        def submit(self, ids: Any) -> Any:
            return Answer(np.ones((len(ids), DIMENSION), dtype=np.float32))

    class Answer:
        def __init__(self, vectors: np.ndarray) -> None:
            self.vectors = vectors

        def result(self) -> np.ndarray:
            return self.vectors

    assert (peak(150_000) - peak(50_000)) / 100_000 < 48


def test_pools_give_back_what_they_were_given(tmp_path: Path) -> None:
    """A pool can be asked for its statuses after the run, for the summary."""
    texts = some_texts(60)
    rows = Rows.create(tmp_path, 60, DIMENSION)
    specs = [WorkerSpec("cpu#0", partial(load, FakeModel()), None, tmp_path, 60)]
    with closing(ProcessPool(specs)) as pool:
        encode_rows(
            pool,
            rows,
            lambda first, last: texts[first:last],
            FakeTokenizer(),
            PLAN,
            tmp_path,
            lengths=np.zeros(60, dtype=np.int64),
        )
        (status,) = pool.statuses()
    assert (status.state, status.texts, status.restarts) == ("done", 60, 0)
    assert status.tokens == sum(len(ids_of(text)) for text in texts)
    assert status.memory_used_bytes > 1_000_000
