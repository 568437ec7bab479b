"""``qembed embed`` on two pretended Tesla T4: real processes, the real command line, a real small model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
WriteChunks = Callable[..., Path]


class Ran:
    """What a run on pretended GPUs left behind."""

    def __init__(self, chunks: Path, out: Path, model: Path, *arguments: str, **fakes: str) -> None:
        calls = out.parent / "calls"
        paths = [str(REPOSITORY / "tests" / "fake_gpus"), str(REPOSITORY)]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "QEMBED_FAKE_GPUS": "2",
            "QEMBED_FAKE_GPU_LOG": str(calls),
            "QEMBED_CACHE": str(out.parent / "cache"),
            **{f"QEMBED_FAKE_GPU_{name}": value for name, value in fakes.items()},
        }
        line = [sys.executable, "-m", "qembed", "embed", chunks, "-o", out, "--model", model, "--log-json"]
        process = subprocess.Popen(
            [*line, "--log-every", "0.01s", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        _, self.err = process.communicate(timeout=300)
        self.code, self.parent = process.returncode, process.pid
        lines = [line for line in self.err.splitlines() if line.startswith("{")]
        self.events = [json.loads(line) for line in lines]
        self.calls: dict[int, list[str]] = {}
        for line in calls.read_text().splitlines() if calls.exists() else ():
            pid, _, name = line.partition(" ")
            self.calls.setdefault(int(pid), []).append(name)


@pytest.fixture
def chunks(tmp_path: Path, write_chunks: WriteChunks) -> Path:
    texts = [f"vector search {number} " * (1 + number % 7) for number in range(200)]
    return write_chunks(tmp_path / "eco", {"docs/a": texts})


def test_two_workers_that_use_their_own_card(chunks: Path, tmp_path: Path, tiny: Path) -> None:
    ran = Ran(chunks, tmp_path / "out", tiny, "--token-budget", "128")
    assert ran.code == 0, ran.err
    summary = json.loads((tmp_path / "out" / "eco_embedding_summary.json").read_text())
    assert summary["model"]["dtype"] == "fp16"
    devices = summary["devices"]
    assert [device["device"] for device in devices] == ["cuda:0", "cuda:1"]
    assert sum(device["texts"] for device in devices) == summary["unique_texts"]
    # Of the workers, not of the process that started them.
    busy = [device for device in devices if device["texts"]]  # the second may come too late for so little
    assert {device["name"] for device in busy} == {"Tesla T4"}
    assert all(device["peak_device_bytes"] == 14_300_000_000 for device in busy)
    assert all(device["peak_host_bytes"] > 50_000_000 for device in busy)
    assert summary["peak_memory"]["device_bytes"] == 14_300_000_000
    assert summary["peak_memory"]["host_bytes"] > sum(device["peak_host_bytes"] for device in busy)
    # No context where none belongs: the main process asks nothing, a worker names its card first.
    assert ran.parent not in ran.calls
    workers = [calls for calls in ran.calls.values() if "load" in calls]
    assert workers
    assert all(calls[0] == "set_device" for calls in workers)
    # And the log says how far it is, and how long it will take.
    told = [event for event in ran.events if event["event"] == "progress" and event["phase"] == "encoding"]
    assert told
    assert all(event["total"] and event["seconds_left"] is not None for event in told)
    assert told[-1]["done"] == told[-1]["total"]


def test_a_model_that_does_not_fit_is_refused_before_anything_is_loaded(
    chunks: Path, tmp_path: Path, tiny: Path
) -> None:
    ran = Ran(chunks, tmp_path / "out", tiny, FREE="100000000", TOTAL="300000000")
    assert ran.code == 1
    assert "does not fit 2 x Tesla T4" in ran.err
    assert not any("load" in calls for calls in ran.calls.values())


def test_bf16_is_taken_where_the_card_has_it(chunks: Path, tmp_path: Path, tiny: Path) -> None:
    ran = Ran(chunks, tmp_path / "out", tiny, NAME="NVIDIA L4", CAPABILITY="8,9")
    assert ran.code == 0, ran.err
    summary = json.loads((tmp_path / "out" / "eco_embedding_summary.json").read_text())
    assert summary["model"]["dtype"] == "bf16"
