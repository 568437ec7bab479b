"""Candidates put into a new order: reranking to a depth, and the best order that there could be. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from qembed.evaluation.retrieve.ordering import ranked
from qembed.records import Run


def reranked(candidates: Mapping[str, float], scores: Mapping[str, float], depth: int) -> dict[str, float]:
    """The first ``depth`` candidates in the reranker's order, the others behind them as they were.

    Nothing is added: what retrieval missed stays missed.

    Args:
        candidates: Item -> score of the first stage.
        scores: Item -> score of the reranker, for the first ``depth`` candidates at least; ``-inf`` for what
            it could not score, which goes behind the others that it saw, in the order it had.
        depth: How many are reranked; 0 leaves all as it was.

    Returns:
        Item -> score: the reranker's for those it ordered, and below the least of them for the others.
    """
    order = ranked(candidates)
    head, tail = order[:depth], order[depth:]
    if not head:
        return dict(candidates)
    found = {item: scores[item] for item in head}
    floor = min((score for score in found.values() if score > -math.inf), default=0.0)
    for item in head:
        if found[item] == -math.inf:
            floor -= 1
            found[item] = floor
    return found | {item: floor - place for place, item in enumerate(tail, start=1)}


def rerank_run(run: Run, scores: Run, depth: int) -> Run:
    """``reranked`` for every query of ``run``."""
    return {query: reranked(candidates, scores.get(query, {}), depth) for query, candidates in run.items()}


def best_order(
    units: Sequence[str], candidates: Collection[str], grades: Mapping[str, int]
) -> dict[str, float]:
    """The candidates in the best order there is, by relevance; the other units behind them as they were.

    Args:
        units: In the order of the run.
        candidates: Those of them that may be moved.
        grades: Relevance; unjudged units count as irrelevant.
    """
    order = sorted(units, key=lambda unit: -max(0, grades.get(unit, 0)) if unit in candidates else 1)
    return {unit: -float(place) for place, unit in enumerate(order)}


def first(run: Run, depth: int) -> Run:
    """The first ``depth`` candidates of every query."""
    return {
        query: {item: candidates[item] for item in ranked(candidates)[:depth]}
        for query, candidates in run.items()
    }
