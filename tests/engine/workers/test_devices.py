"""What a device has, and that a model that does not fit stops the run before its weights are read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from qembed.engine import check_fits, default_token_budget, peak_memory_bytes
from qembed.engine.workers import devices
from qembed.errors import QembedError


def test_budgets() -> None:
    assert default_token_budget("cpu") == 2048
    assert default_token_budget("cuda:1") == 16384


def test_a_model_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available_memory_bytes", lambda _: 15_000_000_000)
    check_fits("owner/small", 13_000_000_000, "cuda:0", "fp16")
    with pytest.raises(QembedError) as caught:
        check_fits("owner/large", 28_000_000_000, "cuda:0", "fp32")
    assert caught.value.message == "owner/large needs about 32.2 GB in fp32, cuda:0 has 15.0 GB free"
    assert "--model minilm" in str(caught.value.remedy)
    assert caught.value.exit_code == 1


def test_headroom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available_memory_bytes", lambda _: 100)
    check_fits("m", 86, "cpu", "fp32")
    with pytest.raises(QembedError):
        check_fits("m", 87, "cpu", "fp32")


def test_free_memory_of_this_machine() -> None:
    assert 10_000_000 < devices.available_memory_bytes("cpu") < 10**14


def test_peak_memory_is_in_bytes() -> None:
    script = (
        "from qembed.engine import peak_memory_bytes as peak\n"
        "before = peak('cpu')['host_bytes']\n"
        "block = b'x' * 200_000_000\n"
        "print(peak('cpu')['host_bytes'] - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert 150_000_000 < int(done.stdout) < 260_000_000
    assert peak_memory_bytes("cpu").keys() == {"host_bytes"}
