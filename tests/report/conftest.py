"""Stored benches that the tests of reports read; made once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, chromium
from stored_benches import full_bench, hostile_bench

from qembed.report.stored import StoredBench, read_bench


@pytest.fixture(scope="session")
def full_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bench with rerankers, baseline, gates, latencies and holes."""
    return full_bench(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="session")
def hostile_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bench whose texts, ids and names are out to break a page."""
    return hostile_bench(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def full(full_folder: Path) -> StoredBench:
    return read_bench(full_folder)


@pytest.fixture(scope="session")
def hostile(hostile_folder: Path) -> StoredBench:
    return read_bench(hostile_folder)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium; skips where there is none."""
    if chromium() is None:
        assert os.environ.get("QEMBED_BROWSER") != "required", "QEMBED_BROWSER requires a Chromium"
        pytest.skip("no Chromium: apt-get install chromium, or name one in QEMBED_CHROMIUM")
    with Browser() as opened:
        yield opened
