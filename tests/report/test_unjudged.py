"""From questions to a verdict through the page: nothing judged, judged in a browser, merged, measured."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_folders import Made, library, library_items, write_embeddings
from browser import Browser

from qembed.commands.bench.bench import bench
from qembed.commands.bench.store import store_bench
from qembed.commands.evalset.judgements import merge_judgements
from qembed.errors import Mismatch
from qembed.evaluation.eval_sets.eval_set import load_eval_set, unjudged_set
from qembed.report.compare import pair_benches
from qembed.report.explorer import Limits, explorer_data
from qembed.report.index_page import index_page
from qembed.report.markdown import bench_markdown
from qembed.report.page import bench_page
from qembed.report.stored import StoredBench, read_bench

JUDGED = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def stored(made: Made, tmp_path_factory: pytest.TempPathFactory) -> StoredBench:
    questions = unjudged_set(made.eval_set / "queries.jsonl")
    options = made.options(baseline=made.embeddings, baseline_query_vectors=made.query_vectors)
    return read_bench(store_bench(bench(made.embeddings, questions, options), tmp_path_factory.mktemp("r")))


def test_the_page_says_that_nothing_is_judged_and_what_to_do(stored: StoredBench) -> None:
    page = bench_page(stored)
    assert "Not judged yet: which is better is open" in page
    assert f"Judge {stored.document['unjudged']:,} results" in page
    assert f"--bench {stored.folder}" in page
    assert "Agreement with" in page
    first = page[page.index('<section id="verdict"') : page.index('<section id="queries"')]
    assert not re.search("nothing answers|nDCG|better than", first)


def test_other_forms(stored: StoredBench) -> None:
    assert "not judged yet" in index_page(stored.folder.parent)
    text = bench_markdown(stored)
    assert "not judged yet" in text
    assert "| 100.0 % |" in text
    with pytest.raises(Mismatch, match="no measure in common"):
        pair_benches(stored, stored)


def test_the_explorer_shows_the_share_that_both_find(stored: StoredBench) -> None:
    data = explorer_data(stored, Limits(20, 20_000))
    assert (data["judged"], data["pair"]) == (False, [0, stored.names.index("baseline")])
    first, bm25, _, baseline = zip(*(query["values"] for query in data["queries"]), strict=True)
    assert {value for (value,) in (*first, *baseline)} == {1.0}
    assert any(value < 1 for (value,) in bm25)


def other_vectors(folder: Path) -> Path:
    """The same texts, in vectors that find them in another order."""
    items, vectors = library_items()
    noise = np.random.default_rng(9).normal(size=vectors.shape)
    moved = {f"c:{at:02d}": (vectors[at] + noise[at]).tolist() for at in range(len(vectors))}
    return write_embeddings(folder, [replace(item, vector=moved[item.id[:4]]) for item in items])


def test_judged_in_a_browser_and_merged(browser: Browser, made: Made, tmp_path: Path) -> None:
    options = made.options(
        baseline=other_vectors(tmp_path / "old"), baseline_query_vectors=made.query_vectors
    )
    questions = unjudged_set(made.eval_set / "queries.jsonl")
    stored = read_bench(store_bench(bench(made.embeddings, questions, options), tmp_path / "reports"))
    (tmp_path / "page.html").write_text(bench_page(stored), encoding="utf-8")
    exported = browser.downloads / "qrels.tsv"
    exported.unlink(missing_ok=True)
    with browser.open(tmp_path / "page.html") as page:
        page.value("localStorage.clear()")
        page.reload()
        page.value("document.querySelector('#list .row').click()")
        page.value("document.getElementById('card').focus()")
        so_far = "document.querySelector('#so-far p').textContent"
        assert "ahead on 0 questions" in page.value(so_far)
        for at in range(JUDGED):
            page.press("02"[at % 2])
        ahead, behind, equal, left = map(int, re.findall(r"\d+", page.value(so_far)))
        page.value("document.getElementById('export').click()")
        until = time.monotonic() + 20
        while not exported.exists() and time.monotonic() < until:
            time.sleep(0.05)
        page.value("localStorage.clear()")
        assert page.problems == []
    merge_judgements(tmp_path / "mine", [exported], judge="a reader", bench=stored.folder)
    found = load_eval_set(tmp_path / "mine")
    assert sum(map(len, found.qrels.values())) == JUDGED
    decisive = {(query, unit) for query, unit, *_ in stored.unjudged[:JUDGED]}
    assert {(query, unit) for query, grades in found.qrels.items() for unit in grades} == decisive
    assert 0 < ahead + behind + equal <= len(found.judged) - len(found.unanswerable)
    assert ahead != behind
    assert 0 < left < stored.document["unjudged"]
    after = bench(made.embeddings, tmp_path / "mine", made.options())
    assert after.rows[0].estimates["nDCG@10"].n == len(found.judged) - len(found.unanswerable) > 0
