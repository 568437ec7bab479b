"""BM25, the baseline that vectors have to beat: words only, no model.

bm25s scores; around it words made for documentation and code (``words``), and our order of ties.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qembed.evaluation.retrieve.words import code_words, plain_words

B: Final = 0.75


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which BM25: two of them can differ by as much as BM25 and a small model.

    Attributes:
        name: As a system is called.
        k1: Saturation of a word's frequency.
        words: Text -> words that are compared.
        description: What it is, for people.
    """

    name: str
    k1: float
    words: Callable[[str], list[str]]
    description: str


CODE: Final = Recipe("bm25", 1.2, code_words, "k1 1.2, b 0.75, English stems, identifiers also in parts")
PLAIN: Final = Recipe("bm25:plain", 1.5, plain_words, "k1 1.5, b 0.75, English stems, identifiers whole")


class BM25:
    """BM25 with Lucene's formula (``method="lucene"`` of bm25s), b = 0.75, scores in float64.

    Kamphuis et al., "Which BM25 Do You Mean?", ECIR 2020, tells the variants apart; Lù, "BM25S", 2024, is
    the implementation. A word that a query repeats counts each time.
    """

    def __init__(self, ids: Sequence[str], texts: Sequence[str], recipe: Recipe = CODE) -> None:
        """Index ``texts``, named by ``ids``."""
        self._ids = list(ids)
        self._words = recipe.words
        self._vocabulary: dict[str, int] = {}
        numbers = self._vocabulary
        rows = [
            [numbers.setdefault(word, len(numbers)) for word in recipe.words(text)]
            for _, text in zip(self._ids, texts, strict=True)
        ]
        self._scorer = _scorer(rows, numbers, recipe.k1) if numbers else None

    def __len__(self) -> int:
        return len(self._ids)

    def search_many(self, queries: Sequence[str], depth: int) -> list[dict[str, float]]:
        """For every query its ``depth`` best texts, best first, ties by id; none without a word of the query.

        Returns:
            One mapping per query: id -> score above 0.
        """
        return [self._search(query, depth) for query in queries]

    def _search(self, query: str, depth: int) -> dict[str, float]:
        known = [self._vocabulary[word] for word in self._words(query) if word in self._vocabulary]
        if self._scorer is None or not known:
            return {}
        scores: npt.NDArray[np.float64] = self._scorer.get_scores_from_ids(known)
        found = np.flatnonzero(scores > 0)
        if len(found) > depth:
            least = np.partition(scores[found], len(found) - depth)[len(found) - depth]
            found = found[scores[found] >= least]  # all that share the last place
        order = sorted((-float(scores[place]), self._ids[place]) for place in found.tolist())
        return {name: -score for score, name in order[:depth]}


def _scorer(rows: list[list[int]], vocabulary: dict[str, int], k1: float) -> Any:
    import bm25s

    scorer = bm25s.BM25(k1=k1, b=B, method="lucene", dtype="float64", backend="numpy")
    scorer.index((rows, vocabulary), create_empty_token=False, show_progress=False)
    return scorer
