"""Streams: every batch once, a few at a time, and an end that keeps what succeeded."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from qembed.index.server.batches import Batch, Encoded
from qembed.index.server.send import Sent, send


def numbered(count: int) -> Iterator[Batch]:
    for number in range(count):
        yield Batch((Encoded(number, str(number), number, "", b"{}"),))


def sent(batch: Batch) -> Sent:
    return Sent(batch.first, batch.last, len(batch.points), 0, 2)


def test_every_batch_is_written_and_told_once() -> None:
    told: list[int] = []
    send(numbered(100), sent, lambda each: told.append(each.first), streams=3, stop=threading.Event())
    assert sorted(told) == list(range(100))


def test_no_more_streams_than_asked_for_and_few_batches_ahead() -> None:
    running, most, taken = 0, 0, 0
    lock = threading.Lock()

    def counted() -> Iterator[Batch]:
        nonlocal taken
        for batch in numbered(50):
            taken += 1
            yield batch

    def write(batch: Batch) -> Sent:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            assert taken - batch.first <= 3 * 4 + 1  # so memory stays flat
        time.sleep(0.001)
        with lock:
            running -= 1
        return sent(batch)

    send(counted(), write, lambda each: None, streams=4, stop=threading.Event())
    assert most <= 4


def test_the_first_failure_ends_it_and_what_succeeded_counts() -> None:
    told: list[int] = []
    stop = threading.Event()
    failed = threading.Event()

    def write(batch: Batch) -> Sent:
        if batch.first == 5:
            failed.set()
            raise OSError("gone")
        if batch.first == 6:  # under way when the other one fails
            failed.wait()
            stop.wait()
        return sent(batch)

    with pytest.raises(OSError, match="gone"):
        send(numbered(1000), write, lambda each: told.append(each.first), streams=2, stop=stop)
    assert stop.is_set()
    assert set(range(5)) <= set(told)
    assert 6 in told
    assert len(told) < 20


def test_a_failure_of_the_source_ends_it() -> None:
    written = threading.Semaphore(0)

    def source() -> Iterator[Batch]:
        yield from numbered(3)
        for _ in range(3):
            written.acquire()
        raise ValueError("the file has changed")

    def write(batch: Batch) -> Sent:
        written.release()
        return sent(batch)

    told: list[int] = []
    with pytest.raises(ValueError, match="the file has changed"):
        send(source(), write, lambda each: told.append(each.first), streams=2, stop=threading.Event())
    assert sorted(told) == [0, 1, 2]


def test_an_interrupt_does_not_wait_for_a_request_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qembed.index.server.send.GRACE_SECONDS", 0.05)
    hang = threading.Event()

    def source() -> Iterator[Batch]:
        yield from numbered(2)
        raise KeyboardInterrupt

    def write(batch: Batch) -> Sent:
        hang.wait(60)
        return sent(batch)

    with pytest.raises(KeyboardInterrupt):
        send(source(), write, lambda each: None, streams=2, stop=threading.Event())
    hang.set()


def test_nothing_to_send() -> None:
    send(iter(()), sent, lambda each: None, stop=threading.Event())
