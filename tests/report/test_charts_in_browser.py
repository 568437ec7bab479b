"""Charts in headless Chromium: there without scripts, nothing cut or faint, numbers as stored, keyboard."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from browser import Browser, Page

from qembed.report.charts import bench_charts
from qembed.report.stored import StoredBench
from qembed.report.words import milliseconds, signed

Visit: TypeAlias = Callable[..., Any]

ASKED = Path(__file__).with_name("charts_in_browser.js").read_text(encoding="utf-8")


def ask(page: Page, expression: str) -> Any:
    """What an expression gives that may use ``charts_in_browser.js``."""
    return page.value(f"(() => {{ {ASKED}\nreturn {expression}; }})()")


@pytest.mark.parametrize("scripts", [True, False])
def test_every_chart_is_there_also_without_scripts(
    browser: Browser, pages: dict[str, Path], full: StoredBench, scripts: bool
) -> None:
    wanted = ["Difference in nDCG@10", "Quality against time", *(chart.title for chart in bench_charts(full))]
    with browser.open(pages["full"], scripts=scripts) as page:
        assert page.value("document.documentElement.dataset.ready ?? null") == ("yes" if scripts else None)
        titles = ask(page, "pictures.map((part) => part.parentNode.querySelector('h2, h3').textContent)")
        assert len(titles) == len(wanted)
        assert all(title.startswith(words) for title, words in zip(titles, wanted, strict=True))
        assert min(ask(page, "pictures.map((part) => part.getBoundingClientRect().height)")) > 50
        assert min(ask(page, "pictures.map((part) => part.querySelectorAll('.mark path').length)")) > 1


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["full", "hostile", "compare", "index"])
def test_no_label_is_cut_or_lies_on_another(visit: Visit, name: str, width: int) -> None:
    with visit(name, width=width) as page:
        assert ask(page, "pictures.length") > 0
        assert ask(page, "outside()") == []
        assert ask(page, "overlapping()") == []


@pytest.mark.parametrize("look", ["light", "dark", "print"])
@pytest.mark.parametrize("name", ["full", "compare", "index"])
def test_labels_and_marks_have_contrast(visit: Visit, name: str, look: str) -> None:
    """Printed from a dark screen, a page has the colours of print."""
    with visit(name, dark=look != "light") as page:
        if look == "print":
            page.send("Emulation.setEmulatedMedia", media="print")
        assert ask(page, "pictures.length") > 0
        assert ask(page, "faint()") == []


def test_the_marks_of_a_chart_by_keyboard(visit: Visit) -> None:
    """One stop of the tab key per chart, arrows within it; the numbers stand beside the mark."""
    with visit("full") as page:
        assert set(ask(page, "stops()")) == {1}
        ask(page, "bars()[0].focus()")
        for key, place in (("ArrowRight", 1), ("ArrowDown", 2), ("ArrowLeft", 1), ("End", 19), ("Home", 0)):
            page.press(key)
            assert ask(page, "bars().indexOf(document.activeElement)") == place
            assert ask(page, "tip().textContent") == ask(page, f"bars()[{place}].getAttribute('aria-label')")
            assert ask(page, "tip().checkVisibility()")
        assert set(ask(page, "stops()")) == {1}
        page.press("Escape")
        assert not ask(page, "tip().checkVisibility()")
        query = page.value("document.activeElement.getAttribute('href')").removeprefix("#q=")
        page.press("Enter")
        assert page.value("document.activeElement.querySelector('small').textContent") == query
        assert page.value("document.activeElement.getAttribute('aria-expanded')") == "true"
        assert page.value("document.getElementById('right').value") == "1"


def test_a_bar_of_a_chart_opens_its_query(visit: Visit) -> None:
    """With the system of that chart on the right."""
    bar = 'document.querySelector(\'figure[data-right="3"] a.mark[href="#q=q05"]\')'
    with visit("full") as page:
        page.value(f"{bar}.dispatchEvent(new MouseEvent('click', {{ bubbles: true, cancelable: true }}))")
        assert page.value("document.activeElement.querySelector('small').textContent") == "q05"
        assert page.value("document.getElementById('right').value") == "3"
        assert page.value("document.activeElement.getAttribute('aria-expanded')") == "true"


def test_every_mark_has_a_name(visit: Visit) -> None:
    """With its numbers; the same is shown where the pointer is."""
    with visit("full") as page:
        found = [name for names in ask(page, "names()") for name in names]
        assert len(found) > 100
        assert all(len(name) > 3 and any(letter.isdigit() for letter in name) for name in found)
        ask(page, "over(pictures[0].querySelector('.mark'))")
        assert ask(page, "tip().textContent") == found[0]


def test_numbers_of_the_pictures_are_those_of_the_bench(visit: Visit, full: StoredBench) -> None:
    """The marks of differences, times and depths, against ``bench.json``."""
    document = json.loads((full.folder / "bench.json").read_text(encoding="utf-8"))
    with visit("full") as page:
        forest, times, depths, *_ = ask(page, "names()")
    for system, words in zip(document["systems"][1:], forest, strict=True):
        found = system["comparisons"]["nDCG@10"]
        turn = -1 if system["name"] == "baseline" else 1
        low, high = sorted((turn * found["low"], turn * found["high"]))
        assert f"{signed(turn * found['difference'])} ({signed(low)} to {signed(high)})" in words
    for system in document["systems"]:
        if system["name"] not in document["frontiers"]:
            value, time = system["estimates"]["nDCG@10"]["mean"], system["latency_ms"]["total"]["p50"]
            (words,) = (words for words in times if words.startswith(f"{full.labels[system['name']]}: "))
            assert f"nDCG@10 {value:.3f} (" in words
            assert words.endswith(f", {milliseconds(max(time, 0.01))} ms")
    for name, found in document["frontiers"].items():
        for point in found["points"]:
            start = f"{full.labels[name]}: depth {point['depth']}, nDCG@10 {point['quality']['mean']:.3f} ("
            assert any(words.startswith(start) for words in depths)
