"""What could be asked of a chunk: its headings, the questions in it, the first lines of docstrings. Pure."""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

SourceKind: TypeAlias = Literal["question", "heading", "docstring"]

LEAST_PROSE_WORDS = 15
"""Words outside of links that must follow a heading or question in its chunk, for it to be an answer."""

_LONGEST_LINE = 2000
_WORDS = {"question": (4, 30), "heading": (2, 15), "docstring": (4, 30)}
"""Least and most words of a query, by kind."""

_LINK = re.compile(r"!?\[([^\[\]]{0,300})\]\([^()\s]{0,500}(?: \"[^\"]{0,200}\")?\)")
_ROLE = re.compile(r":[\w:+-]{1,30}:`~?([^`<]{1,200})[^`]{0,200}`")
_MARKUP = re.compile(
    r"\*\*|__(?=\S)|(?<=\S)__|`+|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)|¶|\\(?=[^\w\s])|\{#[\w-]+\}"
)
_FENCE = re.compile(r"\s*(?:```+|~~~+)\s*(\S*)")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(.+?)\s*#*$")
_UNDERLINE = re.compile(r"(?:={3,}|-{3,}|~{3,}|\^{3,})\s*$")
_BULLET = re.compile(r"\s*(?:[-*+•>]|\d{1,3}[.)]|#{1,6})\s+")
_NUMBER = re.compile(r"(?:\d+(?:\.\d+)*[.):]?|[A-Z]\.)\s+")
_QUESTION = re.compile(
    r"(?:^|(?<=[.!?:]\s))((?:how|what|why|when|where|which|who|can|could|does|do|did|is|are|should|will|would)"
    r"\b(?:[^.?!:]|[.:](?=\S)){4,250}\?)",
    re.IGNORECASE,
)
_ABOUT_THE_PAGE = re.compile(r"\b(?:this (?:page|article|section|document|guide)|feedback)\b", re.IGNORECASE)
_DEFINITION = re.compile(
    r"^[ \t]*(?:async[ \t]+def|def|class)[ \t]+\w+[^\n]{0,300}:[ \t]*\n"
    r"[ \t]*[rR]?(?:\"\"\"|''')[ \t]*([^\n\"']{1,300})",
    re.MULTILINE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)\s")
_FIELD = re.compile(r"\w+\s?:\s")
_WORD = re.compile(r"\w+")
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_EVERYWHERE = (
    *("how it works", "key features", "key dependencies", "next steps", "on this page", "our solution"),
    *("related pages", "see also", "table of contents", "the problem", "the solution", "what is next?"),
)
"""Headings that ask for nothing, also where they stand only once."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something in a chunk that could be a query.

    Attributes:
        kind: What it was there.
        text: The query, as plain words.
        answered: Whether the chunk has enough text after it to answer it.
    """

    kind: SourceKind
    text: str
    answered: bool


def candidates(text: str, metadata: Mapping[str, Any]) -> list[Candidate]:
    """What could be asked of a chunk, in the order of its text, each text once.

    Args:
        text: Markdown, reStructuredText, plain text, or source code.
        metadata: ``qualified_name`` marks API documentation: only the first part of an entry begins with the
            docstring's first line. ``anchor`` marks a section that ``corpus from-markdown`` made: its heading
            is not in the text but at the end of ``title``.
    """
    found: dict[str, Candidate] = {}
    sources = [*_docstrings(text, metadata), *_section_heading(text, metadata), *_lines(text)]
    for candidate in sources:
        least, most = _WORDS[candidate.kind]
        words = candidate.text.split()
        if candidate.text.lower() in _EVERYWHERE:
            continue
        if least <= len(words) <= most and len(_LETTERS.findall(candidate.text)) >= least:
            found.setdefault(candidate.text.lower(), candidate)
    return list(found.values())


def plain(line: str) -> str:
    """One line without markup: links become their labels, emphasis and code marks go."""
    line = _ROLE.sub(r"\1", _LINK.sub(r"\1", html.unescape(line)))
    return " ".join(_MARKUP.sub("", line).split())


def _docstrings(text: str, metadata: Mapping[str, Any]) -> Iterator[Candidate]:
    for match in _DEFINITION.finditer(text):
        yield Candidate("docstring", _first_sentence(match[1]), answered=True)
    if metadata.get("qualified_name") is None or metadata.get("chunk_index") != 0:
        return
    _, _, docstring = text.partition("\n\n")
    paragraph = docstring.partition("\n\n")[0][:_LONGEST_LINE]
    if not _FIELD.match(paragraph):
        yield Candidate("docstring", _first_sentence(paragraph), answered=True)


def _section_heading(text: str, metadata: Mapping[str, Any]) -> Iterator[Candidate]:
    if metadata.get("anchor") is None or metadata.get("chunk_index") != 0:
        return
    title = plain(str(metadata.get("title", "")).rpartition(" > ")[2])
    _, _, body = text.partition("\n\n")
    answered = _prose_words(_outside_code(body)) >= LEAST_PROSE_WORDS
    yield Candidate("question" if _QUESTION.fullmatch(title) else "heading", title, answered)


def _first_sentence(paragraph: str) -> str:
    return _SENTENCE_END.split(plain(paragraph), maxsplit=1)[0].rstrip(".: ")


def _lines(text: str) -> Iterator[Candidate]:
    lines = list(_outside_code(text))
    titles = {at: title for at, line in enumerate(lines) if line and (title := _title(lines, at))}
    asking = [at for at, line in enumerate(lines) if "?" in line and at not in titles]
    ends = [*titles, len(lines)]
    for at in sorted([*titles, *asking]):
        section = lines[at + 1 : ends[bisect_right(ends, at)]]
        answered = _prose_words(section) >= LEAST_PROSE_WORDS
        if at in titles:
            asked = _QUESTION.fullmatch(titles[at]) is not None
            yield Candidate("question" if asked else "heading", titles[at], answered)
            continue
        sentences = plain(_BULLET.sub("", lines[at], count=1))
        for match in _QUESTION.finditer(sentences):
            if not _ABOUT_THE_PAGE.search(match[1]):
                after = answered or _prose_words([sentences[match.end() :]]) >= LEAST_PROSE_WORDS
                yield Candidate("question", match[1], after)


def _prose_words(lines: Iterable[str]) -> int:
    """Words outside of links, up to the number that is enough."""
    words = 0
    for line in lines:
        words += len(_WORD.findall(_LINK.sub(" ", line)))
        if words >= LEAST_PROSE_WORDS:
            break
    return words


def _outside_code(text: str) -> Iterator[str]:
    """Lines outside of fenced code, and blank ones for it.

    A chunk may begin within code: where its first fence names no language and one fence has no partner, what
    stands before it is taken for code.
    """
    lines = [line[:_LONGEST_LINE] for line in text.split("\n")]
    fences = [match for line in lines if (match := _FENCE.match(line))]
    inside = len(fences) % 2 == 1 and not fences[0][1]
    for line in lines:
        if _FENCE.match(line):
            inside = not inside
            yield ""
        else:
            yield "" if inside else line


def _title(lines: list[str], at: int) -> str:
    """The heading on a line, as plain words; empty where it is none."""
    marked = _HEADING.fullmatch(lines[at])
    underlined = at + 1 < len(lines) and lines[at].strip() and _UNDERLINE.fullmatch(lines[at + 1])
    if underlined and not marked:
        length = len(lines[at].strip())
        table = "|" in lines[at] or lines[at].lstrip().startswith(("-", "*", "+", ">"))
        underlined = None if table or len(lines[at + 1].strip()) < length // 2 else underlined
    if not marked and not underlined:
        return ""
    title = plain(marked[1] if marked else lines[at])
    return _NUMBER.sub("", title, count=1).strip() if _NUMBER.match(title) else title
