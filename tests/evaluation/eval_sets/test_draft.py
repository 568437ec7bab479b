"""Which queries are chosen: spread, no navigation, no near-duplicates, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.evaluation.eval_sets.draft import (
    MOST_COPIES,
    MOST_TEXTS,
    NEAR_DUPLICATE,
    Draft,
    draft,
    jaccard,
    words_of,
)
from qembed.records import Chunk, Place

PROSE = "Some words of plain prose that stand below and tell the reader enough to know what is meant here."
NAMES = ("amber", "birch", "copper", "daisy", "ember", "fjord", "gravel", "hazel", "indigo", "juniper")


def chunk(page: str, text: str, index: int = 0, **metadata: Any) -> Chunk:
    subdirectory, _, filename = page.partition("/")
    place = {"subdirectory": subdirectory, "filename": filename, "chunk_index": index}
    return Chunk(f"c:{page}:chunk:{index}", text, {**place, **metadata}, Place("x.json", item=index))


def drafted(chunks: Sequence[Chunk], **options: Any) -> Draft:
    return draft(lambda: chunks, **options)


def section(title: str, extra: str = "") -> str:
    return f"## {title}\n{PROSE} {extra}"


def corpus(pages: int, sections: int = 3) -> list[Chunk]:
    """Two subdirectories, the second with a third of the pages."""
    return [
        chunk(
            f"{'few' if page % 4 == 3 else 'many'}/p{page}.md",
            section(f"{NAMES[page % 10]} {NAMES[number]} topic{page}x{number}", f"{page} {number}"),
            number,
        )
        for page in range(pages)
        for number in range(sections)
    ]


def test_each_query_is_linked_to_its_chunk() -> None:
    found = drafted([chunk("docs/a.md", section("Deleting points by filter"), 4)])
    (query,) = found.queries
    assert (query.text, query.kind, query.subdirectory) == ("Deleting points by filter", "heading", "docs")
    assert query.page == "docs/a.md"
    assert found.texts == {"d001": "Deleting points by filter"}
    assert found.qrels == {"d001": {"c:docs/a.md:chunk:4": 1}}
    assert (found.chunks, found.pages, found.candidates) == (1, 1, 1)


def test_nothing_to_ask() -> None:
    found = drafted([chunk("docs/a.md", PROSE)])
    assert (found.queries, found.qrels, found.pages) == ((), {}, 1)


class TestSpread:
    def test_over_subdirectories_and_pages(self) -> None:
        found = drafted(corpus(16), queries=8)
        assert Counter(query.subdirectory for query in found.queries) == {"many": 4, "few": 4}
        assert len({query.page for query in found.queries}) == 8

    def test_a_small_subdirectory_ends_and_the_rest_goes_on(self) -> None:
        found = drafted(corpus(16), queries=40)
        assert Counter(query.subdirectory for query in found.queries) == {"many": 28, "few": 12}
        most = Counter(query.page for query in found.queries).values()
        assert max(most) - min(most) <= 1

    def test_questions_first(self) -> None:
        chunks = [*corpus(8), chunk("many/faq.md", section("How do I delete points?", "x"))]
        assert any(query.kind == "question" for query in drafted(chunks, queries=2).queries)

    def test_a_corpus_that_is_one_page(self) -> None:
        sections = [section(f"{one} and {other}", f"{one} {other}") for one, other in combinations(NAMES, 2)]
        found = drafted([chunk("root/corpus", text, at) for at, text in enumerate(sections)], queries=20)
        assert len(found.queries) == 20

    def test_no_more_than_there_are(self) -> None:
        assert len(drafted(corpus(4), queries=1000).queries) == 12


class TestSeed:
    @given(st.randoms(use_true_random=False), st.integers(0, 5))
    def test_the_order_of_the_pages_does_not_matter(self, random: Any, seed: int) -> None:
        chunks = corpus(12)
        pages = sorted({each.id.rsplit(":", 2)[0] for each in chunks})
        random.shuffle(pages)
        shuffled = [each for page in pages for each in chunks if each.id.startswith(f"{page}:")]
        one, other = drafted(chunks, queries=9, seed=seed), drafted(shuffled, queries=9, seed=seed)
        assert one.queries == other.queries

    def test_another_seed_chooses_others(self) -> None:
        one, other = drafted(corpus(40), queries=5), drafted(corpus(40), queries=5, seed=1)
        assert one.texts != other.texts

    def test_within_a_page_too(self) -> None:
        page = [chunk("d/a.md", section(f"{name} title", name), at) for at, name in enumerate(NAMES)]
        first = {drafted(page, queries=1, seed=seed).texts["d001"] for seed in range(8)}
        assert len(first) > 2


class TestNavigation:
    def test_a_line_that_many_texts_repeat_is_no_source(self) -> None:
        pages = [chunk(f"docs/{name}.md", section("Getting started today", name)) for name in NAMES]
        assert drafted(pages[: MOST_TEXTS + 1]).queries == ()
        (query,) = drafted(pages[:MOST_TEXTS]).queries
        assert len(query.chunk_ids) == MOST_TEXTS, "it is linked to all the texts in which it stands"

    def test_it_counts_where_nothing_follows_it_too(self) -> None:
        menus = [chunk(f"docs/{name}.md", f"{name}\n## Getting started today") for name in NAMES]
        assert drafted([*menus, chunk("docs/z.md", section("Getting started today"))]).queries == ()

    def test_a_text_that_many_chunks_repeat_is_no_source(self) -> None:
        copies = [chunk(f"docs/{name}.md", section("Getting started today")) for name in NAMES]
        assert drafted(copies[: MOST_COPIES + 1]).queries == ()
        (query,) = drafted(copies[:MOST_COPIES]).queries
        assert query.chunk_ids == ("c:docs/amber.md:chunk:0",), "copies are one judged unit"
        more = [*copies[:MOST_COPIES], chunk("docs/z.md", section("Getting started today", "z"))]
        (query,) = drafted(more).queries
        assert len(query.chunk_ids) == 2, "copies count as one text"

    def test_a_menu_of_links_is_no_source(self) -> None:
        links = "\n".join(f"- [A page about topic {name}](https://example.org/{name}/)" for name in NAMES)
        assert drafted([chunk("docs/a.md", f"## Pages of interest\n{links}")]).queries == ()


class TestNearDuplicates:
    def test_are_left_out(self) -> None:
        titles = ["Deleting points by filter", "Deleting the points with filter", "Collection aliases"]
        chunks = [chunk(f"docs/{name}.md", section(title)) for name, title in zip("abc", titles, strict=True)]
        found = drafted(chunks)
        assert len(found.queries) == 2
        assert "Collection aliases" in found.texts.values()
        assert found.candidates == 3

    @given(st.lists(st.lists(st.sampled_from(NAMES), min_size=2, max_size=4), max_size=12))
    def test_no_two_queries_are(self, titles: list[list[str]]) -> None:
        chunks = [chunk(f"d/{at}.md", section(" ".join(words), str(at))) for at, words in enumerate(titles)]
        chosen = [words_of(query.text) for query in drafted(chunks).queries]
        assert all(jaccard(one, other) < NEAR_DUPLICATE for one, other in combinations(chosen, 2))

    def test_words(self) -> None:
        assert words_of("How do I use the HNSW index?") == {"hnsw", "index"}
        assert words_of("What is it?") == {"what", "is", "it"}

    @pytest.mark.parametrize(
        ("one", "other", "value"), [("ab", "ab", 1.0), ("ab", "bc", 1 / 3), ("a", "", 0.0), ("", "", 1.0)]
    )
    def test_jaccard_by_hand(self, one: str, other: str, value: float) -> None:
        assert jaccard(frozenset(one), frozenset(other)) == value

    def test_a_query_without_words_of_its_own_is_left_out(self) -> None:
        assert drafted([chunk("docs/a.md", section("How does it work?"))]).queries == ()
