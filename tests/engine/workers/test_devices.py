"""What a device has, and what a process uses of it."""

from __future__ import annotations

import os
import subprocess
import sys

from qembed.engine import default_token_budget, peak_memory_bytes


def test_budgets() -> None:
    assert default_token_budget("cpu") == 2048
    assert default_token_budget("cuda:1") == 16384


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
