"""A readable piece of a chunk: folded white space, no link targets, close to the question's words. Pure."""

from __future__ import annotations

import re
from collections import Counter

MOST_CHARACTERS = 200_000
"""How much of a text is looked at: a snippet must not take longer than the search."""

_LINK = re.compile(r"!?\[([^\]]{0,500})\]\((?:[^()]|\([^()]*\))*\)")
_CUT_LINK = re.compile(
    r"\]\([^)\s]*\)?|https?://[^\s)\]]+\)?|^\s*[^\s(]*\)|(?<!\w)\[(?=\w)(?![^\[\]]*\](?!\())"
)
_WORD = re.compile(r"\w{3,}")
_MARKS = re.compile(r"[#*`|>\-=_]{2,}|(?<=\s)[#*>|-](?=\s)")


def readable(text: str) -> str:
    """One line of plain words: markdown links become their labels, rules and bullets go."""
    text = _CUT_LINK.sub(" ", _LINK.sub(r"\1", text))  # a chunk may begin or end within a link
    return re.sub(r"\s+", " ", _MARKS.sub(" ", f" {text} ")).strip()


def snippet(text: str, question: str = "", *, characters: int = 200) -> str:
    """The stretch of ``text`` with most different words of the question; its beginning if it has none.

    Args:
        text: A chunk; what is beyond ``MOST_CHARACTERS`` is not looked at.
        question: Words of three letters and more count.
        characters: Most characters, ellipses included.
    """
    line = readable(text[:MOST_CHARACTERS])
    if len(line) <= characters:
        return line
    width = characters - 4
    wanted = {word.lower() for word in _WORD.findall(question)}
    hits = [(match.start(), match[0].lower()) for match in _WORD.finditer(line) if match[0].lower() in wanted]
    best = _fullest_window(hits, width)
    best = min(best, len(line) - width)
    if best:
        best = line.find(" ", best) + 1 or best
    end = best + width
    if end < len(line):
        end = line.rfind(" ", best, end) if " " in line[best:end] else end
    return f"{'… ' if best else ''}{line[best:end]}{' …' if end < len(line) else ''}"


def _fullest_window(hits: list[tuple[int, str]], width: int) -> int:
    """Where the first window with most different words begins; a quarter of it lies before a hit."""
    best = most = first = behind = 0
    inside: Counter[str] = Counter()
    for start, _ in hits:
        begin = max(0, start - width // 4)
        while behind < len(hits) and hits[behind][0] <= begin + width:
            inside[hits[behind][1]] += 1
            behind += 1
        while hits[first][0] < begin:
            inside[hits[first][1]] -= 1
            first += 1
        count = sum(map(bool, inside.values()))
        if count > most:
            best, most = begin, count
    return best
