"""Scripts of benchmarks/ as modules."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    """Imports scripts by name; they are forgotten after the test, because their names are common ones."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    loaded = []

    def load(*names):
        loaded.extend(names)
        for name in names:
            monkeypatch.delitem(sys.modules, name, raising=False)
        return {name: import_module(name) for name in names}

    yield load
    for name in loaded:
        sys.modules.pop(name, None)
