"""How deep to search: until the list of judged units is long enough and can no longer change. Pure.

Measures look at judged units, searches return texts. On a set that judges pages, 100 texts may be 43 pages,
so recall@100 would be recall@43. Every system therefore searches deeper, twice as deep each time, until the
first ``results`` units are settled (``Units.filled``). The first k units do not depend on how many more are
asked for, so no measure depends on which others are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from qembed.evaluation.measures import Measure
from qembed.evaluation.retrieve.units import Units
from qembed.records import Run

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
