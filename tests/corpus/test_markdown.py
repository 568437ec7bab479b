"""Sections of Markdown pages: names that last, code that is no heading, nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qembed.corpus.markdown import sections_of

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


LINES = st.lists(
    st.sampled_from(["# a", "## b", "### c", "text", "", "```", "- x", "more text"]), max_size=25
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
