"""Small models with random weights for the tests of this folder; ``tests/tiny_models.py`` builds them."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

# Before torch is imported. Small batches on two threads wait for each other when the machine is busy:
# ten times slower. Children of a test inherit it, so their vectors are the same to the last bit.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def _helpers() -> ModuleType:
    """The helper module, loaded by path: tests are no package."""
    name = "qembed_tiny_models"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "tiny_models.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``tiny_models("prompted")``: the folder of a small model; the kinds are named in ``tiny_model``."""
    helpers = _helpers()
    base = tmp_path_factory.mktemp("models", numbered=True)
    return lambda kind: helpers.tiny_model(base, kind)


@pytest.fixture(scope="session")
def tiny(tiny_models: Callable[[str], Path]) -> Path:
    """The folder of the plainest small model: BERT, mean pooling, 32 dimensions, 24 tokens."""
    return tiny_models("plain")
