"""BM25, the baseline that vectors have to beat: words only, no model.

bm25s scores; around it tokens made for documentation and code, and our order of ties.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

K1: Final = 1.2
B: Final = 0.75

_WORD = re.compile(r"\w+")
_PART = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""Between ``collection`` and ``Name``, and between ``HTTP`` and ``Server``."""


class BM25:
    """BM25 with Lucene's formula (``method="lucene"`` of bm25s), k1 = 1.2, b = 0.75, scores in float64.

    Kamphuis et al., "Which BM25 Do You Mean?", ECIR 2020, tells the variants apart; Lù, "BM25S", 2024, is
    the implementation. A word that a query repeats counts each time.
    """

    name = "bm25"

    def __init__(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Index ``texts``, named by ``ids``."""
        self._ids = list(ids)
        self._vocabulary: dict[str, int] = {}
        numbers = self._vocabulary
        rows = [
            [numbers.setdefault(token, len(numbers)) for token in tokens(text)]
            for _, text in zip(self._ids, texts, strict=True)
        ]
        self._scorer = _scorer(rows, numbers) if numbers else None

    def __len__(self) -> int:
        return len(self._ids)

    def search_many(self, queries: Sequence[str], depth: int) -> list[dict[str, float]]:
        """For every query its ``depth`` best texts, best first, ties by id; none without a word of the query.

        Returns:
            One mapping a query: id -> score above 0.
        """
        return [self._search(query, depth) for query in queries]

    def _search(self, query: str, depth: int) -> dict[str, float]:
        known = [self._vocabulary[token] for token in tokens(query) if token in self._vocabulary]
        if self._scorer is None or not known:
            return {}
        scores: npt.NDArray[np.float64] = self._scorer.get_scores_from_ids(known)
        found = np.flatnonzero(scores > 0)
        if len(found) > depth:
            least = np.partition(scores[found], len(found) - depth)[len(found) - depth]
            found = found[scores[found] >= least]  # all that share the last place
        order = sorted((-float(scores[place]), self._ids[place]) for place in found.tolist())
        return {name: -score for score, name in order[:depth]}


def tokens(text: str) -> list[str]:
    """The words of a text as they are compared: lowercased, English stop words left out, stems (Snowball).

    A word is a run of Unicode letters, digits and underscores. An identifier gives its parts beside itself:
    ``HnswConfigDiff`` is also ``hnsw``, ``config`` and ``diff``; ``delete_points`` is also ``delete`` and
    ``points``.
    """
    words: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", text)):
        parts = [hump for part in _PART.findall(word) for hump in _HUMP.split(part)]
        if parts:  # underscores alone are no word
            words.append(word.lower())
        if parts != [word]:
            words += [part.lower() for part in parts]
    stop_words, stem = _english()
    return stem([word for word in words if word not in stop_words])


@cache
def _english() -> tuple[frozenset[str], Callable[[list[str]], list[str]]]:
    """Lucene's 33 English stop words, and the Snowball stemmer."""
    import Stemmer
    from bm25s.stopwords import STOPWORDS_EN

    return frozenset(STOPWORDS_EN), Stemmer.Stemmer("english").stemWords


def _scorer(rows: list[list[int]], vocabulary: dict[str, int]) -> Any:
    import bm25s

    scorer = bm25s.BM25(k1=K1, b=B, method="lucene", dtype="float64", backend="numpy")
    scorer.index((rows, vocabulary), create_empty_token=False, show_progress=False)
    return scorer
