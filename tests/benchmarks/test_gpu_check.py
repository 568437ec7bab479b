"""``benchmarks/gpu_check.py`` on a CPU: every step with a tiny model; one that fails costs only itself."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def gpu_check() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("gpu_check", BENCHMARKS / "gpu_check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_check"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu_check"]
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def work(gpu_check: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu_check")
    gpu_check.build(folder, True)
    return folder


@pytest.mark.skipif(torch.cuda.is_available(), reason="for CPUs; on a GPU the script itself is run")
@pytest.mark.parametrize("step", ["modules", "oom", "kernels", "speed", "minilm", "cross-encoder"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_step(gpu_check: ModuleType, work: Path, step: str) -> None:
    facts = gpu_check.STEPS[step](work, True)
    assert facts
    json.dumps(facts)


def test_what_needs_a_gpu_says_so(gpu_check: ModuleType, work: Path) -> None:
    for step in ("assert", "memory"):
        assert gpu_check.STEPS[step](work, True) == {"skipped": "needs a GPU"}


def test_a_step_that_takes_too_long_costs_only_itself(
    gpu_check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gpu_check.LIMIT_SECONDS, "build", 0.01)
    facts = gpu_check.run_step("build", tmp_path, True)
    assert (facts["step"], facts["failed"]) == ("build", "no answer within 0.01 s")


def test_the_order_is_the_most_telling_first(gpu_check: ModuleType) -> None:
    assert list(gpu_check.STEPS)[:4] == ["build", "modules", "oom", "assert"]
