"""Trying again: exponential waits with full jitter, up to a limit in time.

Each wait is uniform between 0 and a bound that doubles ("Exponential Backoff And Jitter", Brooker, AWS
Architecture Blog, 2015), so that clients that failed together come back apart. Where the server says how long
to wait (Retry-After), the wait is at least that long.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try again.

    Attributes:
        limit_seconds: From the first failure of a call until it is given up; 0 tries once.
        first_seconds: Bound of the first wait.
        cap_seconds: Largest bound.
    """

    limit_seconds: float = 300.0
    first_seconds: float = 0.5
    cap_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Again:
    """A failure that may pass.

    Attributes:
        why: What happened, in words.
        after_seconds: What the server asked for; None where it said nothing.
    """

    why: str
    after_seconds: float | None = None


class GaveUp(Exception):
    """A failure that may pass did not pass in time; ``__cause__`` is the last of them.

    Attributes:
        why: What happened last, in words.
        tries: How often it was tried.
        seconds: Since the first failure.
    """

    def __init__(self, why: str, tries: int, seconds: float) -> None:
        super().__init__(why)
        self.why, self.tries, self.seconds = why, tries, seconds


def wait_seconds(failures: int, again: Again, patience: Patience, fraction: float) -> float:
    """How long to wait after a number of failures in a row, at least 1.

    Args:
        failures: Failures of the same call so far.
        again: The last of them.
        patience: Bounds.
        fraction: A random number, 0 to 1.
    """
    doubled = patience.first_seconds * 2.0 ** min(failures - 1, 32)
    if again.after_seconds is None:
        return fraction * min(doubled, patience.cap_seconds)
    return again.after_seconds + fraction * patience.first_seconds


def retrying(
    call: Callable[[], Result],
    *,
    passing: Callable[[Exception], Again | None],
    patience: Patience = Patience(),
    retry: Callable[[Again, float], None] = lambda *_: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    fraction: Callable[[], float] = random.random,
) -> Result:
    """The result of ``call``, tried again while it fails in a way that may pass.

    Args:
        call: Idempotent: it may have been applied although it failed.
        passing: Whether a failure may pass; of None, the failure is raised.
        patience: How long.
        retry: Told of every failure, and how long it is waited.
        clock: Seconds.
        sleep: Waits; may raise in order to stop.
        fraction: A random number, 0 to 1.

    Raises:
        GaveUp: It was still failing at the limit, or the server asks to wait beyond it.
        Exception: A failure that does not pass.
    """
    failures, began = 0, 0.0
    while True:
        try:
            return call()
        except Exception as error:
            again = passing(error)
            if again is None:
                raise
            failures += 1
            now = clock()
            if failures == 1:
                began = now
            seconds = wait_seconds(failures, again, patience, fraction())
            if now - began + seconds > patience.limit_seconds:
                raise GaveUp(again.why, failures, now - began) from error
        retry(again, seconds)
        sleep(seconds)
