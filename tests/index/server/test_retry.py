"""The schedule of retries, by an invented clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.index.server.retry import Again, GaveUp, Patience, retrying, wait_seconds


@dataclass
class Clock:
    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def failing(times: int, error: Exception | None = None) -> Callable[[], str]:
    left = [error or OSError("gone")] * times

    def call() -> str:
        if left:
            raise left.pop()
        return "done"

    return call


def run(call: Callable[[], str], patience: Patience, clock: Clock, after: float | None = None) -> str:
    def passing(error: Exception) -> Again | None:
        return Again(str(error), after) if isinstance(error, OSError) else None

    return retrying(
        call, passing=passing, patience=patience, clock=clock, sleep=clock.sleep, fraction=lambda: 1.0
    )


def test_waits_double_up_to_the_cap() -> None:
    clock = Clock()
    assert run(failing(6), Patience(300, 0.5, 4), clock) == "done"
    assert clock.slept == [0.5, 1, 2, 4, 4, 4]


def test_gives_up_at_the_limit_and_not_after_it() -> None:
    clock = Clock()
    with pytest.raises(GaveUp) as gave_up:
        run(failing(99), Patience(10, 0.5, 4), clock)
    assert clock.now == 7.5  # the next 4 s would end at 11.5
    assert gave_up.value.seconds == 7.5
    assert gave_up.value.tries == 5
    assert isinstance(gave_up.value.__cause__, OSError)


def test_the_limit_counts_from_the_first_failure_of_each_call() -> None:
    clock = Clock(now=1000.0)
    for _ in range(5):
        assert run(failing(4), Patience(8, 0.5, 4), clock) == "done"


def test_the_server_says_how_long() -> None:
    clock = Clock()
    assert run(failing(2), Patience(), clock, after=7.0) == "done"
    assert clock.slept == [7.5, 7.5]


def test_a_server_that_asks_for_more_than_there_is_time_is_given_up_at_once() -> None:
    clock = Clock()
    with pytest.raises(GaveUp):
        run(failing(1), Patience(60), clock, after=3600.0)
    assert not clock.slept


def test_what_does_not_pass_is_raised_at_once() -> None:
    clock = Clock()
    with pytest.raises(ValueError, match="wrong"):
        run(failing(1, ValueError("wrong")), Patience(), clock)
    assert not clock.slept


def test_no_patience_is_one_try() -> None:
    with pytest.raises(GaveUp) as gave_up:
        run(failing(1), Patience(0), Clock())
    assert gave_up.value.tries == 1


@given(st.integers(1, 10**6), st.floats(0, 1), st.none() | st.floats(0, 1e6))
def test_waits_stay_within_bounds(failures: int, fraction: float, after: float | None) -> None:
    patience = Patience()
    seconds = wait_seconds(failures, Again("", after), patience, fraction)
    if after is None:
        assert 0 <= seconds <= patience.cap_seconds
    else:
        assert after <= seconds <= after + patience.first_seconds
