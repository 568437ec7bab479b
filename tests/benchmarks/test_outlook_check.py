"""What is decided while judging, against the verdict; the benchmark has the table."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def check(scripts):
    """benchmarks/outlook_check.py; forgotten after the test."""
    return scripts("common", "outlook_check")["outlook_check"]


@pytest.mark.parametrize("shape", ["large", "half tied", "small wins, large losses"])
def test_decided_is_not_more_than_the_verdict(check, shape):
    said, verdicts, alone = check.row(shape, 20, 20, np.random.default_rng(1))
    assert alone == 0
    assert said == verdicts
    assert (verdicts > 10) == (shape == "large")
