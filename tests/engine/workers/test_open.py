"""Which workers are opened for a decision, and how its texts become batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import INFO

from qembed.engine import Ready
from qembed.engine.planning.candidates import Limits
from qembed.engine.planning.capacity import Capacity
from qembed.engine.planning.choice import Choice, choose
from qembed.engine.planning.facts import model_facts
from qembed.engine.planning.presets import find_device
from qembed.engine.workers import open as module
from qembed.engine.workers.open import Staff, open_workers, plan_batches
from qembed.models import EncoderOptions, resolve_model
from qembed.models.placement import loads_through_host


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def specs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[Any]]:
    """What the processes would be started with."""

    def specs(choice: Choice, precision: Any = "auto", tokens: float = 1e9) -> list[Any]:
        seen: list[Any] = []
        monkeypatch.setattr(module, "ProcessPool", lambda found, **_: seen.extend(found))
        names = [f"cuda:{number}" for number in range(choice.device.count)]
        source, options = resolve_model("minilm"), EncoderOptions(precision=precision)
        open_workers(Staff(source, options, names, choice, tmp_path, 10, tokens))
        return seen

    return specs


def choice(device: str = "t4x2", longest: int = 700, **limits: Any) -> Choice:
    facts = model_facts(resolve_model("nomic-embed-code"))
    return choose(facts, find_device(device), longest, Limits(**limits))


def options_of(spec: Any) -> EncoderOptions:
    found = spec.load.args[1]
    assert isinstance(found, EncoderOptions)
    return found


class TestWorkers:
    def test_one_precision_for_all(self, specs: Callable[..., list[Any]]) -> None:
        found = specs(choice())
        assert [spec.device for spec in found] == ["cuda:0", "cuda:1"]
        assert [options_of(spec).precision for spec in found] == ["fp16", "fp16"]
        # Without accelerate the weights pass through host memory, one copy at a time.
        assert all(spec.tight and spec.load_alone == loads_through_host(spec.device) for spec in found)
        assert all(spec.load_exact is None for spec in found)  # 28 GB have no room beside 14

    def test_a_sharded_model_is_one_worker(self, specs: Callable[..., list[Any]]) -> None:
        (spec,) = specs(choice(longest=9000))
        assert (options_of(spec).shard, options_of(spec).precision) == (True, "fp16")
        assert spec.probe is None  # a text fills a batch: two points tell nothing

    def test_room_for_fp32_beside_it(self, specs: Callable[..., list[Any]]) -> None:
        (spec,) = specs(choice("h100"))
        assert spec.load_exact.args[1].precision == "fp32"
        assert not spec.tight

    def test_a_short_run_is_not_probed(self, specs: Callable[..., list[Any]]) -> None:
        assert specs(choice(), tokens=10_000)[0].probe is None
        assert specs(choice(), tokens=1e9)[0].probe is not None


class TestBatches:
    READY = Ready(replace(INFO, max_tokens=2048), True, 15_828_320_256, None, 1.0)

    def plan(self, choice: Choice, ready: Ready = READY, earlier: dict[str, Any] | None = None) -> Any:
        self.notes: list[str] = []
        return plan_batches(choice, ready, earlier, self.notes.append)

    def test_as_decided(self) -> None:
        made = self.plan(choice())
        best = choice().require()
        assert (made.token_budget, made.max_batch) == (best.budget_tokens, 24)

    def test_what_was_measured_makes_it_smaller_never_larger(self) -> None:
        hungry = Capacity(14.2e9, 300e3, 0.0, 0.0, 1e-3, 0.0)
        modest = Capacity(5e9, 10e3, 0.0, 0.0, 1e-3, 0.0)
        best = choice().require()
        measured = self.plan(choice(), replace(self.READY, capacity=hungry)).token_budget
        assert 700 <= measured < best.budget_tokens
        assert self.plan(choice(), replace(self.READY, capacity=modest)).token_budget == best.budget_tokens

    def test_nothing_fits_but_one_text(self) -> None:
        full = Capacity(15.5e9, 300e3, 0.0, 0.0, 1e-3, 0.0)
        assert self.plan(choice(), replace(self.READY, capacity=full)).token_budget == 700
        assert "has little room beside the model" in self.notes[0]

    def test_as_asked_for_else_as_the_interrupted_run_did_it(self) -> None:
        earlier = {"token_budget": 999, "max_batch": 5}
        assert self.plan(choice(), earlier=earlier).token_budget == 999
        asked = choice(token_budget=1500, max_batch=3)
        made = self.plan(asked, earlier=earlier)
        assert (made.token_budget, made.max_batch) == (1500, 3)
