"""The page in headless Chromium: no complaint, no network; explorer, sorting, judging, print."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from browser import Browser, Page

from qembed.report.asked import advice, asked, headline
from qembed.report.first import cautions, level
from qembed.report.page import bench_page
from qembed.report.stored import StoredBench, read_bench

Visit: TypeAlias = Callable[..., Any]

ROWS = "[...document.querySelectorAll('#list .row')]"
QUALITY = "document.querySelector('#systems table')"
STORED = "JSON.parse(Object.entries(localStorage).find(([key]) => key.startsWith('qembed.judgements.'))[1])"


def show(page: Page, bench: StoredBench, left: str, right: str) -> None:
    """Choose the two systems of the explorer."""
    for place, name in (("left", left), ("right", right)):
        select = f"document.getElementById('{place}')"
        page.value(f"{select}.value = {bench.names.index(name)}; {select}.dispatchEvent(new Event('change'))")


def downloaded(page: Page, browser: Browser, selector: str, name: str) -> str:
    """What a click gives to keep."""
    path = browser.downloads / name
    path.unlink(missing_ok=True)
    click(page, selector)
    until = time.monotonic() + 20
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    return path.read_bytes().decode()


def click(page: Page, selector: str) -> None:
    page.value(f"document.querySelector({selector!r}).click()")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["full", "hostile", "compare", "index"])
def test_a_page_fits_and_asks_for_nothing(visit: Visit, name: str, width: int) -> None:
    with visit(name, width=width, dark=width == 390) as page:
        page.value("document.querySelectorAll('#list .row').forEach((row, at) => at < 3 && row.click())")
        assert page.value("document.documentElement.scrollWidth <= innerWidth")
        assert page.value("window.hacked") is None


def test_the_first_screen_says_verdict_price_and_caution(visit: Visit, full: StoredBench) -> None:
    """Without scrolling, at 1280 x 800: which, by how much, at what cost, how sure, where it fails."""
    with visit("full", width=1280, height=800) as page:
        seen = page.value(
            "[...document.querySelectorAll('#verdict h1, .caution li, .first dt, .first dd p')]"
            ".filter(part => part.getBoundingClientRect().bottom <= innerHeight)"
            ".map(part => part.textContent)"
        )
        question = asked(full)
        assert question is not None
        assert headline(full, question) in seen[0]
        wanted = [*level(full, question), *cautions(full, question), *(words for _, words in advice(full))]
        assert len(wanted) > 4
        assert [words for words in wanted if not any(words in line for line in seen)] == []
        assert page.value("scrollY") == 0


def test_numbers_of_the_page_are_those_of_the_bench(visit: Visit, full: StoredBench) -> None:
    document = json.loads((full.folder / "bench.json").read_text(encoding="utf-8"))
    with visit("full") as page:
        rows = page.value(
            f"[...{QUALITY}.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent))"
        )
        for system, row in zip(document["systems"], rows, strict=True):
            for measure, cell in zip(document["measures"], row[1:], strict=False):
                mean = system["estimates"][measure]["mean"]
                shown = f"{100 * mean:.0f} %" if measure.startswith("judged@") else f"{mean:.3f}"
                assert shown in cell


def test_hostile_text_is_shown_as_it_is(visit: Visit) -> None:
    with visit("hostile") as page:
        page.value(f"{ROWS}[0].click()")
        page.value("document.querySelectorAll('#list .title').forEach(title => title.click())")
        page.value("document.querySelectorAll('#list .body .more').forEach(more => more.click())")
        shown = page.value("document.querySelector('#list .panel').textContent")
        assert "</script><script>window.hacked = 1</script>" in shown
        assert "<img src=x onerror='window.hacked = 2'>" in shown
        assert page.value("document.querySelectorAll('#list img, #list script, #judge img').length") == 0
        long = page.value(
            "[...document.querySelectorAll('.body p')].find(p => p.textContent.startsWith('xxx')).textContent"
        )
        assert long == "x" * 10_000


def test_sorting(visit: Visit) -> None:
    column = f"[...{QUALITY}.tBodies[0].rows].map(row => Number(row.cells[1].dataset.sort))"
    with visit("full") as page:
        first = page.value(column)
        head = f"{QUALITY}.tHead.rows[0].cells[1]"
        page.value(f"{head}.querySelector('button').click()")
        assert page.value(column) == sorted(first, reverse=True), "numbers: the highest first"
        assert page.value(f"{head}.getAttribute('aria-sort')") == "descending"
        page.value(f"{head}.querySelector('button').click()")
        assert page.value(column) == sorted(first)
        assert page.value(f"{QUALITY}.tFoot.rows.length") == 1


def test_filters_and_search(visit: Visit, full: StoredBench) -> None:
    changes = {}
    for query, values in full.values["vectors > good"].items():
        new, old = values["nDCG@10"], full.values["vectors"][query]["nDCG@10"]
        changes[query] = (new or 0) - (old or 0)
    wanted = {
        "gained": sum(change > 0 for change in changes.values()),
        "lost": sum(change < 0 for change in changes.values()),
        "same": sum(change == 0 for change in changes.values()),
        "unanswerable": 0,
    }
    with visit("full") as page:
        show(page, full, "vectors", "vectors > good")
        assert page.value(f"{ROWS}.length") == 20
        for name, count in wanted.items():
            assert (
                int(page.value(f"""document.querySelector('[data-filter="{name}"]').textContent""")) == count
            )
            click(page, f".filters [value={name}]")
            assert page.value(f"{ROWS}.length") == count
        click(page, ".filters [value=all]")
        page.press("/")
        assert page.value("document.activeElement.id") == "search"
        page.type("q14")
        assert page.value(f"{ROWS}.map(row => row.querySelector('small').textContent)") == ["q14"]
        assert page.value("document.getElementById('shown').textContent").startswith("1 of 20 queries")


def test_the_explorer_by_keyboard(visit: Visit) -> None:
    at = f"{ROWS}.indexOf(document.activeElement)"
    opened = f"{ROWS}.map(row => row.getAttribute('aria-expanded') === 'true')"
    with visit("full") as page:
        page.press("/")
        page.press("ArrowDown")
        assert page.value(at) == 0
        page.press("j")
        page.press("ArrowDown")
        page.press("k")
        assert page.value(at) == 1
        page.press("Enter")
        assert page.value(opened)[:3] == [False, True, False]
        assert page.value("document.querySelectorAll('#list .panel:not([hidden]) .hits').length") == 2
        page.press("Escape")
        assert not any(page.value(opened))
        assert page.value(at) == 1


def test_ranks_before_and_after(visit: Visit, full: StoredBench) -> None:
    with visit("full") as page:
        show(page, full, "vectors", "vectors > good")
        page.value(f"{ROWS}[0].click()")
        query = page.value(f"{ROWS}[0].querySelector('small').textContent")
        hits = page.value(
            """[...document.querySelectorAll('#list .sides > div:nth-child(2) .hit .about')].map(about =>
            [about.querySelector('.unit').textContent, about.children[1].textContent])"""
        )
        before, after = full.ranks["vectors"][query], full.ranks["vectors > good"][query]
        for unit, words in hits:
            was = before.get(unit)
            sign = "=" if was == after[unit] else "↑" if was and was > after[unit] else "↓"
            assert words == (f"{sign} was {was}" if was else "↑ new")
        link = page.value("document.querySelector('#list a.unit').getAttribute('href')")
        assert link.startswith("https://docs.example/docs/p")


def test_a_link_opens_its_query(visit: Visit, full: StoredBench) -> None:
    opened = f"{ROWS}.filter(row => row.getAttribute('aria-expanded') === 'true').map(row => row.dataset.at)"
    heads = "[...document.querySelectorAll('#list .panel:not([hidden]) h4')].map(head => head.textContent)"
    with visit("full") as page:
        page.value("location.hash = '#q=q05'")
        page.wait(f"{opened}.length === 1")
        assert page.value("document.activeElement.querySelector('small').textContent") == "q05"
        page.value(f"{ROWS}.find(row => row.querySelector('small').textContent === 'q07').click()")
        assert page.value("location.hash") == "#q=q07"
        before = page.value(opened)
        show(page, full, "vectors", "bm25")
        assert sorted(page.value(opened)) == sorted(before), "another system keeps the queries open"
        assert page.value(heads)[:2] == ["New embeddings", "BM25 keyword search"]


def test_texts_are_searched_and_shown_at_the_matching_passage(visit: Visit, full: StoredBench) -> None:
    word = next(iter(full.texts.values()))["text"].split()[-1].lower()
    text = "padding " * 200 + "the needle is here" + " padding" * 200
    with visit("full") as page:
        page.press("/")
        page.type(word)
        assert page.value(f"{ROWS}.length") > 0
        begin, end = page.value(f"passage({json.dumps(text)}, ['needle'])")
        assert "needle is here" in text[begin:end]
        assert end - begin <= 280
        assert page.value("passage('short', ['needle'])") == [0, 5]


def test_queries_as_csv(visit: Visit, browser: Browser, full: StoredBench) -> None:
    with visit("full") as page:
        show(page, full, "vectors", "vectors > good")
        rows = list(csv.DictReader(io.StringIO(downloaded(page, browser, "#csv", "queries.csv"), newline="")))
        assert len(rows) == 20
        for row in rows:
            values = (full.values[name][row["query_id"]]["nDCG@10"] for name in ("vectors", "vectors > good"))
            old, new = (value or 0 for value in values)
            assert float(row["change"]) == pytest.approx(new - old)
        cells = page.value("['=1+1', '@x', '-2', '+a', 'a,b', -0.5, null].map(csvCell)")
        assert cells == ["'=1+1", "'@x", "'-2", "'+a", '"a,b"', "-0.5", ""], "numbers stay numbers"


def test_a_query_on_a_phone(visit: Visit) -> None:
    with visit("full", width=390) as page:
        page.value(f"{ROWS}[0].click()")
        assert page.value("document.querySelector('#list > li').offsetHeight") < 2000


def test_a_long_id_makes_no_page_wider(browser: Browser, full: StoredBench, tmp_path: Path) -> None:
    """Wherever it stands in an open query: in a list, or among what neither list has."""
    units = "[...document.querySelectorAll('#list .panel .unit')]"
    path = tmp_path / "cut.html"
    path.write_text(bench_page(full, limit_bytes=1), encoding="utf-8")  # ten results per list
    with browser.open(path, width=390) as page:
        show(page, full, "bm25", "vectors > bad")
        page.value(f"{ROWS}.forEach(row => row.click())")
        assert page.value(f"{units}.filter(unit => unit.closest('.hit')).length") > 0
        assert page.value(f"{units}.filter(unit => !unit.closest('.hit')).length") > 0
        page.value(f"{units}.forEach(unit => {{ unit.textContent = 'long'.repeat(100) }})")
        assert page.value("document.documentElement.scrollWidth <= innerWidth")


def test_letters_that_turn_the_direction_stay_in_their_place(visit: Visit) -> None:
    isolated = """[...document.querySelectorAll('#list .unit, #list .title, #list .words')]
        .map(part => getComputedStyle(part).unicodeBidi)"""
    with visit("hostile") as page:
        page.value(f"{ROWS}[0].click()")
        assert set(page.value(isolated)) <= {"isolate", "plaintext"}


def test_judging_by_keyboard_and_export(visit: Visit, browser: Browser, full: StoredBench) -> None:
    """Keys work as soon as the text is in sight; comments, notes and undo outlive the page."""
    with visit("full") as page:
        page.value("document.getElementById('who').focus()")
        page.type("Anna\tB.")
        page.value("document.getElementById('need').focus()")
        page.type("the page that names it")
        page.value("document.activeElement.blur(); document.getElementById('card').scrollIntoView()")
        for key in ("2", "s", "0", "?", "u", "1"):
            page.press(key)
        assert page.value("document.querySelector('#judging progress').value") == 3
        assert page.value(f"Object.values({STORED}.grades).map(given => given.grade)") == [2, 0, 1]
        assert "s per item" in page.value("document.querySelector('#judging [role=status]').textContent")
        card = page.value("document.getElementById('card').textContent")
        assert not any(label in card for label in full.labels.values()), "who found it is not told"
        assert page.value("document.querySelectorAll('#card mark').length") == 0, (
            "words of the query prejudice"
        )
        page.reload()
        assert page.value("document.querySelector('#judging progress').value") == 3, "the browser keeps them"
        assert page.value("document.getElementById('who').value").startswith("Anna")
        page.value("document.getElementById('card').scrollIntoView()")
        page.press("u")
        assert page.value("document.querySelector('#judging progress').value") == 2, "undo too"
        page.value("document.getElementById('comment').focus()")
        page.type("=because")
        page.value("document.activeElement.blur()")
        page.press("1")
        page.press("?")
        rows = list(
            csv.reader(io.StringIO(downloaded(page, browser, "#export", "qrels.tsv")), delimiter="\t")
        )
        assert rows[0] == ["query-id", "corpus-id", "score", "judge", "judged-at", "comment", "need"]
        assert [[*row[2:4], row[5]] for row in rows[1:]] == [
            ["2", "Anna B.", ""],
            ["0", "Anna B.", ""],
            ["1", "Anna B.", "=because"],
        ]
        assert rows[1][6] == "the page that names it"
        assert {(row[0], row[1]) for row in rows[1:]} <= {(query, unit) for query, unit, _ in full.unjudged}


def test_keys_do_not_judge_what_is_out_of_sight(visit: Visit) -> None:
    with visit("full") as page:
        page.value("scrollTo(0, 0)")
        page.press("1")
        assert page.value("document.querySelector('#judging progress').value") == 0


def test_what_decides_comes_first_and_a_page_is_whole(visit: Visit, full: StoredBench) -> None:
    """The order that the bench stored; all parts of a page."""
    query, unit, *_ = full.unjudged[0]
    (text,) = (line["text"] for line in full.queries if line["query_id"] == query)
    parts = {line["text"] for line in full.texts.values() if unit in line["pages"]}
    shown = "[...document.querySelectorAll('#card .judged-text p')].map(part => part.textContent)"
    with visit("full") as page:
        assert page.value("document.querySelector('#card .unit').textContent") == unit
        assert page.value("document.querySelector('#card h3').textContent") == text
        assert set(page.value(shown)) == parts


def test_query_by_query_and_the_end(visit: Visit) -> None:
    with visit("hostile") as page:
        order = "document.getElementById('judge-order')"
        page.value(f"{order}.value = 'query'; {order}.dispatchEvent(new Event('change'))")
        page.value("document.getElementById('card').scrollIntoView()")
        total = page.value("document.querySelector('#judging progress').max")
        for _ in range(total):
            page.press("1")
        assert "All judged" in page.value("document.getElementById('card').textContent")
        assert page.value(f"Object.keys({STORED}.grades).length") == total
        page.press("u")
        assert page.value(f"Object.keys({STORED}.grades).length") == total - 1
        assert page.value("document.querySelector('#judging progress').value") == total - 1


def test_nothing_is_left_to_judge(browser: Browser, full: StoredBench, tmp_path: Path) -> None:
    path = tmp_path / "judged.html"
    path.write_text(bench_page(replace(full, unjudged=())), encoding="utf-8")
    with browser.open(path) as page:
        words = page.value("document.getElementById('judging').textContent")
        assert words == "Everything on top has been judged."


PAPER = {"A4": (8.27, 11.69), "Letter": (8.5, 11)}
"""Width and height in inches."""


@pytest.mark.parametrize("paper", PAPER)
def test_print(visit: Visit, paper: str) -> None:
    width, height = PAPER[paper]
    with visit("full") as page:
        printed = page.pdf(paperWidth=width, paperHeight=height)
        assert printed.startswith(b"%PDF")
        assert len(printed) > 20_000, "with its charts"


@pytest.mark.parametrize("name", ["full", "compare", "index"])
def test_nothing_is_wider_than_paper(visit: Visit, name: str) -> None:
    """Else the browser shrinks the whole page, letters and all; nor do words break within themselves."""
    wide = "[...document.querySelectorAll('.scroll')].filter(part => part.scrollWidth > part.clientWidth + 1)"
    verdicts = "[...document.querySelectorAll('td .mark')].map(mark => mark.parentNode)"
    with visit(name, width=int(96 * (PAPER["A4"][0] - 0.8))) as page:
        page.send("Emulation.setEmulatedMedia", media="print")
        assert page.value(f"{wide}.map(part => part.getAttribute('aria-label'))") == []
        assert page.value(f"{verdicts}.length") > 0
        assert (
            page.value(f"{verdicts}.filter(cell => getComputedStyle(cell).whiteSpace !== 'nowrap').length")
            == 0
        )


def test_the_example_prints_on_six_pages(browser: Browser, tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "reports" / "0001_handbook"
    if not example.is_dir():
        pytest.skip("the committed example is not in a package of the sources")
    path = tmp_path / "example.html"
    path.write_text(bench_page(read_bench(example)), encoding="utf-8")
    with browser.open(path) as page:
        for width, height in PAPER.values():
            printed = page.pdf(paperWidth=width, paperHeight=height)
            assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= 6


@pytest.mark.skipif(
    "QEMBED_AXE" not in os.environ, reason="QEMBED_AXE names no axe.min.js (npm pack axe-core)"
)
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["full", "compare", "index"])
def test_accessibility(visit: Visit, name: str, dark: bool) -> None:
    with visit(name, width=390 if dark else 1280, dark=dark) as page:
        assert page.violations(Path(os.environ["QEMBED_AXE"]).read_text(encoding="utf-8")) == []
