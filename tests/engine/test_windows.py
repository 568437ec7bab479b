"""Windows: tokenised in another thread, a bounded number ahead; nothing is left of it, however it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeTokenizer, encode, ids_of, some_texts

from qembed.engine import RunPlan
from qembed.engine.ragged import Ragged, window_path
from qembed.engine.windows import Window, ahead, tokenize_windows


class Panic(BaseException):
    """As a tokenizer written in Rust panics: no ``Exception``."""


def tokenizer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "qembed tokenizer"]


def windows_of(texts: Sequence[str], plan: RunPlan, folder: Path) -> Iterator[Window]:
    return tokenize_windows(lambda a, b: texts[a:b], FakeTokenizer(), plan, folder, len(texts))


@pytest.mark.parametrize("size", [1, 7, 25, 100])
@pytest.mark.parametrize("reads_tokens", [True, False])
def test_every_text_is_in_one_window_at_its_place(tmp_path: Path, size: int, reads_tokens: bool) -> None:
    texts = some_texts(25)
    rows: list[list[int]] = []
    for window in windows_of(texts, RunPlan(9, 64, window_texts=size, reads_tokens=reads_tokens), tmp_path):
        assert window.first_row == len(rows)
        everything = np.arange(len(window.lengths))
        ragged = Ragged(window_path(tmp_path, window.number), tokens=reads_tokens)
        if reads_tokens:
            read = [item.tolist() for item in ragged.ids(everything)]
            assert read == [ids_of(texts[len(rows) + n])[:9] for n in everything]
        else:
            read = [ids_of(text) for text in ragged.texts(everything)]
        assert window.lengths.tolist() == [len(ids_of(text)) for text in texts[len(rows) :][: len(read)]]
        rows += read
    assert len(rows) == 25


def test_no_more_than_two_are_made_ahead() -> None:
    made: list[int] = []
    third = threading.Event()

    def items() -> Iterator[Window]:
        for number in range(9):
            made.append(number)
            if number == 2:
                third.set()
            yield Window(number, 0, np.zeros(1, dtype=np.int64))

    with ahead(items()) as windows:
        assert not third.wait(0.1)
        assert made == [0, 1]
        assert next(windows).number == 0
        assert third.wait(10)
        assert [window.number for window in windows] == list(range(1, 9))
    assert tokenizer_threads() == []


def test_never_more_than_three_files_on_disk(tmp_path: Path) -> None:
    seen: list[int] = []
    tokenizer = FakeTokenizer(on_encode=lambda _: seen.append(len(list(tmp_path.glob("window-*")))))
    encode(some_texts(200), tmp_path, plan=RunPlan(1000, 64, window_texts=10), tokenizer=tokenizer)
    assert len(seen) == 20
    assert max(seen) == 3  # the one that is written counts
    assert not list(tmp_path.glob("window-*"))


@pytest.mark.parametrize(
    "error", [ValueError("cannot tokenise"), OSError(28, "No space left"), Panic("rust")]
)
@pytest.mark.parametrize("at", [1, 3])
def test_an_error_of_the_tokenizer_is_raised_by_the_run(
    tmp_path: Path, error: BaseException, at: int
) -> None:
    calls: list[int] = []

    def fail(count: int) -> None:
        calls.append(count)
        if len(calls) == at:
            raise error

    with pytest.raises(type(error)) as caught:
        encode(some_texts(500), tmp_path, tokenizer=FakeTokenizer(on_encode=fail))
    assert caught.value is error
    assert tokenizer_threads() == []
    assert not list(tmp_path.glob("window-*"))


def test_an_early_end_leaves_no_thread(tmp_path: Path) -> None:
    windows = windows_of(some_texts(100), RunPlan(1000, 64, window_texts=10), tmp_path)
    with ahead(windows) as taken:
        next(taken)
        time.sleep(0.1)  # until it waits for room
        assert len(tokenizer_threads()) == 1
    assert tokenizer_threads() == []
