"""Whether glibc listens, and that nothing happens elsewhere."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from qembed.models.cpu import memory as cpu_memory
from qembed.models.cpu.memory import keep_freed_memory

ALLOCATES = """
import resource, torch
from qembed.models.cpu.memory import keep_freed_memory
assert keep_freed_memory()
torch.set_num_threads(1)
for _ in range(3):
    torch.zeros(2 << 20)  # 8 MB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    blocks = [torch.zeros(2 << 20) for _ in range(3)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.fixture(autouse=True)
def not_told_before() -> None:
    keep_freed_memory.cache_clear()


@pytest.mark.skipif(not hasattr(cpu_memory.ctypes.CDLL(None), "mallopt"), reason="no glibc")
def test_pages_are_not_asked_for_again() -> None:
    """60 blocks of 2,048 pages: glibc by itself mostly asks for all of them anew."""
    done = subprocess.run([sys.executable, "-c", ALLOCATES], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 4 * 2048


def test_on_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert keep_freed_memory() is False


@pytest.mark.parametrize(
    ("library", "listens"),
    [
        (SimpleNamespace(), False),  # another C library
        (SimpleNamespace(mallopt=lambda *_: 0), False),
        (SimpleNamespace(mallopt=lambda *_: 1), True),
    ],
)
def test_other_libraries(monkeypatch: pytest.MonkeyPatch, library: object, listens: bool) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(cpu_memory.ctypes, "CDLL", lambda _: library)
    assert keep_freed_memory() is listens
