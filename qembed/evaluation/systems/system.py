"""The systems of a bench: what answers the queries, as runs over judged units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qembed.errors import Mismatch
from qembed.evaluation.diagnose.latency import time_queries
from qembed.evaluation.rerank.reranker import Reranked, Reranker
from qembed.evaluation.retrieve.bm25 import BM25
from qembed.evaluation.retrieve.fusion import reciprocal_rank_fusion
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.retrieve.pools import first, rerank_run
from qembed.evaluation.systems.side import Side
from qembed.progress import Progress
from qembed.records import Run

VECTORS = "vectors"
BM25_NAME = "bm25"
FUSION = f"{VECTORS} + {BM25_NAME}"
BASELINE = "baseline"


@dataclass(frozen=True, slots=True)
class Reranking:
    """What a reranker did to the candidates of one side.

    Attributes:
        scores: Text id -> its score, for the deepest pool of each query.
        work: Pairs, truncation, seconds.
        milliseconds: Rerank depth -> time of each query of the sample, warm, one query at a time.
    """

    scores: Run
    work: Reranked
    milliseconds: dict[int, list[float]]


@dataclass(frozen=True, slots=True)
class System:
    """One row of the table.

    Attributes:
        name: As it is shown, e.g. ``vectors > maxsim:minilm``.
        kind: ``vectors``, ``bm25``, ``fusion`` or ``reranked``.
        side: Over whose texts.
        texts: Its run over text ids.
        run: Its run over judged units.
        stages: Milliseconds of each stage for each query of the sample; empty where nothing was timed.
        base: The run over text ids that was reranked; None without a reranker.
        reranking: How; None without a reranker.
        info: Provenance of what is special in it.
    """

    name: str
    kind: str
    side: Side
    texts: Run
    run: Run
    stages: dict[str, list[float]]
    base: Run | None = None
    reranking: Reranking | None = None
    info: dict[str, Any] = field(default_factory=dict)


class Choices(Protocol):
    """What is needed of ``BenchOptions``."""

    @property
    def baseline(self) -> Path | None:
        """Other embeddings."""

    @property
    def rerankers(self) -> tuple[str, ...]:
        """As ``open_reranker`` names them."""

    @property
    def bm25(self) -> bool:
        """Add BM25."""

    @property
    def fusion(self) -> bool:
        """Add its fusion with the vectors."""


def system_names(options: Choices) -> list[str]:
    """Names of the systems that there will be, in the order of the table."""
    rerankers = dict.fromkeys(options.rerankers)
    words = [BM25_NAME, *([FUSION] if options.fusion else [])] if options.bm25 else []
    return [
        VECTORS,
        *words,
        *(f"{VECTORS} > {name}" for name in rerankers),
        *([] if options.baseline is None else [BASELINE, *(f"{BASELINE} > {name}" for name in rerankers)]),
    ]


def vectors_system(name: str, side: Side, stages: dict[str, list[float]]) -> System:
    """Qdrant alone."""
    return System(name, "vectors", side, side.run, side.units.run(side.run), stages)


def bm25_systems(
    side: Side,
    queries: dict[str, str],
    stages: dict[str, list[float]],
    sample: Sequence[int],
    *,
    depth: int,
    fusion: bool,
    progress: Progress,
) -> list[System]:
    """BM25 over the same texts, and its fusion with the vectors where that is wanted."""
    progress.phase("BM25", total=len(queries), unit="queries")
    bm25 = BM25(side.collection.ids, side.collection.texts)
    texts = list(queries.values())
    run = dict(zip(queries, bm25.search_many(texts, depth), strict=True))
    times = {}
    if sample:
        times = {"retrieve": time_queries(lambda at: bm25.search_many([texts[at]], depth), sample)}
    systems = [System(BM25_NAME, "bm25", side, run, side.units.run(run), times)]
    if fusion:
        fused = first(
            {query: reciprocal_rank_fusion([side.run[query], run[query]]) for query in queries}, depth
        )
        both = {**stages, "bm25": times["retrieve"]} if sample else {}
        systems.append(System(FUSION, "fusion", side, fused, side.units.run(fused), both))
    return systems


def rerank_system(
    base: System,
    reranker: Reranker,
    queries: dict[str, str],
    sample: Sequence[int],
    *,
    label: str,
    depths: Sequence[int],
    progress: Progress,
) -> System:
    """The candidates of ``base`` in the order of the reranker shown as ``label``, to the deepest depth.

    Each pair is scored once; every smaller depth is derived from those scores. Only candidates that
    retrieval found are reranked.
    """
    side, deepest = base.side, max(depths)
    collection = side.collection
    position = {name: at for at, name in enumerate(collection.ids)}
    candidates = [_positions(base.texts[query], position, deepest) for query in queries]
    progress.phase(f"reranking with {label}")
    work = reranker.rerank(list(queries.values()), collection.texts, candidates, progress=progress)
    scores: Run = {
        query: dict(zip((collection.ids[at] for at in found.tolist()), values.tolist(), strict=True))
        for query, found, values in zip(queries, candidates, work.scores, strict=True)
    }
    _check_scores(scores, reranker)
    times: dict[int, list[float]] = {}
    texts = list(queries.values())
    for depth in depths if sample else ():
        progress.phase(f"timing {label} at depth {depth}")

        def one(at: int, depth: int = depth) -> object:
            found = candidates[at][:depth].tolist()
            return reranker.score_one(texts[at], [collection.texts[place] for place in found])

        times[depth] = time_queries(one, sample)
    run = rerank_run(base.texts, scores, deepest)
    return System(
        name=f"{base.name} > {label}",
        kind="reranked",
        side=side,
        texts=run,
        run=side.units.run(run),
        stages={**base.stages, "rerank": times[deepest]} if sample else {},
        base=base.texts,
        reranking=Reranking(scores, work, times),
        info=dict(reranker.provenance),
    )


def _check_scores(scores: Run, reranker: Reranker) -> None:
    for query, found in scores.items():
        for item, score in found.items():
            if math.isnan(score) or score == math.inf:
                raise Mismatch(
                    f"{reranker.name} gives {item!r} the score {score} for the query {query!r}",
                    remedy="a score has to be a number: take another reranker, or --precision fp32",
                )


def run_at(system: System, depth: int) -> Run:
    """A reranked system's run over judged units, if only ``depth`` candidates were reranked."""
    assert system.base is not None
    assert system.reranking is not None
    return system.side.units.run(rerank_run(system.base, system.reranking.scores, depth))


def seen_units(system: System) -> dict[str, frozenset[str]]:
    """Query -> units of which the reranker has seen a text."""
    assert system.reranking is not None
    units = system.side.units
    return {query: frozenset(units.scores(scores)) for query, scores in system.reranking.scores.items()}


def sample_queries(count: int, size: int, seed: int) -> list[int]:
    """Positions of the queries that are timed: all where there are few, else a seeded sample, ascending."""
    if size >= count:
        return list(range(count))
    return sorted(np.random.default_rng(seed).choice(count, size=size, replace=False).tolist())


def _positions(scores: dict[str, float], position: dict[str, int], depth: int) -> npt.NDArray[np.int64]:
    return np.array([position[name] for name in ranked(scores)[:depth]], dtype=np.int64)
