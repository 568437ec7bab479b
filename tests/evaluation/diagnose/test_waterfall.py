"""Every relevant unit is lost at one stage or found; the shares are recall and what is missing of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.evaluation.diagnose.waterfall import STAGES, Path, losses, shares
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.retrieve.pools import first, rerank_run

UNITS = [f"u{number:02d}" for number in range(12)]


def path(
    exact: list[str], retrieved: list[str], final: list[str], seen: list[str] | None, cut: list[str]
) -> Path:
    runs = [
        {"q": {unit: -float(place) for place, unit in enumerate(order)}}
        for order in (exact, retrieved, final)
    ]
    return Path(runs[0], runs[1], runs[2], None if seen is None else {"q": seen}, cut)


@pytest.mark.parametrize(
    ("unit", "stage", "ranks"),
    [
        ("found", "found", (4, 1)),
        ("demoted", "demoted", (1, 4)),
        ("reranked", "not lifted", (3, 3)),
        ("behind", "depth", (5, 5)),
        ("approximate", "index", (None, None)),
        ("never", "missed", (None, None)),
        ("too long", "cut", (None, None)),
    ],
)
def test_stages(unit: str, stage: str, ranks: tuple[int | None, int | None]) -> None:
    retrieved = ["demoted", "x", "reranked", "found", "behind"]
    found = path(
        exact=[*retrieved, "approximate"],
        retrieved=retrieved,
        final=["found", "x", "reranked", "demoted", "behind"],
        seen=["demoted", "x", "reranked", "found"],
        cut=["too long", "approximate"],
    )
    (loss,) = losses({"q": {unit: 2, "irrelevant": 0}}, found, k=2)
    assert (loss.unit, loss.stage, loss.relevance) == (unit, stage, 2)
    assert (loss.rank_before, loss.rank_after) == ranks


def test_the_last_rank_before_the_cutoff_counts_as_among_the_first() -> None:
    found = path(["x", "a", "b"], ["x", "a", "b"], ["x", "b", "a"], ["x", "a", "b"], [])
    assert [loss.stage for loss in losses({"q": {"a": 1, "b": 1}}, found, k=2)] == ["demoted", "found"]


def test_without_a_reranker() -> None:
    order = ["a", "b", "c"]
    found = losses({"q": {"a": 1, "c": 1}}, path(order, order, order, None, []), k=2)
    assert [loss.stage for loss in found] == ["found", "below"]


def test_a_query_without_a_relevant_unit_does_not_count() -> None:
    found = losses({"q": {"a": 1}, "none": {"a": 0}}, path(["a"], ["a"], ["a"], None, []), k=1)
    assert shares(found)["found"] == 1
    assert shares([])["found"] == 0


@st.composite
def systems(draw: st.DrawFn) -> tuple[Path, dict[str, dict[str, int]], int]:
    """Two queries through an index that loses some candidates, and a reranker."""
    scores = st.dictionaries(st.sampled_from(UNITS), st.integers(0, 4).map(float))
    exact = {query: draw(scores) for query in ("q1", "q2")}
    retrieved = {
        query: {unit: score for unit, score in found.items() if draw(st.booleans())}
        for query, found in exact.items()
    }
    depth, k = draw(st.integers(0, 6)), draw(st.integers(1, 6))
    new = {query: {unit: draw(st.floats(-2, 2)) for unit in UNITS} for query in exact}
    seen = None if depth == 0 else {query: set(found) for query, found in first(retrieved, depth).items()}
    final = retrieved if depth == 0 else rerank_run(retrieved, new, depth)
    grades = st.dictionaries(st.sampled_from(UNITS), st.integers(0, 2))
    qrels = {query: draw(grades) for query in exact}
    return Path(exact, retrieved, final, seen, draw(st.sets(st.sampled_from(UNITS)))), qrels, k


@given(case=systems(), rel=st.integers(1, 2))
def test_shares_are_recall_and_its_loss(case: tuple[Path, dict[str, dict[str, int]], int], rel: int) -> None:
    found, qrels, k = case
    fates = losses(qrels, found, k=k, rel=rel)
    recalls = []
    for query, grades in qrels.items():
        relevant = {unit for unit, grade in grades.items() if grade >= rel}
        if relevant:
            recalls.append(len(relevant & set(ranked(found.final[query])[:k])) / len(relevant))
    parts = shares(fates)
    assert set(parts) == set(STAGES)
    if not recalls:
        assert not fates
        return
    recall = sum(recalls) / len(recalls)
    assert parts["found"] == pytest.approx(recall)
    assert sum(parts[stage] for stage in STAGES if stage != "found") == pytest.approx(1 - recall)
