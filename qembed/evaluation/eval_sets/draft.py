"""A starting set of queries from the chunks themselves, to be edited by a person.

Queries are headings, questions that the text asks, and first lines of docstrings, each linked to the chunks
that it came from. They are **synthetic**: the words of a query stand in its chunk, which flatters every
system and BM25 most, and nobody has looked whether other chunks answer it too.

Left out is what navigation looks like (a line in more than ``MOST_TEXTS`` different texts, a text that more
than ``MOST_COPIES`` chunks have), and what resembles a query that was taken already (Jaccard of the sets of
words).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from qembed.corpus import page_id
from qembed.corpus.ids import hash64
from qembed.evaluation.eval_sets.draft_sources import Candidate, SourceKind, candidates
from qembed.records import Chunk, Qrels

MOST_TEXTS = 3
"""Different texts in which a query may stand; beyond, it is navigation, or asks for nothing in particular."""
MOST_COPIES = 3
"""Chunks that may share a text; beyond, it is navigation."""
NEAR_DUPLICATE = 0.6
"""Jaccard similarity of two queries' sets of words, from which on the second is left out."""
LEAST_WORDS = 2
"""Words of a query, stop words left out."""
DEFAULT_QUERIES = 100

_WORD = re.compile(r"\w+")
_STOP_WORDS = frozenset(
    _WORD.findall(
        "a an and are as at be by can could did do does for from how i in into is it its me my of on or our "
        "should that the this to use using was we what when where which who why will with would you your"
    )
)

Walk: TypeAlias = Callable[[], Iterable[Chunk]]
"""Gives the chunks of a corpus, the same each time."""


@dataclass(frozen=True, slots=True)
class DraftQuery:
    """A proposed query.

    Attributes:
        text: The query.
        kind: What it was in the chunk.
        subdirectory: Subdirectory of the chunks.
        page: Page id of the first chunk.
        chunk_ids: The chunks that it came from; different texts, the first of each.
    """

    text: str
    kind: SourceKind
    subdirectory: str
    page: str
    chunk_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """Proposed queries.

    Attributes:
        queries: In the order in which they were chosen.
        chunks: Chunks that were read.
        pages: Pages that they came from.
        candidates: Different texts that could have been queries, near-duplicates included.
    """

    queries: tuple[DraftQuery, ...]
    chunks: int
    pages: int
    candidates: int

    @property
    def texts(self) -> dict[str, str]:
        """Query id -> text; ids are ``d001``, ``d002``, ..."""
        return {f"d{number:03d}": query.text for number, query in enumerate(self.queries, start=1)}

    @property
    def qrels(self) -> Qrels:
        """Query id -> chunk id -> 1."""
        pairs = zip(self.texts, self.queries, strict=True)
        return {query_id: dict.fromkeys(query.chunk_ids, 1) for query_id, query in pairs}


@dataclass(slots=True)
class _Source:
    """A candidate with where it stands."""

    candidate: Candidate
    order: int
    subdirectory: str
    page: str
    chunk_ids: list[str] = field(default_factory=list)


_Page: TypeAlias = dict[SourceKind, deque[_Source]]


def draft(walk: Walk, *, queries: int = DEFAULT_QUERIES, seed: int = 0) -> Draft:
    """Choose queries, spread over subdirectories, pages and kinds.

    The chunks are walked twice. Memory: some 100 bytes for each different text, and 600 for each candidate.

    Args:
        walk: Gives the chunks, the same each time.
        queries: How many at most; there may be fewer.
        seed: Another seed chooses others, the same one the same.
    """
    copies, texts_with, chunks = _count(walk())
    by_page = _collect(walk(), copies, texts_with, seed)
    found = sum(len(sources) for sources in by_page.values())
    chosen = [
        DraftQuery(
            source.candidate.text,
            source.candidate.kind,
            source.subdirectory,
            source.page,
            tuple(source.chunk_ids),
        )
        for source in _choose(by_page, queries, seed)
    ]
    return Draft(tuple(chosen), chunks, len(by_page), found)


def words_of(text: str) -> frozenset[str]:
    """The words that tell a query from others: lower case, no stop words unless it has only those."""
    words = frozenset(_WORD.findall(text.lower()))
    return words - _STOP_WORDS or words


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared words divided by all words, 0 to 1; two empty sets are equal."""
    return len(one & other) / len(one | other) if one or other else 1.0


def _key(text: str) -> int:
    return hash64(" ".join(_WORD.findall(text.lower())))


def _count(chunks: Iterable[Chunk]) -> tuple[Counter[int], Counter[int], int]:
    """Chunks by text, different texts by what could be asked of them (both hashed), and chunks."""
    copies: Counter[int] = Counter()
    texts_with: Counter[int] = Counter()
    number = 0
    for chunk in chunks:
        number += 1
        text = hash64(chunk.text)
        copies[text] += 1
        if copies[text] == 1:
            texts_with.update({_key(each.text) for each in candidates(chunk.text, chunk.metadata)})
    return copies, texts_with, number


def _collect(
    chunks: Iterable[Chunk], copies: Counter[int], texts_with: Counter[int], seed: int
) -> dict[tuple[str, str], list[_Source]]:
    """The candidates of every page."""
    by_page: defaultdict[tuple[str, str], list[_Source]] = defaultdict(list)
    by_key: dict[int, _Source] = {}
    taken: set[int] = set()
    for chunk in chunks:
        subdirectory = str(chunk.metadata["subdirectory"])
        page = page_id(subdirectory, str(chunk.metadata["filename"]))
        sources = by_page[subdirectory, page]
        text = hash64(chunk.text)
        if copies[text] > MOST_COPIES or text in taken:
            continue
        taken.add(text)
        for candidate in candidates(chunk.text, chunk.metadata):
            key = _key(candidate.text)
            vague = len(words_of(candidate.text)) < LEAST_WORDS
            if vague or texts_with[key] > MOST_TEXTS or not candidate.answered:
                continue
            if key in by_key:
                by_key[key].chunk_ids.append(chunk.id)
                continue
            order = hash64(f"{seed} {key}")
            by_key[key] = _Source(candidate, order, subdirectory, page, [chunk.id])
            sources.append(by_key[key])
    return by_page


def _choose(by_page: dict[tuple[str, str], list[_Source]], queries: int, seed: int) -> list[_Source]:
    """Go round the subdirectories and in each its pages, those with questions first: one query at a time."""
    subdirectories: defaultdict[str, deque[_Page]] = defaultdict(deque)
    pages = [(place, _by_kind(sources)) for place, sources in by_page.items() if sources]
    for (subdirectory, _), page in sorted(
        pages, key=lambda each: ("question" not in each[1], hash64(f"{seed} {each[0][1]}"))
    ):
        subdirectories[subdirectory].append(page)
    chosen: list[_Source] = []
    chosen_words: list[frozenset[str]] = []
    kinds: Counter[SourceKind] = Counter()
    turns = deque(sorted(subdirectories))
    while turns and len(chosen) < queries:
        subdirectory = turns.popleft()
        source = _next(subdirectories[subdirectory], kinds, chosen_words)
        if source is not None:
            chosen.append(source)
            chosen_words.append(words_of(source.candidate.text))
            kinds[source.candidate.kind] += 1
            turns.append(subdirectory)
    return chosen


def _by_kind(sources: list[_Source]) -> _Page:
    page: _Page = {}
    for source in sorted(sources, key=lambda source: source.order):
        page.setdefault(source.candidate.kind, deque()).append(source)
    return page


def _next(
    pages: deque[_Page], taken: Counter[SourceKind], chosen: Sequence[frozenset[str]]
) -> _Source | None:
    """The next query of a subdirectory: of its next page, of the kind that was taken least often."""
    while pages:
        page = pages.popleft()
        while page:
            kind = min(page, key=lambda kind: (taken[kind], page[kind][0].order))
            source = page[kind].popleft()
            if not page[kind]:
                del page[kind]
            words = words_of(source.candidate.text)
            if not any(jaccard(words, other) >= NEAR_DUPLICATE for other in chosen):
                if page:
                    pages.append(page)
                return source
    return None
