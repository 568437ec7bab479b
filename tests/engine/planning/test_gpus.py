"""The GPUs of a machine: what they are, what others use of them, and that asking leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from qembed.engine.planning import gpus
from qembed.engine.planning.gpus import Gpu, ask, find_gpus, runs_on
from qembed.engine.planning.memory import CONTEXT_BYTES
from qembed.errors import QembedError

REPOSITORY = Path(__file__).parents[3]
T4 = Gpu(0, "Tesla T4", 15_828_320_256, (7, 5))


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        ((7, 5), ["sm_75"], True),
        ((7, 5), ["sm_70"], True),
        ((7, 5), ["sm_80"], False),
        ((6, 0), ["sm_70", "sm_75", "compute_90"], False),
        ((8, 9), ["sm_86"], True),
        ((9, 0), ["sm_75"], False),
        ((9, 0), ["compute_75"], True),
        ((9, 0), ["sm_90a"], True),
        ((10, 0), ["sm_100"], True),
        ((7, 5), ["gfx90a"], False),
        ((7, 5), [], False),
    ],
)
def test_code_for_a_gpu(capability: tuple[int, int], built_for: list[str], runs: bool) -> None:
    assert runs_on(capability, built_for) is runs


@pytest.mark.parametrize(
    ("free", "used_by_others"),
    [
        (None, 0),
        (15_828_320_256, 0),
        (15_828_320_256 - CONTEXT_BYTES, 0),  # the context of the process that asked
        (10_000_000_000, 15_828_320_256 - CONTEXT_BYTES - 10_000_000_000),
    ],
)
def test_what_others_use_cannot_be_had(free: int | None, used_by_others: int) -> None:
    gpu = Gpu(0, "Tesla T4", 15_828_320_256, (7, 5), free_bytes=free)
    assert gpu.usable_bytes == 15_828_320_256 - used_by_others


def test_every_gpu_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    p100 = SimpleNamespace(name="Tesla P100", total_memory=17_000_000_000, major=6, minor=0)
    t4 = SimpleNamespace(name="Tesla T4", total_memory=15_828_320_256, major=7, minor=5)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_arch_list", lambda: ["sm_70", "sm_75"])
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: (p100, t4)[index])
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda index: (5, 15_828_320_256))
    assert ask() == [
        Gpu(0, "Tesla P100", 17_000_000_000, (6, 0), supported=False),
        Gpu(1, "Tesla T4", 15_828_320_256, (7, 5), free_bytes=5),
    ]


def test_without_gpus_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(gpus.subprocess, "run", None)
    assert find_gpus() == []


def test_a_process_of_its_own_asks(tmp_path: Path) -> None:
    """Through the real process, with GPUs that are pretended: the one that wants to know opens no context."""
    log = tmp_path / "log"
    script = (
        "import os\nfrom qembed.engine.planning.gpus import find_gpus\n"
        "print(os.getpid(), *((gpu.index, gpu.name, gpu.free_bytes) for gpu in find_gpus()), sep='|')"
    )
    paths = [str(REPOSITORY / "tests" / "fake_gpus"), str(REPOSITORY)]
    environment = {"QEMBED_FAKE_GPUS": "2", "QEMBED_FAKE_GPU_LOG": str(log)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=True,
    )
    process, *found = done.stdout.strip().split("|")
    assert found == ["(0, 'Tesla T4', 15720000000)", "(1, 'Tesla T4', 15720000000)"]
    lines = log.read_text().splitlines()
    assert any("mem_get_info" in line for line in lines)
    assert not [line for line in lines if line.startswith(f"{process} ")]


def test_a_driver_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(gpus, "_PROGRAM", "raise SystemExit('Unable to determine the device handle')")
    with pytest.raises(QembedError, match="cannot be asked") as caught:
        find_gpus()
    assert caught.value.where == "Unable to determine the device handle"
    assert "nvidia-smi" in str(caught.value.remedy)
