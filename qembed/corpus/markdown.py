"""Markdown pages: front matter and sections, one per heading. Pure.

A section is what stands between a heading and the next one. Its name is the anchor that GitHub gives it, or
the heading's own ``{ #anchor }``, so ids last as long as headings do, however many sections are added.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from qembed.corpus.normal import normal_form

SUFFIXES = (".md", ".markdown", ".mdx")
"""Ends of the names of Markdown files, in lower case."""

_FRONT_MATTER = re.compile(
    r"\A(?P<fence>---|\+\+\+)[ \t]*\r?\n(?P<text>.*?)^(?:(?P=fence)|\.\.\.)[ \t]*(?:\r?\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
_ATTRIBUTES = re.compile(
    r"\s*\{:?(?P<list>(?:\s*(?:[#.][\w.:-]+|[\w-]+=(?:\"[^\"]*\"|'[^']*'|[^\s}]+)))+)\s*\}\s*$"
)
_OWN_ANCHOR = re.compile(r"(?:^|\s)#([\w.:-]+)")
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")
_LINE_END = re.compile(r"\r\n?|\n")
"""Where CommonMark ends lines; ``str.splitlines`` knows more ends, and would count otherwise."""
_TOP = "top"


@dataclass(frozen=True, slots=True)
class Section:
    """Text below one heading.

    Attributes:
        anchor: Its name within the page, unique there; ``top`` for text before the first heading.
        titles: The headings that it stands below, outermost first, its own last.
        body: Markdown without the heading, not blank.
        line: Line of the heading in the file, from 1.
    """

    anchor: str
    titles: tuple[str, ...]
    body: str
    line: int


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file.

    Attributes:
        front_matter: What YAML or TOML between the first lines says, as JSON values; empty without.
        sections: Those that have text of their own, in order.
        note: Why a block that looks like front matter was read as text; empty where none was.
    """

    front_matter: dict[str, Any]
    sections: tuple[Section, ...]
    note: str = ""


def read_page(text: str) -> Page:
    """A page's front matter and sections.

    Where no heading of level 1 begins the page, a ``title`` in the front matter stands above all sections.
    """
    front_matter, body, note = split_front_matter(text)
    title = front_matter.get("title")
    first_line = text[: len(text) - len(body)].count("\n")
    return Page(
        front_matter, tuple(sections_of(body, title if isinstance(title, str) else "", first_line)), note
    )


def split_front_matter(text: str) -> tuple[dict[str, Any], str, str]:
    """What a page's front matter says, the text after it, and why it is none where it only looks like one.

    YAML stands between two lines ``---`` at the very top, TOML between two lines ``+++``. Dates become
    strings (ISO 8601).
    """
    found = _FRONT_MATTER.match(text)
    if found is None:
        return {}, text, ""
    try:
        said = tomllib.loads(found["text"]) if found["fence"] == "+++" else _yaml(found["text"])
    except ValueError as error:
        return {}, text, f"the front matter cannot be read and is kept as text: {error}"
    if said is None:
        return {}, text[found.end() :], ""
    if not isinstance(said, dict):
        return {}, text, ""  # two rules with text between them
    return normal_form(said), text[found.end() :], ""


def _yaml(text: str) -> Any:
    """A YAML document.

    Raises:
        ValueError: It is none, or has aliases, with which a few lines can stand for gigabytes.
    """
    import yaml

    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise ValueError("it has aliases (*name)")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def sections_of(text: str, title: str = "", lines_before: int = 0) -> list[Section]:
    """The sections of a page that have text of their own, in order.

    Headings are those of CommonMark (``#`` in a code block is none).

    Args:
        text: Markdown, without front matter.
        title: Stands above all sections where the first heading is not of level 1.
        lines_before: Lines of the file before ``text``.
    """
    lines = _LINE_END.split(text)
    headings = _headings(text)
    above: list[tuple[int, str]] = []
    if title and not (headings and headings[0][2] == 1):
        above = [(0, title)]
    used: Counter[str] = Counter()
    found = []
    ends = [start for start, _, _, _ in headings[1:]] + [len(lines)]
    if not headings or headings[0][0] > 0:
        first = headings[0][0] if headings else len(lines)
        body = "\n".join(lines[:first]).strip()
        if body:
            found.append(Section(_TOP, tuple(name for _, name in above), body, lines_before + 1))
            used[_TOP] += 1
    for (start, after, level, heading), end in zip(headings, ends, strict=False):
        heading, own = _without_attributes(heading)
        above = [*(one for one in above if one[0] < level), (level, heading)]
        anchor = _anchor(own or _slug(heading), used)
        body = "\n".join(lines[after:end]).strip()
        if body:
            titles = tuple(name for _, name in above)
            found.append(Section(anchor, titles, body, lines_before + start + 1))
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


def _without_attributes(heading: str) -> tuple[str, str]:
    """``Title { #anchor .class }`` as ``Title`` and ``anchor``; what is no list of attributes stays."""
    found = _ATTRIBUTES.search(heading)
    if found is None:
        return heading, ""
    own = _OWN_ANCHOR.search(found["list"])
    return heading[: found.start()].strip(), own[1] if own else ""


def _slug(title: str) -> str:
    """GitHub's rule: lower case, punctuation away, blanks to hyphens."""
    return _NOT_IN_ANCHORS.sub("", title.strip().lower()).replace(" ", "-") or "section"


def _anchor(name: str, used: Counter[str]) -> str:
    """``name``, with the next free number behind where the page has it already."""
    anchor, number = name, used[name]
    while used.get(anchor):
        anchor, number = f"{name}-{number}", number + 1
    used[name] += 1
    if anchor != name:
        used[anchor] += 1
    return anchor
