"""Pages of runs from elsewhere: the first screen of a bench, without times, searches and models."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from browser import Browser
from compared_runs import compared

from qembed.commands.compare.compare import compare_runs
from qembed.commands.compare.store import store_comparison
from qembed.commands.report.report import compare_reports, index_reports, make_report
from qembed.report.asked import asked, headline
from qembed.report.first import cautions, level
from qembed.report.page import bench_page
from qembed.report.stored import StoredBench, read_bench

Run: TypeAlias = Callable[..., Any]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By id alone, and with texts; in one folder of reports."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: store_comparison(compared(folder, texts=name == "texts"), folder / "reports", name)
        for name in ("ids", "texts")
    }


@pytest.fixture(scope="module")
def benches(folders: dict[str, Path]) -> dict[str, StoredBench]:
    return {name: read_bench(folder) for name, folder in folders.items()}


def visible(page: str) -> str:
    return re.sub(r"<(style|script).*?</\1>", "", page, flags=re.S)


def test_the_first_screen(benches: dict[str, StoredBench]) -> None:
    bench = benches["ids"]
    question = asked(bench)
    assert question is not None
    assert (question.old, question.new, question.kind) == ("production", "candidate", "run")
    found = bench.systems[1]["comparisons"]["nDCG@10"]
    words = headline(bench, question)
    assert words == "24 questions cannot tell whether candidate is better than production."
    said = " ".join(level(bench, question))
    assert f"+{found['difference']:.3f}" in said
    assert "A right result is among the first ten" in said
    warned = list(cautions(bench, question))
    assert "candidate does not answer 1 of 24 questions; each counts 0." in warned
    assert any(line.startswith("Unjudged results could turn this verdict") for line in warned)


def test_of_several_runs_the_headline_and_judging_are_about_one(tmp_path: Path) -> None:
    made = compared(tmp_path, better=3.0)
    worse = json.loads((tmp_path / "production.json").read_text())
    run = {query: {item: -score for item, score in scores.items()} for query, scores in worse.items()}
    (tmp_path / "reversed.json").write_text(json.dumps(run))
    runs = [*(one.path for one in made.runs), tmp_path / "reversed.json"]
    bench = read_bench(store_comparison(compare_runs(runs, tmp_path / "qrels.tsv"), tmp_path / "reports"))
    question = asked(bench)
    assert question is not None
    assert (question.new, question.old) == ("candidate", "production")
    assert bench.pair == (bench.names.index(question.new), bench.names.index(question.old))


def test_a_clear_difference_is_called_one(tmp_path: Path) -> None:
    bench = read_bench(store_comparison(compared(tmp_path, better=3.0), tmp_path / "reports"))
    assert re.fullmatch(
        r"On what was judged: candidate is better than production by 0\.\d{3} nDCG@10\.",
        headline(bench, asked(bench)),
    )


@pytest.mark.parametrize("names", [("baseline", "vectors"), ("vectors", "baseline"), ("a", "baseline")])
def test_runs_may_have_the_names_of_systems(tmp_path: Path, names: tuple[str, str]) -> None:
    """Nobody said that one of them is made of existing embeddings."""
    made = compared(tmp_path)
    runs = [tmp_path / f"{names[0]}.json", tmp_path / f"{names[1]}.csv"]
    for one, path in zip(made.runs, runs, strict=True):
        path.write_bytes(one.path.read_bytes())
    found = compare_runs(runs, tmp_path / "qrels.tsv")
    bench = read_bench(store_comparison(found, tmp_path / "reports"))
    assert headline(bench, asked(bench)).endswith(f"whether {names[1]} is better than {names[0]}.")
    assert bench.pair == (1, 0)
    page = bench_page(bench)
    assert "mbeddings" not in visible(page)


def test_nothing_is_said_that_nobody_knows(benches: dict[str, StoredBench]) -> None:
    page = bench_page(benches["ids"])
    shown = visible(page)
    for word in ("ms per query", "truncated", "rerank", "dimensions", "tokens", "Qdrant", "embedding"):
        assert word not in shown, word
    assert 'id="judge"' not in shown
    assert "production from" in shown
    assert set(re.findall(r'href="#([a-z-]+)"', shown)) <= set(re.findall(r' id="([a-z-]+)"', shown))
    assert 'id="judge"' in bench_page(benches["texts"])


def test_every_form_of_a_report(folders: dict[str, Path], run_cli: Run) -> None:
    folder = folders["ids"]
    for form, words in {
        "md": "### 24 questions cannot tell",
        "junit": 'testsuite name="qembed compare qrels"',
        "github": "::notice title=qembed compare::24 questions cannot tell",
    }.items():
        assert words in make_report(folder, format=form)[1], form  # type: ignore[arg-type]
    for form in ("json", "csv"):
        ran = run_cli(["report", folder, "--format", form])
        assert ran.code == 2
        assert "bench.json and per_query.csv" in ran.err


def test_compared_and_listed_as_a_bench_is(folders: dict[str, Path]) -> None:
    reports = folders["ids"].parent
    for form in ("html", "md", "json", "csv"):
        assert compare_reports(folders["ids"], folders["texts"], format=form)  # type: ignore[arg-type]
    assert json.loads(compare_reports(folders["ids"], folders["texts"], format="json"))["warnings"] == []
    page = index_reports(reports)
    assert "0001_ids" in page
    assert "0002_texts against 0001_ids: production" in page, "one group: the same judgements"


def test_a_page_with_a_bench_beside_it(folders: dict[str, Path], full_folder: Path, tmp_path: Path) -> None:
    for folder in (folders["ids"], full_folder):
        (tmp_path / folder.name).symlink_to(folder)
    page = index_reports(tmp_path)
    assert folders["ids"].name in page
    assert full_folder.name in page


@pytest.fixture(scope="module")
def pages(folders: dict[str, Path]) -> dict[str, Path]:
    written = {}
    for name, folder in folders.items():
        written[name] = folder / "report.html"
        written[name].write_text(make_report(folder)[1], encoding="utf-8")
    return written


class TestInABrowser:
    @pytest.mark.parametrize("dark", [False, True])
    @pytest.mark.parametrize("name", ["ids", "texts"])
    def test_it_fits_and_complains_of_nothing(
        self, pages: dict[str, Path], browser: Browser, name: str, dark: bool
    ) -> None:
        with browser.open(pages[name], width=390 if dark else 1280, dark=dark) as page:
            page.value("document.querySelectorAll('#list .row').forEach((row, at) => at < 3 && row.click())")
            assert page.value("document.documentElement.scrollWidth <= innerWidth")
            assert page.problems == []
            assert set(page.requests) <= {pages[name].as_uri()}

    def test_results_are_shown_by_id(
        self, pages: dict[str, Path], browser: Browser, benches: dict[str, StoredBench]
    ) -> None:
        with browser.open(pages["ids"]) as page:
            page.value("document.querySelector('#list .row').click()")
            query = page.value("document.querySelector('#list .row .words').textContent")
            shown = page.value(
                "[...document.querySelectorAll('#list .sides > div:first-child .hit:not([hidden])')]"
                ".map(hit => hit.querySelector('.unit').textContent)"
            )
            line = next(line for line in benches["ids"].queries if line["query_id"] == query)
            assert shown == [hit["unit"] for hit in line["systems"]["production"]["hits"][:10]]
            assert page.value("document.querySelectorAll('#list .title').length") == 0
            page.value("document.getElementById('search').value = 'page 14'")
            page.value("document.getElementById('search').dispatchEvent(new Event('input'))")
            assert 0 < page.value("document.querySelectorAll('#list .row').length") <= 24

    def test_texts_open_where_they_are_known(self, pages: dict[str, Path], browser: Browser) -> None:
        with browser.open(pages["texts"]) as page:
            page.value("document.querySelector('#list .row').click()")
            page.value("document.querySelector('#list .title').click()")
            assert "About filters and points" in page.value(
                "document.querySelector('#list .body').textContent"
            )
            assert page.value("document.querySelector('#judging .judged-text').textContent").startswith(
                "About"
            )

    @pytest.mark.skipif("QEMBED_AXE" not in os.environ, reason="QEMBED_AXE names no axe.min.js")
    @pytest.mark.parametrize("dark", [False, True])
    @pytest.mark.parametrize("name", ["ids", "texts"])
    def test_accessibility(self, pages: dict[str, Path], browser: Browser, name: str, dark: bool) -> None:
        with browser.open(pages[name], width=390 if dark else 1280, dark=dark) as page:
            assert page.violations(Path(os.environ["QEMBED_AXE"]).read_text(encoding="utf-8")) == []
