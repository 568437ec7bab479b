"""Judged units: identical texts are one, a page is as good as its best text, a shared text counts once."""

from __future__ import annotations

import pytest
from eval_collections import collection_of
from hypothesis import given
from hypothesis import strategies as st

from qembed.errors import UsageError
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.retrieve.units import absent_relevant, cut_units, units_like, units_of

PAGES = [
    ("c:a:0", "menu", "s/a"),
    ("c:a:1", "about apples", "s/a"),
    ("c:b:0", "menu", "s/b"),
    ("c:b:1", "about bears", "s/b"),
    ("c:d:0", "menu", "s/d"),
]


class TestChunks:
    def test_identical_texts_are_one_unit_named_by_the_smallest_id(self) -> None:
        units = units_of(
            collection_of([("z", "same", None), ("b", "same", None), ("c", "other", None)]), "chunk"
        )
        assert units.run({"q": {"b": 0.9, "c": 0.1}}) == {"q": {"b": 0.9, "c": 0.1}}
        assert units.name_of == {"b": "b", "z": "b", "c": "c"}

    def test_a_text_is_as_relevant_as_the_best_judged_of_its_chunks(self) -> None:
        units = units_of(collection_of([("a", "same", None), ("b", "same", None)]), "chunk")
        assert units.qrels({"q": {"a": 0, "b": 2}}) == {"q": {"a": 2}}

    def test_what_the_collection_does_not_have_stays_a_loss(self) -> None:
        units = units_of(collection_of([("a", "text", None)]), "chunk")
        assert units.qrels({"q": {"gone": 2}}) == {"q": {"gone": 2}}


class TestPages:
    def test_a_page_has_the_score_of_its_best_text(self) -> None:
        units = units_of(
            collection_of([("1", "one", "s/a"), ("2", "two", "s/a"), ("3", "three", "s/b")]), "page"
        )
        assert units.scores({"1": 0.2, "2": 0.8, "3": 0.5}) == {"s/a": 0.8, "s/b": 0.5}

    def test_a_shared_text_counts_for_the_page_that_the_run_ranks_best_by_itself(self) -> None:
        units = units_of(collection_of(PAGES), "page")
        assert units.scores({"c:a:0": 0.9, "c:b:1": 0.5}) == {"s/b": 0.9}
        assert units.scores({"c:a:0": 0.9, "c:b:1": 0.5, "c:a:1": 0.4}) == {"s/b": 0.9, "s/a": 0.4}

    def test_a_shared_text_alone_is_one_result(self) -> None:
        assert units_of(collection_of(PAGES), "page").scores({"c:a:0": 0.9}) == {"s/a": 0.9}

    def test_pages_of_the_same_texts_are_one(self) -> None:
        twins = [("1", "one", "s/b"), ("2", "two", "s/b"), ("3", "one", "s/a"), ("4", "two", "s/a")]
        units = units_of(collection_of(twins), "page")
        assert units.qrels({"q": {"s/b": 2, "s/a": 0}}) == {"q": {"s/a": 2}}
        assert units.scores({"1": 0.5, "2": 0.4}) == {"s/a": 0.5}

    def test_a_chunk_without_a_page(self) -> None:
        with pytest.raises(UsageError, match="'1' has no page"):
            units_of(collection_of([("1", "one", None)]), "page")

    @given(scores=st.dictionaries(st.sampled_from(["c:a:0", "c:a:1", "c:b:1"]), st.floats(-1, 1), max_size=3))
    def test_no_more_pages_than_texts_and_the_best_score_stays_the_best(
        self, scores: dict[str, float]
    ) -> None:
        found = units_of(collection_of(PAGES), "page").scores(scores)
        assert len(found) <= len(scores)
        assert max(found.values(), default=0) == max(scores.values(), default=0)
        assert set(found.values()) <= set(scores.values())


def test_another_collection_under_the_same_names() -> None:
    first = collection_of([("a", "same", None), ("b", "other", None)])
    second = collection_of([("x", "same", None), ("y", "new", None)])
    units = units_of(first, "chunk")
    like = units_like(units, first, second)
    assert like.scores({"x": 0.5, "y": 0.4}) == {"a": 0.5, "y": 0.4}
    assert like.texts_of == {"a": (0,), "y": (1,)}


def test_ids_that_have_shifted_are_not_taken_for_the_same_text() -> None:
    first = collection_of([("0", "one", None), ("1", "two", None), ("2", "three", None)])
    second = collection_of([("0", "preface", None), ("1", "one", None), ("2", "two", None), ("3", "3", None)])
    like = units_like(units_of(first, "chunk"), first, second)
    assert like.units_of_text == {"0": ("0 (another text)",), "1": ("0",), "2": ("1",), "3": ("3",)}
    assert absent_relevant(like, {"q": {"0": 1, "2": 1, "1": 0, "gone": 2, "irrelevant": 0}}) == {"2", "gone"}


def test_a_text_of_a_known_id_stands_for_it_where_no_other_does() -> None:
    """As where another tool strips white space."""
    first = collection_of([("0", "one ", None), ("1", "two", None)])
    second = collection_of([("0", "one", None), ("1", "two", None)])
    like = units_like(units_of(first, "chunk"), first, second)
    assert like.units_of_text == {"0": ("0",), "1": ("1",)}
    assert absent_relevant(like, {"q": {"0": 1, "1": 1}}) == frozenset()


def test_two_texts_of_another_collection_may_be_one_unit() -> None:
    first = collection_of([("a", "same", None), ("b", "same", None)])
    second = collection_of([("a", "same, longer", None), ("b", "same, otherwise", None)], tokens={})
    like = units_like(units_of(first, "chunk"), first, second)
    assert like.texts_of == {"a": (0, 1)}
    assert like.scores({"a": 0.4, "b": 0.5}) == {"a": 0.5}


def test_pages_of_another_collection_keep_their_merged_name() -> None:
    twins = collection_of([("1", "one", "s/b"), ("2", "one", "s/a")])
    other = collection_of([("9", "cut otherwise", "s/b")])
    like = units_like(units_of(twins, "page"), twins, other)
    assert like.scores({"9": 0.5}) == {"s/a": 0.5}


def test_cut_units() -> None:
    collection = collection_of(PAGES, tokens={"menu": 5, "about apples": 300, "about bears": 10})
    units = units_of(collection, "page")
    assert cut_units(units, collection, 256) == {"s/a"}  # one of its two texts
    assert cut_units(units, collection, None) == frozenset()
    assert cut_units(units, collection, 300) == frozenset()


def test_order_is_kept_when_texts_become_units() -> None:
    collection = collection_of([(f"{n:02d}", f"text {n}", f"s/{n % 4}") for n in range(12)])
    units = units_of(collection, "page")
    scores = {f"{n:02d}": float(n % 5) for n in range(12)}
    best: dict[str, int] = {}
    for place, text in enumerate(ranked(scores)):
        best.setdefault(f"s/{int(text) % 4}", place)
    assert list(units.scores(scores)) == sorted(best, key=best.__getitem__)
