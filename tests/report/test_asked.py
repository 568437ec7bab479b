"""The question of a bench: its answer in one sentence, advice with its price."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from qembed.report.asked import advice, asked, depths, headline, turned
from qembed.report.charts import bench_charts
from qembed.report.first import level
from qembed.report.stored import StoredBench, comparison_of
from qembed.report.tables import Cell
from qembed.report.words import interval

MEASURE = "nDCG@10"


def changed(full: StoredBench, *systems: str, **comparisons: dict[str, Any]) -> StoredBench:
    """The bench with only these systems besides the first, and other comparisons of them."""
    document = copy.deepcopy(full.document)
    document["systems"] = [
        system for system in document["systems"] if system["name"] in ("vectors", *systems)
    ]
    for system in document["systems"]:
        system["pool"] = None
        system["comparisons"].get(MEASURE, {}).update(comparisons.get(system["name"], {}))
    return replace(full, document=document)


def test_a_verdict_that_rests_on_one_sided_judgements_says_so(full: StoredBench) -> None:
    bench = changed(full, "bm25", bm25=verdict("worse", -0.05))
    words = said(bench)
    bench.systems[1]["pool"] = {"condensed": bench.systems[1]["comparisons"][MEASURE]}
    assert said(bench) == f"On what was judged: {words}"


def said(bench: StoredBench) -> str:
    return headline(bench, asked(bench))


def verdict(word: str, difference: float) -> dict[str, Any]:
    return {"verdict": word, "difference": difference, "n": 85, "margin": 0.01}


@pytest.mark.parametrize(
    ("of_existing", "sentence"),
    [
        (verdict("worse", -0.068), "The new embeddings are better than the existing ones by 0.068 nDCG@10."),
        (verdict("better", 0.068), "The new embeddings are worse than the existing ones by 0.068 nDCG@10."),
        (
            verdict("equivalent", 0.001),
            "The new embeddings are as good as the existing ones, within 0.01 nDCG@10.",
        ),
        (
            verdict("cannot tell", -0.068),
            "85 questions cannot tell whether the new embeddings are better than the old ones.",
        ),
    ],
)
def test_new_against_existing(full: StoredBench, of_existing: dict[str, Any], sentence: str) -> None:
    """The stored comparison is of the existing ones against the new: it is turned."""
    better = verdict("better", 0.5)
    bench = changed(full, "baseline", "vectors > good", **{"baseline": of_existing, "vectors > good": better})
    assert said(bench) == sentence
    question = asked(bench)
    assert question is not None
    assert (question.old, question.new) == ("baseline", "vectors")


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (verdict("worse", -0.05), "Do not rerank with the good reranker: it loses 0.050 nDCG@10."),
        (
            verdict("equivalent", 0.0),
            "Reranking with the good reranker makes no difference above 0.01 nDCG@10.",
        ),
        (
            verdict("cannot tell", 0.1),
            "85 questions cannot tell whether reranking with the good reranker helps.",
        ),
    ],
)
def test_reranking(full: StoredBench, found: dict[str, Any], sentence: str) -> None:
    cannot = verdict("cannot tell", 0.2)
    assert (
        said(changed(full, "bm25", "vectors > good", **{"vectors > good": found, "bm25": cannot})) == sentence
    )


def test_reranking_that_helps_is_said_with_gain_and_price_of_one_depth(full: StoredBench) -> None:
    whole = verdict("better", 0.099) | {"low": 0.052, "high": 0.146}
    bench = changed(full, "vectors > good", **{"vectors > good": whole})
    point = {"gain": None, "ceiling": 0.7, "milliseconds": None, "depth": 0}
    gain = {"difference": 0.09, "low": 0.041, "high": 0.137, "verdict": "better"}
    bench.document["frontiers"] = {
        "vectors > good": {
            "chosen": 20,
            "falls_after": None,
            "points": [
                point,
                {**point, "depth": 20, "gain": gain, "milliseconds": 395.2},
                {**point, "depth": 100, "gain": {**gain, "difference": 0.099}, "milliseconds": 1924.1},
            ],
        }
    }
    assert said(bench) == "Reranking 20 results helps: +0.090 nDCG@10 for 395 ms per query."
    ((_, words),) = advice(bench)
    assert words.startswith("Rerank 20 results: +0.090 nDCG@10 (+0.041 to +0.137) for 395 ms per query.")
    assert "All 100: +0.099 nDCG@10 (+0.052 to +0.146) for 1,924 ms per query." in words
    assert "+0.099 (95 % interval +0.052 to +0.146)" in next(iter(level(bench, asked(bench)))), "one interval"
    bench.document["frontiers"]["vectors > good"]["chosen"] = None
    assert said(bench) == "Reranking 20 results helps: +0.090 nDCG@10 for 395 ms per query."
    ((_, words),) = advice(bench)
    assert words.startswith(
        "These questions cannot tell how many results to rerank: 20 results +0.090 nDCG@10 ("
    )
    assert words.endswith(
        "for 395 ms per query; 100 results +0.099 nDCG@10 (+0.052 to +0.146) for 1,924 ms per query."
    )
    first = bench.document["frontiers"]["vectors > good"]["points"][1]
    first |= {"depth": 10, "gain": {**gain, "verdict": "cannot tell"}}
    assert said(bench) == "Reranking 100 results helps: +0.099 nDCG@10 for 1,924 ms per query."
    ((_, words),) = advice(bench)
    assert ": 100 results +0.099 nDCG@10 (" in words, "the depth of the headline"
    first |= {"depth": 20, "gain": gain}
    bench.document["frontiers"]["vectors > good"] |= {"chosen": 0, "falls_after": 20}
    ((_, words),) = advice(bench)
    assert words.startswith("Do not rerank")
    assert words.endswith("Reranking more than 20 is worse.")


def test_what_is_shown_to_be_better_comes_first(full: StoredBench) -> None:
    found = {"bm25": verdict("better", 0.03), "vectors > good": verdict("cannot tell", 0.3)}
    assert said(changed(full, "bm25", "vectors > good", **found)) == (
        "BM25 keyword search is better than Qdrant by 0.030 nDCG@10."
    )


def test_one_system(full: StoredBench) -> None:
    assert said(changed(full)).endswith("; nothing else was measured.")


def test_turned_twice_is_the_same(full: StoredBench) -> None:
    found = comparison_of(full.systems[1]["comparisons"][MEASURE])
    assert turned(replace(found, verdict="worse")).verdict == "better"
    other = turned(found)
    assert (other.difference, other.low, other.high) == (-found.difference, -found.high, -found.low)
    assert (other.wins, other.losses, other.verdict) == (found.losses, found.wins, found.verdict)
    assert turned(other) == found


def depth_rows(bench: StoredBench) -> Sequence[Sequence[Cell]]:
    table = next(chart.table for chart in bench_charts(bench) if chart.name == "depths")
    assert table is not None
    return table.rows


def test_depths_are_those_of_the_frontier(full: StoredBench) -> None:
    found = full.document["frontiers"]["vectors > good"]["points"]
    made = depths(full, "vectors > good")
    assert [depth.depth for depth in made] == [point["depth"] for point in found[1:]]
    for depth, point in zip(made, found[1:], strict=True):
        assert depth.gain == pytest.approx(point["quality"]["mean"] - found[0]["quality"]["mean"])
        own = full.systems[full.names.index("vectors > good")]["comparisons"][MEASURE]
        gain = own if depth is made[-1] else point["gain"]
        assert (depth.low, depth.high, depth.verdict) == (gain["low"], gain["high"], gain["verdict"])
    rows = [row for row in depth_rows(full) if row[0].text == full.labels["vectors > good"]]
    gain = found[-1]["gain"]
    assert rows[-1][5].text == interval(gain["low"], gain["high"], sign=True), "the other one, in the table"
    assert depths(full, "bm25") == []
