"""Markdown into sections, one a heading: what stands below a heading and above the next. Pure.

A section is named as GitHub names its anchor, so ids last as long as headings do, however many sections are
added before them.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")
_TOP = "top"


@dataclass(frozen=True, slots=True)
class Section:
    """Text below one heading.

    Attributes:
        anchor: Its name within the page, unique there; ``top`` for text before the first heading.
        titles: The headings that it stands below, outermost first, its own last.
        body: Markdown without the heading, not blank.
        line: Of the heading, from 1.
    """

    anchor: str
    titles: tuple[str, ...]
    body: str
    line: int


def sections_of(text: str) -> list[Section]:
    """The sections of a page that have text of their own, in order.

    Headings are those of CommonMark (``#`` in a code block is none).
    """
    lines = text.splitlines()
    headings = _headings(text)
    above: list[tuple[int, str]] = []
    used: Counter[str] = Counter()
    found = []
    ends = [start for start, _, _, _ in headings[1:]] + [len(lines)]
    if not headings or headings[0][0] > 0:
        first = headings[0][0] if headings else len(lines)
        body = "\n".join(lines[:first]).strip()
        if body:
            found.append(Section(_TOP, (), body, 1))
            used[_TOP] += 1
    for (start, after, level, title), end in zip(headings, ends, strict=False):
        above = [*(one for one in above if one[0] < level), (level, title)]
        anchor = _anchor(title, used)
        body = "\n".join(lines[after:end]).strip()
        if body:
            found.append(Section(anchor, tuple(name for _, name in above), body, start + 1))
    return found


def _headings(text: str) -> list[tuple[int, int, int, str]]:
    """First line, line behind, level and plain title of every heading at the top level of the page."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").parse(text)
    found = []
    for opened, inline in pairwise(tokens):
        if opened.type == "heading_open" and opened.level == 0 and opened.map is not None:
            title = "".join(
                child.content for child in inline.children or () if child.type in ("text", "code_inline")
            )
            found.append((opened.map[0], opened.map[1], int(opened.tag[1:]), title.strip()))
    return found


def _anchor(title: str, used: Counter[str]) -> str:
    """GitHub's rule: lower case, punctuation away, blanks to hyphens, a number behind repeats."""
    slug = _NOT_IN_ANCHORS.sub("", title.strip().lower()).replace(" ", "-") or "section"
    number = used[slug]
    used[slug] += 1
    return f"{slug}-{number}" if number else slug
