"""Snippets: readable, near the question's words, never too long, never slow."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qembed.terminal.snippet import MOST_CHARACTERS, readable, snippet

words = st.lists(
    st.sampled_from(["filter", "payload", "a", "the", "x" * 60, "[Docs](https://e.org/)", "\n#"])
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n\n  b\tc", "a b c"),
        ("see [the docs](https://example.org/a_(b)) now", "see the docs now"),
        ("![logo](logo.png) Qdrant", "logo Qdrant"),
        ("[](https://qdrant.tech/)Home", "Home"),
        ("org/docs/) - [Blog](https://e.org/blog) and [cut off](https://e.o", "Blog and cut off"),
        ("# Title\n\n----\n\n* one\n* two", "Title one two"),
        ("see https://example.org/page for more", "see for more"),
        ("f(x) returns [y]", "f(x) returns [y]"),
        ("a [label that breaks off", "a label that breaks off"),
        ("", ""),
    ],
)
def test_readable(text: str, line: str) -> None:
    assert readable(text) == line


@given(st.text())
def test_readable_is_one_line(text: str) -> None:
    line = readable(text)
    assert line == line.strip()
    assert not set("\n\r\t") & set(line)


def test_short_texts_are_whole() -> None:
    assert snippet("A short text.", "anything") == "A short text."


def test_the_beginning_where_no_word_is_found() -> None:
    text = "word " * 100
    assert snippet(text, "nothing of it", characters=50) == "word word word word word word word word word …"


def test_the_stretch_with_most_different_words() -> None:
    text = "filter " * 3 + "lorem ipsum " * 40 + "how to filter by payload keys " + "dolor sit " * 40
    found = snippet(text, "filter by payload", characters=80)
    assert "filter by payload" in found
    assert found.startswith("… ")
    assert found.endswith(" …")


def test_words_that_lie_far_behind_do_not_count() -> None:
    far = "lorem ipsum dolor " * 20
    found = snippet(f"payload {far} filter {far} payload filter {far}", "payload filter", characters=60)
    assert "payload filter" in found


def test_the_first_of_two_equal_stretches() -> None:
    far = "lorem ipsum dolor " * 20
    assert "filter one" in snippet(f"{far} filter one {far} filter two {far}", "filter", characters=60)


def test_the_end_of_the_text() -> None:
    found = snippet("lorem ipsum " * 40 + "the payload", "payload", characters=60)
    assert found.endswith("the payload")


@given(words, st.sampled_from(["", "filter", "payload filter", "x" * 60]), st.integers(20, 200))
@example(["x" * 60] * 9, "", 20)
def test_never_longer_than_asked_and_of_the_text(parts: list[str], question: str, characters: int) -> None:
    text = " ".join(parts)
    found = snippet(text, question, characters=characters)
    assert len(found) <= characters
    assert found.removeprefix("… ").removesuffix(" …") in readable(text)
    assert bool(found) == bool(readable(text))


@pytest.mark.parametrize(
    "text",
    [
        "filter payload " * 60_000,
        "[" * 200_000,
        "[a](" * 200_000,
        "# " * 400_000,
        "](" * 400_000,
        "x" * 1_000_000,
    ],
    ids=["hits", "brackets", "links", "marks", "cut-links", "one-word"],
)
def test_time_grows_with_the_text_only(text: str) -> None:
    started = perf_counter()
    snippet(text, "filter by payload")
    assert perf_counter() - started < 5


def test_a_huge_text_is_looked_at_only_as_far_as_the_limit() -> None:
    beginning = "word " * (MOST_CHARACTERS // 5)
    assert "needle" in snippet(f"{beginning[:-100]}needle", "needle")
    assert "needle" not in snippet(f"{beginning}needle", "needle")
