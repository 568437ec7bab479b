"""From questions to a verdict through the page: nothing judged, judged in a browser, merged, measured."""

from __future__ import annotations

import json
import random
import re
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from bench_folders import Made, library, library_items, write_embeddings
from browser import Browser

from qembed.commands.bench.bench import bench
from qembed.commands.bench.store import store_bench
from qembed.commands.evalset.judgements import merge_judgements
from qembed.errors import Mismatch
from qembed.evaluation.diagnose.decisive import pulls
from qembed.evaluation.diagnose.outlook import (
    LEAST_LEADS,
    SO_FAR,
    WORDS,
    Question,
    level_of,
    outlook,
    question_of,
)
from qembed.evaluation.eval_sets.eval_set import load_eval_set, unjudged_set
from qembed.report.compare import pair_benches
from qembed.report.explorer import Limits, explorer_data
from qembed.report.index_page import index_page
from qembed.report.markdown import bench_markdown
from qembed.report.page import bench_page
from qembed.report.standing import standing
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
    assert f"the {stored.document['outlook']['left']} on which New embeddings and Existing" in page
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
        assert "better on 0 questions, worse on 0, equal so far on 20. " in page.value(so_far)
        for at in range(JUDGED):
            page.press("02"[at % 2])
        said = page.value(so_far)
        page.value("document.getElementById('export').click()")
        until = time.monotonic() + 20
        while not exported.exists() and time.monotonic() < until:
            time.sleep(0.05)
        page.value("localStorage.clear()")
        assert page.problems == []
    done = merge_judgements(tmp_path / "mine", [exported], judge="a reader", bench=stored.folder)
    assert done.standing is not None
    assert said == done.standing.outlook.words("New embeddings", "Existing embeddings"), (
        "page and terminal agree"
    )
    found = load_eval_set(tmp_path / "mine")
    assert sum(map(len, found.qrels.values())) == JUDGED
    decisive = {(query, unit) for query, unit, *_ in stored.unjudged[:JUDGED]}
    assert {(query, unit) for query, grades in found.qrels.items() for unit in grades} == decisive
    outlook = done.standing.outlook
    assert outlook.given == JUDGED
    assert outlook.better != outlook.worse
    assert 0 < outlook.left < stored.document["unjudged"]
    after = bench(made.embeddings, tmp_path / "mine", made.options())
    assert after.rows[0].estimates["nDCG@10"].n == len(found.judged) - len(found.unanswerable) > 0


def test_page_and_python_say_the_same_of_any_numbers(
    browser: Browser, stored: StoredBench, tmp_path: Path
) -> None:
    """outlook.js against outlook.py: random cases of every kind, states and sentences."""
    (tmp_path / "page.html").write_text(bench_page(stored), encoding="utf-8")
    draw = random.Random(5)
    cases = []
    for _ in range(400):
        drift, spread, count = draw.uniform(-1, 1), draw.choice((0, 0.2, 1, 2)), draw.randint(0, 30)
        nows = [draw.choice((0, 0, draw.gauss(drift, 0.7))) for _ in range(count)]
        questions = [
            Question(now, now - draw.random() * spread, now + draw.random() * spread) for now in nows
        ]
        cases.append((questions, draw.randint(1, 5), draw.randint(0, 90), draw.randint(0, 2000)))
    expected = [
        outlook(questions, level_of(comparisons), given=given, left=left)
        for questions, comparisons, given, left in cases
    ]
    assert {found.state for found in expected} == set(WORDS), "every state comes up"
    rule = {"leastLeads": LEAST_LEADS, "soFar": SO_FAR, "words": WORDS}
    asked = [
        [questions, {**rule, "level": level_of(comparisons)}, given, left]
        for questions, comparisons, given, left in cases
    ]
    with browser.open(tmp_path / "page.html") as page:
        found = page.value(
            f"""{json.dumps(asked)}.map(([questions, rule, given, left]) => {{
                const found = outlook(questions, rule, given, left);
                return [found, outlookWords(found, rule, "A", "B")];
            }})"""
        )
        assert page.problems == []
    assert [one for one, _ in found] == [asdict(one) for one in expected]
    assert [words for _, words in found] == [one.words("A", "B") for one in expected]


def test_page_and_python_see_the_same_question(browser: Browser, stored: StoredBench, tmp_path: Path) -> None:
    """Two lists and some grades: what is known, and both extremes; what both rank alike is no matter."""
    (tmp_path / "page.html").write_text(bench_page(stored), encoding="utf-8")
    draw = random.Random(6)
    cases = []
    for _ in range(200):
        lists = [draw.sample("abcdefghijklmno", draw.randint(0, 10)) for _ in range(2)]
        grades = {unit: draw.randint(0, 3) for unit in draw.sample("abcdefghijklmno", draw.randint(0, 9))}
        cases.append(
            (
                *lists,
                grades,
                draw.choice((2, 3)),
                len({*lists[0], *lists[1]} - grades.keys()) + draw.randint(0, 4),
            )
        )
    with browser.open(tmp_path / "page.html") as page:
        found = page.value(
            f"{json.dumps(cases)}.map(([one, other, grades, highest, holes]) => "
            "questionOf(one, other, new Map(Object.entries(grades)), highest, holes))"
        )
    for (one, other, grades, highest, holes), seen in zip(cases, found, strict=True):
        differing = pulls(one, other)
        assert seen["question"] == pytest.approx(list(question_of(one, other, grades, highest, holes=holes)))
        assert seen["given"] == sum(unit in grades for unit in differing)
        assert seen["given"] + seen["left"] == len(differing)


def test_a_long_id_stays_in_the_card_of_a_phone(
    browser: Browser, stored: StoredBench, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text(bench_page(stored), encoding="utf-8")
    card = "document.getElementById('card')"
    with browser.open(tmp_path / "page.html", width=390) as page:
        page.value(f"{card}.querySelector('.unit').textContent = 'a_long_name_'.repeat(20)")
        assert page.value(f"{card}.scrollWidth <= {card}.clientWidth")


def test_a_partly_judged_set_is_judged_on_from_its_page(browser: Browser, tmp_path: Path) -> None:
    """What waits is in the explorer, marked, searchable, in no filter of results, and can be judged."""
    made = library(tmp_path / "library")
    qrels = made.eval_set / "qrels" / "test.tsv"
    rows = qrels.read_text().splitlines()
    qrels.write_text("\n".join(row for row in rows if not row.startswith("q1")) + "\n")
    stored = read_bench(
        store_bench(bench(made.embeddings, made.eval_set, made.options()), tmp_path / "reports")
    )
    assert len(stored.waiting) == 10
    text = bench_page(stored)
    assert "10 of 20 questions are not judged" in text
    assert "10 of 20 questions are not judged" in bench_markdown(stored)
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    exported = browser.downloads / "qrels.tsv"
    exported.unlink(missing_ok=True)
    count = "Number(document.querySelector('[data-filter={name}]').textContent)"
    with browser.open(tmp_path / "page.html") as page:
        page.value("localStorage.clear()")
        page.reload()
        found = standing(stored, {})
        assert found is not None
        words = found.outlook.words(stored.labels[found.system], stored.labels[found.baseline])
        assert page.value("document.querySelector('#so-far p').textContent") == words
        assert page.value(count.format(name="waiting")) == 10
        assert page.value(count.format(name="all")) == 20
        assert page.value(count.format(name="unanswerable")) == 0
        assert sum(page.value(count.format(name=name)) for name in ("gained", "lost", "same")) == 10
        page.press("/")
        page.type("q14")
        assert page.value("document.querySelector('#list .row').textContent").count("not judged") == 1
        page.value("document.querySelector('#list .row').click()")
        assert page.value("document.querySelectorAll('#list .panel .hit').length") > 10
        order = "document.getElementById('judge-order')"
        page.value(f"{order}.value = 'query'; {order}.dispatchEvent(new Event('change'))")
        buttons = "[...document.querySelectorAll('#judge-queries button')]"
        page.value(f"{buttons}.find(one => one.textContent.startsWith('what of topic14')).click()")
        page.value("document.activeElement.blur(); document.getElementById('card').scrollIntoView()")
        for _ in range(3):
            page.press("2")
        page.value("document.getElementById('export').click()")
        until = time.monotonic() + 20
        while not exported.exists() and time.monotonic() < until:
            time.sleep(0.05)
        page.value("localStorage.clear()")
        assert page.problems == []
    merge_judgements(made.eval_set, [exported], judge="a reader")
    found = load_eval_set(made.eval_set)
    assert len(found.qrels["q14"]) == 3
    assert len(found.judged) == 11
