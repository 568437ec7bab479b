"""Charts hold what was stored: nothing lost, nothing added."""

from __future__ import annotations

from dataclasses import replace

import pytest
from drawn import marks, texts
from hypothesis import given
from hypothesis import strategies as st

from qembed.report import distributions
from qembed.report.asked import asked
from qembed.report.chart import Chart
from qembed.report.charts import bench_charts
from qembed.report.drawing.picture import WIDTH
from qembed.report.first import failures
from qembed.report.stored import Fate, StoredBench, subdirectory_of
from qembed.report.tables import quality_table
from qembed.report.verdicts import answers
from qembed.report.words import signed


@pytest.fixture(scope="module")
def charts(full: StoredBench) -> dict[str, Chart]:
    return {chart.name: chart for chart in bench_charts(full)}


def test_every_chart_has_words_and_a_table(charts: dict[str, Chart]) -> None:
    without = [name for name, chart in charts.items() if chart.table is None]
    assert all(name.startswith("difference-") for name in without), "those share the table of the first"
    assert "difference-1" not in without
    assert all(chart.summary for chart in charts.values())
    for chart in charts.values():
        if chart.table:
            assert all(len(row) == len(chart.table.head) for row in chart.table.rows)
    captions = [chart.table.caption for chart in charts.values() if chart.table]
    assert len(set(captions)) == len(captions)


def test_depths(charts: dict[str, Chart], full: StoredBench) -> None:
    """Every depth of every reranker is a point at its mean; a ring is around the one to take."""
    shown = marks(charts["depths"].picture)
    for name in ("vectors > good", "vectors > bad"):
        found = full.document["frontiers"][name]
        points = [mark for mark in shown if mark.words.startswith(f"{full.labels[name]}: depth ")]
        for point, mark in zip(found["points"], points, strict=True):
            assert f"depth {point['depth']}, nDCG@10 {point['quality']['mean']:.3f} (" in mark.words
            assert mark.words.endswith(", chosen") is (point["depth"] == found["chosen"])
    best = [mark.words for mark in shown if mark.words.startswith("best order of the same candidates")]
    points = full.document["frontiers"]["vectors > good"]["points"]
    assert [words[-5:] for words in best] == [f"{point['ceiling']:.3f}" for point in points]


def test_the_parts_of_a_waterfall_are_a_whole(charts: dict[str, Chart], full: StoredBench) -> None:
    shown = marks(charts["waterfall"].picture)
    for name, fall in full.document["waterfalls"].items():
        bars = [mark for mark in shown if mark.words.startswith(f"{full.labels[name]}: ")]
        assert len(bars) == sum(share > 0 for share in fall["shares"].values())
        assert bars[0].words.endswith("found among the first results")
        widths = [bar.boxes[0][2] - bar.boxes[0][0] for bar in bars]
        assert sum(widths) == pytest.approx(WIDTH - 8, abs=1)
        assert widths[0] == pytest.approx((WIDTH - 8) * fall["shares"]["found"], abs=0.3)


def test_differences_fall_and_are_those_of_the_queries(charts: dict[str, Chart], full: StoredBench) -> None:
    shown = marks(charts["difference-1"].picture)
    tops = [mark.boxes[0][1] for mark in shown]
    assert tops == sorted(tops)
    changes = {}
    for query in full.values["bm25"]:
        new, old = (full.values[name][query]["nDCG@10"] for name in ("bm25", "vectors"))
        assert new is not None
        assert old is not None
        changes[query] = f"{signed(new - old)}, {query}"
    assert sorted(mark.words.partition(": ")[0] for mark in shown) == sorted(changes.values())
    texts_of = {line["query_id"]: line["text"] for line in full.queries}
    for mark in shown:
        assert mark.words.endswith(f": {texts_of[mark.href.removeprefix('#q=')]}")
    assert {mark.href for mark in shown} == {f"#q={query}" for query in changes}


def test_charts_that_are_compared_have_one_scale(charts: dict[str, Chart]) -> None:
    """Ticks up of all differences, of all scores, of the lengths of both sides."""
    for name in ("difference", "scores", "lengths"):
        same = [chart for title, chart in charts.items() if title.startswith(name)]
        assert len(same) > 1
        up = [[words for words in texts(chart.picture) if words[-1] in "%0123456789"] for chart in same]
        if name == "scores":  # across, each has its own scores
            up = [[words for words in found if words.endswith("%")] for found in up]
        assert all(found == up[0] for found in up), name


def test_won_tied_and_lost_are_those_of_the_verdict(charts: dict[str, Chart], full: StoredBench) -> None:
    found = full.systems[1]["comparisons"]["nDCG@10"]
    words = f"{found['wins']} queries won, {found['ties']} tied, {found['losses']} lost"
    assert charts["difference-1"].summary.startswith(words)
    assert any(words in answer.details for answer in answers(full))
    assert quality_table(full).rows[1][-1].text == f"{found['wins']} / {found['ties']} / {found['losses']}"
    assert quality_table(full).note.startswith("Won, tied, lost: queries for which nDCG@10 is higher than,")


def test_every_hit_is_in_one_bin(charts: dict[str, Chart], full: StoredBench) -> None:
    hits = sum(len(line["systems"]["vectors"]["hits"]) for line in full.queries)
    table = charts["scores-0"].table
    assert table is not None
    assert sum(int(cell.sort or 0) for row in table.rows for cell in row[1:]) == hits
    assert len(marks(charts["scores-0"].picture)) == len(table.rows)


@given(
    st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=200).filter(
        lambda found: max(found) - min(found) > 1e-6
    )
)
def test_bins(scores: list[float]) -> None:
    edges = distributions._edges(min(scores), max(scores))
    assert edges[0] <= min(scores) + 1e-9
    assert edges[-1] >= max(scores) - 1e-9
    assert 1 <= len(edges) - 1 <= 60
    assert sum(distributions._binned(scores, edges)) == len(scores)


def test_lengths_count_every_text(charts: dict[str, Chart], full: StoredBench) -> None:
    table = charts["lengths-0"].table
    assert table is not None
    counts = [int(row[1].sort or 0) for row in table.rows]
    assert sum(counts) == full.document["sides"][0]["texts"]
    shown = [mark.words for mark in marks(charts["lengths-0"].picture)]
    assert [words.partition(": ")[2] for words in shown] == [f"{count} texts" for count in counts]


def test_subdirectories_need_more_than_one(charts: dict[str, Chart], full: StoredBench) -> None:
    assert "subdirectories" not in charts, "all pages of the collection lie in docs"
    fates = tuple(
        replace(fate, unit=fate.unit.replace("docs/", f"{'ab'[at % 2]}/"))
        for at, fate in enumerate(full.fates)
    )
    made = {chart.name: chart for chart in bench_charts(replace(full, fates=fates))}["subdirectories"]
    assert made.table is not None
    found = {row[0].text: row[1].sort for row in made.table.rows}
    assert sum(int(number or 0) for number in found.values()) == sum(
        fate.system == "vectors" for fate in fates
    )
    shown = marks(made.picture)
    assert len(shown) == 4, "two places, the two systems of the headline"
    for name in ("vectors", "baseline"):
        own = [fate.stage == "found" for fate in fates if fate.system == name and fate.unit.startswith("a/")]
        mark = next(mark for mark in shown if mark.words.startswith(f"a ({len(own)} relevant"))
        assert any(
            f"{full.labels[name]} finds {100 * sum(own) / len(own):.0f} % of {len(own)} (" in mark.words
            for mark in shown
        )
        assert len(mark.boxes) == 2, "a point and its interval"


def in_places(full: StoredBench, **sizes: int) -> StoredBench:
    """With as many relevant items per subdirectory: none of c is found, half of a, all others."""
    units = [name for name, size in sizes.items() for _ in range(size)]
    fates = tuple(
        Fate(
            system, f"q{at}", f"{name}/x", 1, "missed" if name == "c" or (name == "a" and at % 2) else "found"
        )
        for system in ("vectors", "baseline")
        for at, name in enumerate(units)
    )
    return replace(full, fates=fates)


def test_small_subdirectories_do_not_decide_and_say_so(full: StoredBench) -> None:
    """Two of ten items or more, and one of three; then three that are all small."""
    bench = in_places(full, a=10, b=12, c=3)
    made = next(chart for chart in bench_charts(bench) if chart.name == "subdirectories")
    assert "finds least in a (50 %) and most in b (100 %), of those with 10 relevant items" in made.summary
    assert "c (3 relevant, too few to say much)" in texts(made.picture)
    words = [line.words for line in failures(bench, asked(bench))]
    assert "Weakest part: a, where 50 % of 10 relevant items are among the first ten." in words
    small = in_places(full, a=4, b=2, c=1)
    made = next(chart for chart in bench_charts(small) if chart.name == "subdirectories")
    assert "finds least in c (0 %) and most in b (100 %). Line" in made.summary
    assert made.table is not None
    assert [row[0].text for row in made.table.rows] == ["a", "b", "c"], "the largest first"
    assert not any(line.words.startswith("Weakest") for line in failures(small, asked(small)))


@pytest.mark.parametrize(
    ("unit", "level", "name"),
    [
        ("click/click.Option", "page", "click"),
        ("docs/guide/intro.md", "page", "docs"),
        ("alone.md", "page", "–"),
        ("eco:docs:a.md:chunk:1", "chunk", "docs"),
        ("doc-17", "chunk", "–"),
    ],
)
def test_subdirectory_of(unit: str, level: str, name: str) -> None:
    assert subdirectory_of(unit, level) == name
