"""What is decided while judging, against the verdict; the benchmark has the table."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def check(monkeypatch):
    """benchmarks/outlook_check.py; forgotten after the test."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("common", "outlook_check")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield import_module("outlook_check")
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("shape", ["large", "half tied", "small wins, large losses"])
def test_decided_is_not_more_than_the_verdict(check, shape):
    said, verdicts, alone = check.row(shape, 20, 20, np.random.default_rng(1))
    assert alone == 0
    assert said == verdicts
    assert (verdicts > 10) == (shape == "large")
