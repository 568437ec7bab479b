"""How deep to search: enough units, and never another result because more were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eval_collections import collection_of
from hypothesis import given, settings
from hypothesis import strategies as st

from qembed.evaluation.measures import parse_measure
from qembed.evaluation.retrieve.depth import RESULTS, results_for, retrieve
from qembed.evaluation.retrieve.fusion import FUSED, fuse_heads
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.retrieve.pools import first, rerank_run
from qembed.evaluation.retrieve.units import Units, units_of
from qembed.records import Run


def test_as_many_results_as_the_largest_cutoff_and_never_fewer_than_usual() -> None:
    assert results_for([parse_measure("nDCG@10"), parse_measure("MAP")]) == RESULTS == 100
    assert results_for([parse_measure("recall@300"), parse_measure("nDCG@10")]) == 300


class Searched:
    """An exact search of fixed scores, which remembers how deep it was asked."""

    def __init__(self, scores: Run) -> None:
        self.scores = scores
        self.asked: list[tuple[tuple[str, ...], int]] = []

    def __call__(self, queries: Sequence[str], depth: int) -> Run:
        self.asked.append((tuple(queries), depth))
        return first({query: self.scores[query] for query in queries}, depth)


def test_texts_are_units_where_chunks_are_judged() -> None:
    units = units_of(collection_of([(f"c{at}", f"text {at}", None) for at in range(9)]), "chunk")
    search = Searched({"q": {f"c{at}": -at for at in range(9)}})
    assert list(retrieve(search, ["q"], units, results=4)["q"]) == ["c0", "c1", "c2", "c3", "c4"]
    assert search.asked == [(("q",), 5)]
    assert len(retrieve(search, ["q"], units, results=2, texts=6)["q"]) == 6


def test_deeper_only_for_the_queries_that_need_it() -> None:
    chunks = [(f"a{at}", f"a {at}", "s/a") for at in range(5)] + [
        (f"b{at}", f"b {at}", f"s/b{at}") for at in range(5)
    ]
    units = units_of(collection_of(chunks), "page")
    one_page_first = {f"a{at}": 9.0 - at for at in range(5)} | {f"b{at}": -float(at) for at in range(5)}
    many_pages = {name: -score for name, score in one_page_first.items()}
    search = Searched({"deep": one_page_first, "shallow": many_pages})
    run = retrieve(search, ["deep", "shallow"], units, results=3)
    assert search.asked == [(("deep", "shallow"), 4), (("deep",), 8)]
    assert list(units.run(run)["deep"])[:3] == ["s/a", "s/b0", "s/b1"]
    assert list(run) == ["deep", "shallow"]


def test_a_tie_is_not_cut_in_two() -> None:
    units = units_of(collection_of([("a", "a", "s/z"), ("b", "b", "s/y"), ("c", "c", "s/x")]), "page")
    run = retrieve(Searched({"q": {"a": 1.0, "b": 1.0, "c": 1.0}}), ["q"], units, results=1)
    assert ranked(units.run(run)["q"]) == ["s/x", "s/y", "s/z"]


def test_a_shared_text_waits_for_a_page_that_is_found_by_a_text_of_its_own() -> None:
    chunks = [("m1", "menu", "s/a"), ("m2", "menu", "s/z"), ("z", "about z", "s/z"), ("o", "other", "s/o")]
    units = units_of(collection_of(chunks), "page")
    search = Searched({"q": {"m1": 3.0, "o": 2.0, "z": 1.0}})
    assert next(iter(units.run(retrieve(search, ["q"], units, results=1))["q"])) == "s/z"
    assert [depth for _, depth in search.asked] == [2, 4]


@st.composite
def searches(draw: st.DrawFn) -> tuple[Units, Run, Run]:
    """A collection of pages that share texts, and two rankings of its texts."""
    own = st.integers(0, 4).map(lambda page: [page])
    shared = st.lists(st.integers(0, 4), min_size=2, max_size=3, unique=True)
    places: list[list[int]] = draw(st.lists(own | shared, min_size=2, max_size=10))
    chunks: list[Any] = [
        (f"c{text:02d}{page}", f"text {text}", f"s/{page}")
        for text, found in enumerate(places)
        for page in found
    ]
    collection = collection_of(chunks)
    level: Any = draw(st.sampled_from(["page", "chunk"]))
    orders = [draw(st.permutations(collection.ids)) for _ in range(2)]
    runs = [{"q": {name: -float(at // 2) for at, name in enumerate(order)}} for order in orders]
    return units_of(collection, level), runs[0], runs[1]


@settings(deadline=None)
@given(searches(), st.integers(1, 8), st.integers(0, 8), st.integers(1, 5))
def test_the_first_results_do_not_depend_on_how_many_are_asked_for(
    made: tuple[Units, Run, Run], results: int, more: int, texts: int
) -> None:
    units, scores, other = made

    def seen(asked_for: int) -> dict[str, list[tuple[str, float]]]:
        run = retrieve(Searched(scores), ["q"], units, results=asked_for, texts=texts)
        again = rerank_run(run, {"q": other["q"]}, texts)
        return {
            name: list(first(units.run(found), results)["q"].items())
            for name, found in {"retrieved": run, "reranked": again}.items()
        }

    few, many = seen(results), seen(results + more)
    assert [unit for unit, _ in few["retrieved"]] == [unit for unit, _ in many["retrieved"]]
    assert few == many
    assert len(few["retrieved"]) == min(results, len(units.scores(scores["q"])))


@settings(deadline=None)
@given(searches(), st.integers(1, 6), st.integers(0, 6))
def test_neither_does_fusion(made: tuple[Units, Run, Run], results: int, more: int) -> None:
    units, vectors, words = made
    head = dict(list(words["q"].items())[:5])  # what BM25 found; the rest has no word of the query

    def fused(asked_for: int) -> list[tuple[str, float]]:
        search = Searched(vectors)

        def both(queries: Sequence[str], depth: int) -> Run:
            return {query: fuse_heads(search([query], depth)[query], head) for query in queries}

        run = retrieve(both, ["q"], units, results=asked_for, texts=FUSED)
        return list(first(units.run(run), results)["q"].items())

    assert fused(results) == fused(results + more)


@given(st.integers(1, 40), st.integers(0, 60), st.integers(0, 60), st.randoms())
def test_fused_heads_stand_whatever_is_found_behind_them(
    shared: int, more: int, others: int, random: Any
) -> None:
    names = [f"n{at:03d}" for at in range(FUSED + more)]
    leading = {name: -float(at) for at, name in enumerate(names)}
    second = {name: random.random() for name in [*names[:shared], *(f"o{at}" for at in range(others))]}
    short = fuse_heads(first({"q": leading}, FUSED)["q"], second)
    long = fuse_heads(leading, second)
    assert ranked(long)[: len(short)] == ranked(short)
    assert ranked(long)[len(short) :] == [name for name in names[FUSED:] if name not in short]
