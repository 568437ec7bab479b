"""Words of a text, as BM25 compares them: by script, lowercased, without English stop words, stemmed.

A word is a run of Unicode letters, marks, digits and underscores, after NFKC. Scripts without spaces between
words (Han, kana, Thai, Lao, Khmer, Myanmar), and Hangul, whose words take endings, give every pair of
neighbouring characters instead, as Lucene's CJKAnalyzer does. That needs no dictionary, and a phrase of a
query is found wherever it stands.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Final

import regex

_PAIRED: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\u30FC\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_RUN: Final = regex.compile(
    rf"(?V1)(?P<paired>[{_PAIRED}]+)|[[\p{{L}}\p{{N}}_]--[{_PAIRED}]][[\p{{L}}\p{{M}}\p{{N}}_]--[{_PAIRED}]]*"
)
_HUMP: Final = regex.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""Between ``collection`` and ``Name``, and between ``HTTP`` and ``Server``."""
_JOINERS: Final = str.maketrans("", "", "\u200c\u200d")
"""Invisible, within words of Persian and of Indic scripts; often left out."""


def code_words(text: str) -> list[str]:
    """Words of documentation and code: an identifier gives its parts beside itself.

    ``HnswConfigDiff`` is also ``hnsw``, ``config`` and ``diff``; ``delete_points`` is also ``delete`` and
    ``points``.
    """
    return _words(text, _with_parts)


def plain_words(text: str) -> list[str]:
    """Words as most BM25 libraries have them: an identifier is one word."""
    return _words(text, lambda word: [word])


def _words(text: str, forms: Callable[[str], list[str]]) -> list[str]:
    words: list[str] = []
    for found in _RUN.finditer(unicodedata.normalize("NFKC", text).translate(_JOINERS)):
        run = found[0]
        if found["paired"]:
            words += [run[at : at + 2] for at in range(max(1, len(run) - 1))]
        elif run.strip("_"):  # underscores alone are no word
            words += [form.lower() for form in forms(run)]
    stop_words, stem = _english()
    return stem([word for word in words if word not in stop_words])


def _with_parts(word: str) -> list[str]:
    parts = [hump for part in word.split("_") if part for hump in _HUMP.split(part)]
    return [word] if parts == [word] else [word, *parts]


@cache
def _english() -> tuple[frozenset[str], Callable[[list[str]], list[str]]]:
    """Lucene's 33 English stop words, and the Snowball stemmer."""
    import Stemmer
    from bm25s.stopwords import STOPWORDS_EN

    return frozenset(STOPWORDS_EN), Stemmer.Stemmer("english").stemWords
