"""Sections of Markdown pages: names that last, code that is no heading, nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.corpus.markdown import read_page, sections_of, split_front_matter

PAGE = """Before any heading.

# The `title` of it

Intro.

## One & two!

```bash
# no heading
```

## Empty

### Below

Text.

## One & two!

Again.
"""


def test_sections() -> None:
    found = [(one.anchor, one.titles, one.line) for one in sections_of(PAGE)]
    assert found == [
        ("top", (), 1),
        ("the-title-of-it", ("The title of it",), 3),
        ("one--two", ("The title of it", "One & two!"), 7),
        ("below", ("The title of it", "Empty", "Below"), 15),
        ("one--two-1", ("The title of it", "One & two!"), 19),
    ]
    assert sections_of(PAGE)[2].body == "```bash\n# no heading\n```"


def test_headings_inside_of_quotes_and_lists_are_text() -> None:
    (only,) = sections_of("# A\n\n> # quoted\n\n- # listed\n")
    assert only.body == "> # quoted\n\n- # listed"


def test_underlined_headings() -> None:
    (only,) = sections_of("Title\n=====\n\nText.\n")
    assert (only.anchor, only.body) == ("title", "Text.")


def test_nothing() -> None:
    assert sections_of("") == []
    assert sections_of("# Only a heading\n") == []


@pytest.mark.parametrize(
    ("heading", "title", "anchor"),
    [
        ("Setting up { #setup }", "Setting up", "setup"),
        ("Setting up {#setup}", "Setting up", "setup"),
        ("`qembed` {: #cli .wide data-x='a b' }", "qembed", "cli"),
        ("Wide { .wide }", "Wide", "wide"),
        ("The set {a, b}", "The set {a, b}", "the-set-a-b"),
        ("{ #only }", "", "only"),
    ],
)
def test_attributes_of_a_heading_go_into_the_anchor_only(heading: str, title: str, anchor: str) -> None:
    (only,) = sections_of(f"## {heading}\n\nText.\n")
    assert (only.titles, only.anchor) == ((title,), anchor)


@pytest.mark.parametrize(
    ("text", "said", "rest"),
    [
        ("---\na: 1\n---\nText.", {"a": 1}, "Text."),
        ("---\r\na: 2026-01-02\r\n---\r\nText.", {"a": "2026-01-02"}, "Text."),
        ("---\na: 1\n...\nText.", {"a": 1}, "Text."),
        ("+++\na = 1\n+++\nText.", {"a": 1}, "Text."),
        ("---\n---\nText.", {}, "Text."),
        ("---\nbig: 123456789012345678901234567890\n---\n", {"big": "123456789012345678901234567890"}, ""),
        ("---\n\nText between rules.\n\n---\n", {}, "---\n\nText between rules.\n\n---\n"),
        ("\n---\na: 1\n---\n", {}, "\n---\na: 1\n---\n"),
        ("---\nno end", {}, "---\nno end"),
    ],
)
def test_front_matter(text: str, said: dict[str, object], rest: str) -> None:
    assert split_front_matter(text) == (said, rest, "")


@pytest.mark.parametrize("text", ["---\na: [\n---\n", "+++\na =\n+++\n", "---\na: &x [1]\nb: *x\n---\n"])
def test_front_matter_that_cannot_be_read_stays_text_and_is_said(text: str) -> None:
    said, rest, note = split_front_matter(text)
    assert (said, rest) == ({}, text)
    assert note.startswith("the front matter cannot be read")


def test_lines_count_on_through_front_matter_and_odd_line_ends() -> None:
    page = read_page("---\ntitle: T\n---\na\x0cb\u2028c\n\n# H\n\nText.\n")
    assert [(one.line, one.body) for one in page.sections] == [(4, "a\x0cb\u2028c"), (6, "Text.")]
    assert page.sections[0].titles == ()  # the page has its own first heading


def test_an_anchor_of_its_own_never_meets_a_counted_one() -> None:
    found = sections_of("# a\n\nt\n\n# x { #a-1 }\n\nt\n\n# a\n\nt\n")
    assert [one.anchor for one in found] == ["a", "a-1", "a-2"]


LINES = st.lists(
    st.sampled_from(["# a", "# a-1", "# x { #b }", "## b", "### c", "text", "", "```", "- x", "more text"]),
    max_size=25,
)


@given(lines=LINES)
def test_no_text_is_lost_and_no_anchor_comes_twice(lines: list[str]) -> None:
    found = sections_of("\n".join(lines))
    anchors = [one.anchor for one in found]
    assert len(anchors) == len(set(anchors))
    kept = [line for one in found for line in one.body.splitlines()]
    words = [line for line in lines if line in ("text", "more text", "- x")]
    assert [line for line in kept if line in ("text", "more text", "- x")] == words
    assert all(one.body.strip() for one in found)
