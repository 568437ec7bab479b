"""What is measured before the work begins, with a model whose memory and time are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import INFO, Done
from hypothesis import given
from hypothesis import strategies as st

from qembed.engine.planning import probe
from qembed.engine.planning.capacity import probe_shapes
from qembed.engine.planning.capacity_file import measured_for, read_capacities
from qembed.engine.planning.probe import PROBE_SHARE, Probe, worthwhile_probe


class Clocked:
    """A second a thousand padded tokens, 1,000 bytes a padded token beside 5 MB of weights."""

    def __init__(self, limit_tokens: int = 1 << 40) -> None:
        self.info = replace(INFO, device="cuda:0", device_name="Tesla T4", max_tokens=512)
        self.reads_tokens = True
        self.limit_tokens = limit_tokens
        self.now = 0.0
        self.peak = 0
        self.passes: list[int] = []

    def submit(self, ids: Sequence[np.ndarray]) -> Done:
        padded = max(map(len, ids)) * len(ids)
        self.passes.append(padded)
        if padded > self.limit_tokens:
            raise MemoryError
        self.now += padded / 1000
        self.peak = 5_000_000 + 1000 * padded
        return Done(np.ones((len(ids), 4), dtype=np.float32))


WANTED = Probe(300, 16_384)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clocked:
    made = Clocked()
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path))
    monkeypatch.setattr(probe, "perf_counter", lambda: made.now)
    monkeypatch.setattr(probe, "_peak_bytes", lambda device: lambda: made.peak)
    monkeypatch.setattr(probe, "total_memory_bytes", lambda device: 15_828_320_256)
    return made


def test_bytes_and_seconds_are_those_of_the_device(model: Clocked) -> None:
    capacity = probe.measure(model, WANTED)
    assert capacity is not None
    assert capacity.bytes_of(8192, 300) == pytest.approx(5_000_000 + 8_192_000, rel=0.01)
    assert capacity.seconds_of(8192, 300) == pytest.approx(8.192, rel=0.01)
    assert max(model.passes) <= 16_384
    assert len(set(model.passes)) >= 2


def test_the_second_time_it_is_read_from_the_file(model: Clocked) -> None:
    first = probe.measure(model, WANTED)
    model.passes.clear()
    assert probe.measure(model, WANTED) == first
    assert model.passes == []
    (entry,) = read_capacities()
    assert (entry.key.device_name, entry.key.dtype) == ("Tesla T4", "fp16")
    model.info = replace(model.info, dtype="bf16")
    probe.measure(model, WANTED)
    assert model.passes != []


def test_another_length_or_a_part_of_the_model_is_another_capacity(model: Clocked) -> None:
    probe.measure(model, WANTED)
    for other in (replace(WANTED, longest_tokens=200), replace(WANTED, sharded=True)):
        model.passes.clear()
        probe.measure(model, other)
        assert model.passes != []
    assert len(read_capacities()) == 3
    assert list(measured_for("Tesla T4", "fake")) == ["fp16"]  # of the whole model


def test_memory_that_does_not_grow_is_no_measurement(model: Clocked, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a pool that loading has filled is taken for the batch's memory."""
    monkeypatch.setattr(probe, "_peak_bytes", lambda device: lambda: 13_000_000_000)
    assert probe.measure(model, WANTED) is None
    assert read_capacities() == []


@given(st.integers(1, 32_768), st.integers(0, 10**9), st.integers(1, 20_000))
def test_a_probe_costs_little_of_its_run(longest: int, tokens: int, budget: int) -> None:
    wanted = worthwhile_probe(longest, tokens, budget, sharded=False)
    if wanted is None:
        assert min(budget, PROBE_SHARE * tokens / 4.5) < 2 * longest + 1
        return
    lengths = np.linspace(max(1, wanted.longest_tokens // 8), wanted.longest_tokens, 64).astype(np.int64)
    shapes = probe_shapes(lengths, wanted.longest_tokens, max(wanted.longest_tokens, wanted.budget_tokens))
    cost = 2 * sum(int(shape.max()) * len(shape) for shape in shapes)
    assert cost <= PROBE_SHARE * tokens * 1.001
    assert max(int(shape.max()) for shape in shapes) >= min(longest, wanted.budget_tokens // 2)


def test_a_device_too_small_for_all_of_it_is_measured_as_far_as_it_goes(model: Clocked) -> None:
    model.limit_tokens = 5000
    capacity = probe.measure(model, WANTED)
    assert capacity is not None
    assert capacity.seconds_of(4000, 300) == pytest.approx(4.0, rel=0.05)


def test_nothing_fits_or_no_token_ids(model: Clocked) -> None:
    model.limit_tokens = 1
    assert probe.measure(model, WANTED) is None
    model.limit_tokens, model.reads_tokens = 1 << 40, False
    assert probe.measure(model, WANTED) is None


def test_threads_are_tried_and_set_back(monkeypatch: pytest.MonkeyPatch, model: Clocked) -> None:
    import torch

    tried: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(torch, "set_num_threads", tried.append)
    measured = probe.measure_threads(model, 6)
    assert list(measured) == [1, 2, 4, 6]
    assert tried == [1, 2, 4, 6, 7]
    assert all(rate == pytest.approx(1000) for rate in measured.values())
