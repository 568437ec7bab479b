"""Charts hold what was stored: nothing lost, nothing added."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.report import distributions
from qembed.report.chart import Chart
from qembed.report.charts import bench_charts
from qembed.report.stored import StoredBench, subdirectory_of


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
    series = {entry["name"]: entry["points"] for entry in charts["depths"].data["series"]}
    assert [point["x"] for point in series["New embeddings + good reranker"]] == [0, 5, 20]
    found = full.document["frontiers"]["vectors > good"]
    chosen = [] if found["chosen"] is None else [found["chosen"]]
    assert [point["x"] for point in series["New embeddings + good reranker"] if point["chosen"]] == chosen
    best = series["best order of the same candidates"]
    assert [point["y"] for point in best] == [point["ceiling"] for point in found["points"]]


def test_the_parts_of_a_waterfall_are_a_whole(charts: dict[str, Chart]) -> None:
    data = charts["waterfall"].data
    assert data["parts"][0]["name"] == "found"
    for at in range(len(data["systems"])):
        assert sum(part["values"][at] for part in data["parts"]) == pytest.approx(1)


def test_differences_fall_and_are_those_of_the_queries(charts: dict[str, Chart], full: StoredBench) -> None:
    data = charts["difference-1"].data
    assert data["values"] == sorted(data["values"], reverse=True)
    for query, value in zip(data["queries"], data["values"], strict=True):
        new, old = (full.values[name][query]["nDCG@10"] for name in ("bm25", "vectors"))
        assert new is not None
        assert old is not None
        assert value == pytest.approx(new - old, abs=1e-4)


def test_every_hit_is_in_one_bin(charts: dict[str, Chart], full: StoredBench) -> None:
    hits = sum(len(line["systems"]["vectors"]["hits"]) for line in full.queries)
    assert sum(sum(entry["counts"]) for entry in charts["scores-0"].data["series"]) == hits


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
    data = charts["lengths-0"].data
    assert sum(data["counts"]) == full.document["sides"][0]["texts"]
    assert len(data["labels"]) == len(data["counts"])


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
