"""What is judged: texts or pages. Runs over texts and qrels over chunks or pages are mapped onto it.

**Level chunk.** The unit is the distinct text, named by the smallest chunk id that has it. A text's relevance
is the highest that any of its chunks got: else a copy of a relevant chunk would be punished as irrelevant.

**Level page.** The unit is the page, and its score is that of its best text. A text that stands on several
pages (navigation above all) is still one result to a reader, so it counts for one page: that of its pages
which the run ranks best by a text of its own, or the first by id where it ranks none. Pages of exactly the
same texts are one unit, named by the smallest id, with the highest relevance that any of them got.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qembed.errors import UsageError
from qembed.evaluation.eval_sets.card import Level
from qembed.evaluation.retrieve.collection import Collection
from qembed.evaluation.retrieve.ordering import ranked
from qembed.records import Qrels, Run


@dataclass(frozen=True, slots=True)
class Units:
    """How the texts of one collection become judged units.

    Attributes:
        level: What is judged.
        name_of: Chunk id or page id -> unit.
        units_of_text: Text id -> the units that it may count for; one at level chunk.
        texts_of: Unit -> positions of its texts in the collection.
    """

    level: Level
    name_of: Mapping[str, str]
    units_of_text: Mapping[str, tuple[str, ...]]
    texts_of: Mapping[str, tuple[int, ...]]

    def qrels(self, qrels: Qrels) -> Qrels:
        """Relevance of units: the highest that any of its chunks or pages got; unknown ids keep their name.

        An id that the collection does not have stays in the qrels: what cannot be found is a loss of recall.
        """
        mapped: Qrels = {}
        for query, grades in qrels.items():
            units = mapped[query] = {}
            for item, grade in grades.items():
                unit = self.name_of.get(item, item)
                units[unit] = max(grade, units.get(unit, grade))
        return mapped

    def run(self, run: Run) -> Run:
        """Scores of units from scores of texts (by text id)."""
        return {query: self.scores(scores) for query, scores in run.items()}

    def scores(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Scores of units for one query: each text counts for one unit, each unit by its best text."""
        return {unit: scores[text] for unit, text in self.best_texts(scores).items()}

    def best_texts(self, scores: Mapping[str, float]) -> dict[str, str]:
        """Unit -> the text that gives it its score, best first, for one query."""
        found: dict[str, str] = {}
        for text, unit in self.assigned(scores).items():
            found.setdefault(unit, text)
        return found

    def assigned(self, scores: Mapping[str, float]) -> dict[str, str]:
        """Text -> the unit that it counts for, best text first, for one query."""
        order = ranked(scores)
        own = self._ranks_of_own_texts(order)
        return {
            text: min(self.units_of_text[text], key=lambda unit: (own.get(unit, len(order)), unit))
            for text in order
        }

    def filled(self, scores: Mapping[str, float], results: int) -> bool:
        """Whether the first ``results`` units stand, whatever would be retrieved behind these texts.

        That is so when there are as many; when a text with a lower score follows, so that no tie is cut in
        two; and when every shared text down to there has a page that was found by a text of its own: the best
        such page does not change any more.
        """
        order = ranked(scores)
        own = self._ranks_of_own_texts(order)
        units: set[str] = set()
        for place, text in enumerate(order):
            if len(units) >= results and scores[text] < scores[order[place - 1]]:
                return True
            candidates = self.units_of_text[text]
            if len(candidates) > 1 and own.keys().isdisjoint(candidates):
                return False
            units.add(min(candidates, key=lambda unit: own.get(unit, len(order))))
        return False

    def _ranks_of_own_texts(self, order: Sequence[str]) -> dict[str, int]:
        """Unit -> rank, from 0, of its best text that is on no other page."""
        own: dict[str, int] = {}
        for place, text in enumerate(order):
            units = self.units_of_text[text]
            if len(units) == 1:
                own.setdefault(units[0], place)
        return own


def units_of(collection: Collection, level: Level) -> Units:
    """The judged units of a collection.

    Raises:
        UsageError: Pages are judged, and the metadata do not say the page of a chunk.
    """
    if level == "chunk":
        return Units(
            level,
            {
                chunk: name
                for name, chunks in zip(collection.ids, collection.chunks, strict=True)
                for chunk in chunks
            },
            {name: (name,) for name in collection.ids},
            {name: (position,) for position, name in enumerate(collection.ids)},
        )
    texts: dict[str, list[int]] = defaultdict(list)
    for position, pages in enumerate(collection.pages):
        if not pages:
            raise UsageError(
                f"the eval set judges pages, and {collection.ids[position]!r} has no page",
                remedy="its metadata need subdirectory and filename; qembed embed writes both",
            )
        for page in pages:
            texts[page].append(position)
    name_of = _merged(texts)
    return Units(
        level,
        name_of,
        {
            name: tuple(sorted({name_of[page] for page in pages}))
            for name, pages in zip(collection.ids, collection.pages, strict=True)
        },
        {page: tuple(positions) for page, positions in texts.items() if name_of[page] == page},
    )


def units_like(first: Units, one: Collection, other: Collection) -> Units:
    """The units of ``other`` under the names that ``one`` has for them, so that both meet the same qrels.

    A text is the same wherever it stands, whatever its chunks are called there. A text that ``one`` does not
    have is the unit that its id names there, unless another text of ``other`` is that unit already: then the
    ids of the two do not mean the same, and it is a unit of its own. A page is known by its id.

    Args:
        first: The units of ``one``.
        one: The side whose names are used.
        other: A collection of the same content, perhaps by another tool.

    Raises:
        UsageError: As ``units_of``.
    """
    own = units_of(other, first.level)
    if first.level == "page":
        known = {page: first.name_of.get(page, name) for page, name in own.name_of.items()}
    else:
        known = _known_texts(first, one, other)
    texts_of: dict[str, tuple[int, ...]] = {}
    for unit, texts in own.texts_of.items():
        texts_of[known[unit]] = tuple(sorted({*texts_of.get(known[unit], ()), *texts}))
    return Units(
        first.level,
        {item: known[name] for item, name in own.name_of.items()},
        {text: tuple(sorted({known[unit] for unit in units})) for text, units in own.units_of_text.items()},
        texts_of,
    )


def absent_relevant(units: Units, qrels: Qrels) -> frozenset[str]:
    """Relevant units that the collection does not have: no search of it can find them."""
    relevant = {unit for grades in qrels.values() for unit, grade in grades.items() if grade > 0}
    return frozenset(relevant - units.texts_of.keys())


def cut_units(units: Units, collection: Collection, max_tokens: int | None) -> frozenset[str]:
    """Units of which the model has not read all: half or more of their texts were cut.

    Args:
        units: Units of the collection.
        collection: Its ``tokens`` are before truncation.
        max_tokens: What the model reads; None where nobody knows.
    """
    if max_tokens is None:
        return frozenset()
    cut = collection.tokens > max_tokens
    return frozenset(
        unit for unit, texts in units.texts_of.items() if np.mean(cut[np.array(texts, dtype=np.int64)]) >= 0.5
    )


def _known_texts(first: Units, one: Collection, other: Collection) -> dict[str, str]:
    """Text id of ``other`` -> unit."""
    names = dict(zip(one.texts, one.ids, strict=True))
    known = {name: names[text] for name, text in zip(other.ids, other.texts, strict=True) if text in names}
    taken = set(known.values())
    for name in other.ids:
        if name not in known:
            unit = first.name_of.get(name, name)
            known[name] = f"{name} (another text)" if unit in taken else unit
    return known


def _merged(texts: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Page -> the smallest page of exactly the same texts."""
    by_content: dict[tuple[int, ...], str] = {}
    return {page: by_content.setdefault(tuple(texts[page]), page) for page in sorted(texts)}
