"""Nothing in the engine may hang: a test that does is ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

LIMIT_SECONDS = {"fast": 60, "slow": 600}


@pytest.fixture(autouse=True)
def _no_hang(request: pytest.FixtureRequest) -> Iterator[None]:
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def hangs(*_: object) -> None:
        raise TimeoutError("the test hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(LIMIT_SECONDS["slow" if request.node.get_closest_marker("slow") else "fast"])
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
