"""How deep to search: until the list of judged units is long enough and can no longer change. Pure.

Measures look at judged units, searches return texts. On a set that judges pages, 100 texts may be 43 pages,
so recall@100 would be recall@43. Every system therefore searches deeper, twice as deep each time, until the
first ``results`` units are settled (``Units.filled``). The first k units do not depend on how many more are
asked for, so no measure depends on which others are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from qembed.evaluation.measures import Measure
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.retrieve.units import Units
from qembed.records import Qrels, Run

Search: TypeAlias = Callable[[Sequence[str], int], Run]
"""Query ids and a depth -> the best texts of each of these queries, fewer than the depth only where there are
no more. A deeper search begins with the same texts."""

RESULTS: Final = 100
"""Units retrieved per query at least, and where a measure without a cutoff stops."""


def results_for(measures: Iterable[Measure]) -> int:
    """Units to retrieve per query: the largest cutoff, and ``RESULTS`` at least."""
    return max([RESULTS, *(measure.cutoff or 0 for measure in measures)])


def retrieve(
    search: Search,
    queries: Sequence[str],
    units: Units,
    *,
    results: int,
    texts: int = 1,
) -> Run:
    """Text id -> score per query, deep enough for ``results`` units and at least ``texts`` texts.

    Args:
        search: Finds the texts.
        queries: Query ids.
        units: What is judged.
        results: Units per query; fewer only where the search finds no more.
        texts: Texts per query, at least.
    """
    run: Run = {}
    waiting, depth = list(queries), max(results + 1, texts)  # one more shows where a tie ends
    while waiting:
        found = search(waiting, depth)
        run |= found
        waiting = [
            query
            for query in waiting
            if len(found[query]) >= depth and not units.filled(found[query], results)
        ]
        depth *= 2
    return {query: run[query] for query in queries}


def without_own(search: Search, own: Mapping[str, frozenset[str]]) -> Search:
    """The search without each query's own document: BEIR's ``ignore_identical_ids``, as for ArguAna.

    Args:
        search: Finds the texts.
        own: Query id -> ids of the texts that are this query itself.
    """
    if not own:
        return search
    most = max(map(len, own.values()))

    def searched(queries: Sequence[str], depth: int) -> Run:
        kept: Run = {}
        for query, scores in search(queries, depth + most).items():
            left = [text for text in ranked(scores) if text not in own.get(query, ())]
            kept[query] = {text: scores[text] for text in left[:depth]}
        return kept

    return searched


def own_texts(
    queries: Mapping[str, str],
    units: Units,
    ids: Sequence[str],
    texts: Sequence[str],
    qrels: Qrels | None = None,
) -> dict[str, frozenset[str]]:
    """Queries that are documents themselves: same id, and the document ends with the query's text.

    Args:
        queries: Query id -> text.
        units: What is judged; pages are never a query.
        ids: Text ids of the collection.
        texts: Its texts; a title may stand before what the query says.
        qrels: Over chunks; what they call relevant is no query's own document.

    Returns:
        Query id -> ids of its own texts; only of queries that are documents.
    """
    if units.level != "chunk":
        return {}
    found = {}
    for query, text in queries.items():
        own = units.name_of.get(query, "")
        grades = (qrels or {}).get(query, {})
        if any(grade > 0 and units.name_of.get(item) == own for item, grade in grades.items()):
            continue
        for position in units.texts_of.get(own, ()):
            if is_own_text(text, texts[position]):
                found[query] = frozenset([ids[position]])
    return found


def is_own_text(query: str, text: str) -> bool:
    """Whether a document of the query's id is the query itself; a title may stand before it."""
    return text.strip().endswith(query.strip())
