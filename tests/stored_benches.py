"""Stored benches for tests of reports, made by ``bench`` with rerankers that need no model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_folders import FakeReranker, Item, Made, by_length, library, make, oracle

from qembed.commands.bench.bench import bench
from qembed.commands.bench.store import store_bench

FAKES: dict[str, Callable[[str, str], float]] = {"good": oracle, "bad": by_length}

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'> & <b>bold</b> \"quoted\" 'single'",
    "emoji 👩‍👩‍👧‍👦 🏳️‍🌈 and a zero\u200bwidth space",
    "שלום עולם, מה שלומך היום? مرحبا بالعالم",
    "x" * 10_000,
    "<!-- <script> -->\u2028line separators\u2029and {{ braces }} {% raw %}",
    "tab\tand\r\nnew lines\n\n  indented\n    more",
    "a plain text that helps",
)
"""Texts as chunks of HTML and of many languages have them."""


def store(made: Made, reports: Path, **options: Any) -> Path:
    """Bench and store; ``rerankers`` are names of ``FAKES``. The folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "qembed.commands.bench.bench.open_reranker",
            lambda spec, *, options: FakeReranker(spec, FAKES[spec]),
        )
        return store_bench(bench(made.embeddings, made.eval_set, made.options(**options)), reports)


def full_bench(folder: Path, *, level: str = "page", **options: Any) -> Path:
    """A bench with everything: two rerankers, a baseline, gates, latencies, holes."""
    made = library(folder / "files", level=level)
    usual: dict[str, Any] = {
        "rerankers": ("good", "bad"),
        "depths": (5, 20),
        "baseline": made.embeddings,
        "baseline_query_vectors": made.query_vectors,
        "gates": ("nDCG@10>=0.1", "recall@10>=0.999"),
        "latency_queries": 2,
    }
    return store(made, folder / "reports", **{**usual, **options})


def hostile_bench(folder: Path) -> Path:
    """A bench whose ids, queries and texts are all out to break a page."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(len(HOSTILE), 4))
    ids = [f"c:{at}<b>&\"'{'</script>' if at == 0 else ''}" for at in range(len(HOSTILE))]
    items = [
        Item(name, text, vector.tolist(), tokens=900)
        for name, text, vector in zip(ids, HOSTILE, vectors, strict=True)
    ]
    queries = {
        f"q{at}": (f"{text[:200]} <i>?</i>", (vectors[at] + 0.1).tolist()) for at, text in enumerate(HOSTILE)
    }
    rows = [f"q{at} {name} 1" for at, name in enumerate(ids)]
    made = make(folder / "files", items, queries, rows, card='name = "<u>hostile</u>"\nlevel = "chunk"\n')
    return store(made, folder / "reports")
