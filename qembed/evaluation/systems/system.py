"""The systems of a bench: what answers the queries, as runs over judged units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from qembed.errors import Mismatch
from qembed.evaluation.diagnose.frontier import depths_within
from qembed.evaluation.diagnose.latency import time_queries
from qembed.evaluation.rerank.open import reranker_labels
from qembed.evaluation.rerank.reranker import Reranked, Reranker
from qembed.evaluation.retrieve.bm25 import BM25, CODE, PLAIN, Recipe
from qembed.evaluation.retrieve.depth import RESULTS, retrieve, without_own
from qembed.evaluation.retrieve.fusion import fuse_heads
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.retrieve.pools import rerank_run
from qembed.evaluation.systems.side import Side, time_side
from qembed.progress import Progress
from qembed.records import Run

VECTORS: Final = "vectors"
FUSION: Final = f"{VECTORS} + {CODE.name}"
BASELINE: Final = "baseline"

Times = dict[str, list[float]]
"""Stage -> milliseconds of each timed query."""


@dataclass(frozen=True, slots=True)
class Reranking:
    """What a reranker did to the candidates of one side.

    Attributes:
        scores: Text id -> score, for the deepest pool of each query.
        work: Pairs, truncation, seconds.
        milliseconds: Rerank depth -> time of each timed query, warm, one query at a time.
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
        side: The side whose texts it ranks.
        texts: Its run over text ids.
        run: Its run over judged units.
        stages: Milliseconds of each stage for each timed query; empty where nothing was timed.
        base: The run over text ids that was reranked; None without a reranker.
        reranking: What the reranker did; None without a reranker.
        info: Provenance of what is special in it.
    """

    name: str
    kind: str
    side: Side
    texts: Run
    run: Run
    stages: Times
    base: Run | None = None
    reranking: Reranking | None = None
    info: dict[str, Any] = field(default_factory=dict)


class Choices(Protocol):
    """The part of ``BenchOptions`` that says which systems there are."""

    @property
    def baseline(self) -> Path | str | None:
        """Other embeddings."""

    @property
    def rerankers(self) -> tuple[str, ...]:
        """As ``open_reranker`` names them."""

    @property
    def depths(self) -> tuple[int, ...]:
        """Rerank depths."""

    @property
    def bm25(self) -> bool:
        """Add BM25."""

    @property
    def bm25_plain(self) -> bool:
        """Add BM25 as most libraries have it."""

    @property
    def fusion(self) -> bool:
        """Add the fusion of BM25 with the vectors."""

    @property
    def latency_queries(self) -> int:
        """Queries that are timed."""

    @property
    def seed(self) -> int:
        """Random seed."""


def system_names(choices: Choices) -> list[str]:
    """Names of the systems that there will be, in the order of the table."""
    rerankers = reranker_labels(list(dict.fromkeys(choices.rerankers)))
    words = [CODE.name, *([FUSION] if choices.fusion else [])] if choices.bm25 else []
    words += [PLAIN.name] if choices.bm25_plain else []
    return [
        VECTORS,
        *words,
        *(f"{VECTORS} > {name}" for name in rerankers),
        *([] if choices.baseline is None else [BASELINE, *(f"{BASELINE} > {name}" for name in rerankers)]),
    ]


def headline_pair(names: Sequence[str]) -> tuple[int, int]:
    """Positions of the system in question and of what it is compared with, as far as no verdict says which:
    the vectors with the baseline; without a baseline the last system with the vectors."""
    return (0, names.index(BASELINE)) if BASELINE in names else (len(names) - 1, 0)


def build_systems(
    sides: Sequence[Side],
    queries: dict[str, str],
    rerankers: Sequence[Reranker],
    choices: Choices,
    progress: Progress,
) -> list[System]:
    """One per row: vectors, BM25, fusion, reranked vectors; then the baseline and the reranked baseline."""
    sample = sample_queries(len(queries), choices.latency_queries, choices.seed)
    systems: list[System] = []
    labels = reranker_labels([reranker.name for reranker in rerankers])
    for side, name in zip(sides, (VECTORS, BASELINE), strict=False):
        progress.phase("timing retrieval")
        deepest = max(RESULTS, *choices.depths)
        stages = time_side(side, list(queries.values()), sample, deepest) if sample else {}
        base = System(name, "vectors", side, side.run, side.judged_run(side.run), stages)
        systems.append(base)
        if name == VECTORS:
            systems += _word_systems(base, queries, sample, choices, progress)
        depths = depths_within(choices.depths, len(side.collection))
        systems += [
            _rerank_system(base, reranker, queries, sample, label=label, depths=depths, progress=progress)
            for reranker, label in zip(rerankers, labels, strict=True)
        ]
    return systems


def run_at(system: System, depth: int) -> Run:
    """A reranked system's run over judged units, if only ``depth`` candidates were reranked."""
    assert system.base is not None
    assert system.reranking is not None
    return system.side.judged_run(rerank_run(system.base, system.reranking.scores, depth))


def sample_queries(count: int, size: int, seed: int) -> list[int]:
    """Positions of the queries that are timed: all where there are few, else a seeded sample, ascending."""
    if size >= count:
        return list(range(count))
    return sorted(np.random.default_rng(seed).choice(count, size=size, replace=False).tolist())


def _word_systems(
    vectors: System, queries: dict[str, str], sample: Sequence[int], choices: Choices, progress: Progress
) -> list[System]:
    """BM25 over the texts of the vectors, and its fusion with them, as far as they are wanted."""
    systems = []
    if choices.bm25:
        bm25 = _bm25_system(CODE, vectors.side, queries, sample, progress)
        systems += [bm25, *([_fusion_system(vectors, bm25)] if choices.fusion else [])]
    if choices.bm25_plain:
        systems.append(_bm25_system(PLAIN, vectors.side, queries, sample, progress))
    return systems


def _bm25_system(
    recipe: Recipe, side: Side, queries: dict[str, str], sample: Sequence[int], progress: Progress
) -> System:
    progress.phase("BM25", total=len(queries), unit="queries")
    bm25 = BM25(side.collection.ids, side.collection.texts, recipe)

    def search(asked: Sequence[str], depth: int) -> Run:
        return dict(zip(asked, bm25.search_many([queries[query] for query in asked], depth), strict=True))

    run = retrieve(without_own(search, side.own), list(queries), side.units, results=side.results)
    times: Times = {}
    if sample:
        texts = list(queries.values())
        times = {"retrieve": time_queries(lambda at: bm25.search_many([texts[at]], RESULTS), sample)}
    info = {
        "recipe": recipe.description,
        "queries_without_a_word_in_common": [query for query, found in run.items() if not found],
    }
    return System(recipe.name, "bm25", side, run, side.judged_run(run), times, info=info)


def _fusion_system(vectors: System, bm25: System) -> System:
    side = vectors.side

    def search(asked: Sequence[str], depth: int) -> Run:
        found = side.run if depth == side.results + 1 else side.search(asked, depth)
        return {query: fuse_heads(found[query], bm25.texts[query]) for query in asked}

    run = retrieve(search, list(side.run), side.units, results=side.results)
    stages = {**vectors.stages, "bm25": bm25.stages["retrieve"]} if bm25.stages else {}
    return System(FUSION, "fusion", side, run, side.judged_run(run), stages)


def _rerank_system(
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
        run=side.judged_run(run),
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


def _positions(scores: dict[str, float], position: dict[str, int], depth: int) -> npt.NDArray[np.int64]:
    return np.array([position[name] for name in ranked(scores)[:depth]], dtype=np.int64)
