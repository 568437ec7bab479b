"""Stored benches that the tests of reports read; made once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from browser import Browser, Page, chromium
from stored_benches import full_bench, hostile_bench

from qembed.report.compare import compare_page, pair_benches
from qembed.report.index_page import index_page
from qembed.report.page import bench_page
from qembed.report.stored import StoredBench, read_bench

Visit: TypeAlias = Callable[..., Any]
"""``with visit("full", width=390) as page``."""


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


@pytest.fixture(scope="session")
def pages(
    tmp_path_factory: pytest.TempPathFactory, full: StoredBench, hostile: StoredBench
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    written = {
        "full": bench_page(full, links="https://docs.example/{page}"),
        "hostile": bench_page(hostile),
        "compare": compare_page(pair_benches(full, full)),
        "index": index_page(history(full.folder, tmp_path_factory.mktemp("history"))),
    }
    for name, text in written.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in written}


@pytest.fixture
def visit(browser: Browser, pages: dict[str, Path]) -> Visit:
    """``with visit("full", width=390) as page``: at the end nothing was complained of or asked for."""

    @contextmanager
    def opened(name: str, **how: Any) -> Iterator[Page]:
        with browser.open(pages[name], **how) as page:
            yield page
            page.value("localStorage.clear()")
            assert page.problems == []
            assert set(page.requests) <= {pages[name].as_uri()}, "only itself, where it was loaded again"

    return opened


def history(bench: Path, folder: Path) -> Path:
    """A folder of three benches of one eval set, the last of which has another verdict."""
    for at in range(3):
        copy = shutil.copytree(bench, folder / f"000{at}_library")
        document = json.loads((copy / "bench.json").read_text(encoding="utf-8"))
        document["created"] = f"2026-0{at + 1}-03T04:05:06+00:00"
        if at == 2:
            document["systems"][1]["comparisons"]["nDCG@10"]["verdict"] = "equivalent"
        (copy / "bench.json").write_text(json.dumps(document), encoding="utf-8")
    return folder
