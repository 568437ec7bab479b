"""Where each relevant unit was lost on its way from the embedding to the first ``k`` results. Pure.

A query with R relevant units has a recall of found/R at the cutoff; every other relevant unit is lost at
exactly one stage, the first that applies:

    cut         missed by exact search, and half or more of its texts were cut when they were embedded
    missed      not among the candidates of an exact search of that depth
    index       exact search has it, the approximate index does not
    depth       a candidate, but behind the rerank depth and not among the first k
    demoted     among the first k before reranking, and no longer
    not lifted  reranked, and not among the first k before or after
    below       no reranker: a candidate that is not among the first k

The shares of a query add up to 1 - recall@k. ``cut`` says that a text was cut, not that this is why.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from qembed.evaluation.retrieve.ordering import ranked
from qembed.records import Qrels, Run

Stage: TypeAlias = Literal["cut", "missed", "index", "depth", "demoted", "not lifted", "below", "found"]
STAGES: Final[tuple[Stage, ...]] = (
    "cut",
    "missed",
    "index",
    "depth",
    "demoted",
    "not lifted",
    "below",
    "found",
)


@dataclass(frozen=True, slots=True)
class Path:
    """What happened to the candidates of one system, unit by unit, as runs over units.

    Attributes:
        exact: An exact search of the retrieval depth.
        retrieved: What the index gave; ``exact`` itself where the index is exact.
        final: What the user sees; ``retrieved`` itself without a reranker.
        reranked: Units that the reranker has seen, by query; None without a reranker.
        cut: Units that were cut when they were embedded.
    """

    exact: Run
    retrieved: Run
    final: Run
    reranked: Mapping[str, Collection[str]] | None
    cut: Collection[str]


@dataclass(frozen=True, slots=True)
class Loss:
    """The fate of one relevant unit.

    Attributes:
        query_id: Id of the query.
        unit: The relevant text or page.
        relevance: Its grade.
        stage: Where it was lost, or ``found``.
        rank_before: Rank in ``retrieved``, from 1; None where it is not there.
        rank_after: Rank in ``final``.
    """

    query_id: str
    unit: str
    relevance: int
    stage: Stage
    rank_before: int | None
    rank_after: int | None


def losses(qrels: Qrels, path: Path, *, k: int, rel: int = 1) -> list[Loss]:
    """The fate of every relevant unit, by query and unit.

    Args:
        qrels: Over units.
        path: Over units.
        k: The cutoff of recall.
        rel: The least relevance that counts.
    """
    found = []
    for query, grades in sorted(qrels.items()):
        relevant = sorted(unit for unit, grade in grades.items() if grade >= rel)
        if not relevant:
            continue
        before, after = (_ranks(run.get(query, {})) for run in (path.retrieved, path.final))
        exact = path.exact.get(query, {})
        seen = None if path.reranked is None else path.reranked.get(query, ())
        for unit in relevant:
            stage = _stage(unit, before, after, exact, seen, path.cut, k)
            found.append(Loss(query, unit, grades[unit], stage, before.get(unit), after.get(unit)))
    return found


def shares(found: list[Loss]) -> dict[Stage, float]:
    """Share of each stage in recall, mean over queries; ``found`` is recall@k and all together are 1."""
    total: dict[Stage, float] = dict.fromkeys(STAGES, 0.0)
    relevant: dict[str, int] = {}
    for loss in found:
        relevant[loss.query_id] = relevant.get(loss.query_id, 0) + 1
    for loss in found:
        total[loss.stage] += 1 / relevant[loss.query_id]
    return {stage: value / max(1, len(relevant)) for stage, value in total.items()}


def _stage(
    unit: str,
    before: Mapping[str, int],
    after: Mapping[str, int],
    exact: Mapping[str, float],
    seen: Collection[str] | None,
    cut: Collection[str],
    k: int,
) -> Stage:
    if after.get(unit, k + 1) <= k:
        return "found"
    if unit not in before:
        if unit in exact:
            return "index"
        return "cut" if unit in cut else "missed"
    if seen is None:
        return "below"
    if before[unit] <= k:
        return "demoted"
    return "not lifted" if unit in seen else "depth"


def _ranks(scores: Mapping[str, float]) -> dict[str, int]:
    return {unit: rank for rank, unit in enumerate(ranked(scores), start=1)}
