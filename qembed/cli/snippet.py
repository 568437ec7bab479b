"""A readable piece of a chunk: white space folded, link targets dropped, near the question's words. Pure."""

from __future__ import annotations

import re

_LINK = re.compile(r"!?\[([^\]]*)\]\((?:[^()]|\([^()]*\))*\)")
_CUT_LINK = re.compile(r"\]\([^)\s]*\)?|https?://[^\s)\]]+\)?|^\s*[^\s(]*\)|(?<!\w)\[(?=\w)")
_WORD = re.compile(r"\w{3,}")
_MARKS = re.compile(r"[#*`|>\-=_]{2,}|(?<=\s)[#*>|-](?=\s)")


def readable(text: str) -> str:
    """One line of plain words: markdown links become their labels, rules and bullets go."""
    text = _CUT_LINK.sub(" ", _LINK.sub(r"\1", text))  # a chunk may begin or end within a link
    return re.sub(r"\s+", " ", _MARKS.sub(" ", f" {text} ")).strip()


def snippet(text: str, question: str = "", *, characters: int = 200) -> str:
    """The stretch of ``text`` that holds most different words of the question; the beginning when none does.

    Args:
        text: A chunk.
        question: Its words of three letters and more count.
        characters: Length at most, ellipses included.
    """
    line = readable(text)
    if len(line) <= characters:
        return line
    width = characters - 4
    wanted = {word.lower() for word in _WORD.findall(question)}
    hits = [(match.start(), match[0].lower()) for match in _WORD.finditer(line) if match[0].lower() in wanted]
    best, most = 0, 0
    for start, _ in hits:
        begin = max(0, start - width // 4)
        count = len({word for at, word in hits if begin <= at <= begin + width})
        if count > most:
            best, most = begin, count
    best = min(best, len(line) - width)
    if best:
        best = line.find(" ", best) + 1 or best
    end = best + width
    if end < len(line):
        end = line.rfind(" ", best, end) if " " in line[best:end] else end
    return f"{'… ' if best else ''}{line[best:end]}{' …' if end < len(line) else ''}"
