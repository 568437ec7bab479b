"""Two files of embeddings without judgements: do they find the same? Agreement, which is not quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qembed.errors import Mismatch, UsageError
from qembed.evaluation.diagnose.agreement import overlap, rank_biased_overlap
from qembed.evaluation.eval_sets.beir import read_queries
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.statistics.compare import Estimate, mean_interval
from qembed.evaluation.systems.side import Side, SideOptions, describe_side, open_side
from qembed.progress import Progress
from qembed.store import find_embeddings

SCHEMA = "qembed.agreement/1"
CUTOFFS = (1, 10, 100)
PERSISTENCE = 0.9


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the results of two sides are the same.

    Attributes:
        sides: The embeddings, and the baseline.
        queries: How many were asked.
        overlaps: Cutoff -> share of the results that both have, mean over queries; only below the number of
            texts, for all texts are found by both.
        rbo: Rank-biased overlap (p = 0.9), mean over queries.
        least: Query ids of the lowest rank-biased overlap, with it, lowest first.
        shared_texts: Distinct texts that both sides have.
    """

    sides: tuple[Side, Side]
    queries: int
    overlaps: dict[int, Estimate]
    rbo: Estimate
    least: tuple[tuple[str, float], ...]
    shared_texts: int


def agreement(
    embeddings: Path,
    baseline: Path,
    queries: Path | dict[str, str],
    *,
    new: SideOptions | None = None,
    old: SideOptions | None = None,
    cutoffs: Sequence[int] = CUTOFFS,
    seed: int = 0,
    progress: Progress = Progress(),
) -> Agreement:
    """Ask both the same questions and compare the distinct texts that they find.

    Args:
        embeddings: A file of embeddings, or the folder it lies in.
        baseline: Another one of the same content.
        queries: Query id -> text; or a file of them, ``{"_id", "text"}`` a line.
        new: Model, query vectors and index of the first; from its manifest when None.
        old: The same of the baseline.
        cutoffs: Where overlap is counted.
        seed: Of the intervals.
        progress: Told of every phase.

    Raises:
        UsageError: No query.
        Mismatch: The two have no text in common.
        QembedError: As ``bench_side.open_side``.
    """
    asked = queries if isinstance(queries, dict) else read_queries(Path(queries))
    if not asked:
        raise UsageError(
            "there is no query to ask", where=str(queries), remedy='{"_id": "1", "text": "..."} a line'
        )
    find_embeddings(Path(baseline))  # a wrong path is said before the first side is read
    depth = max(cutoffs)
    try:
        one = open_side(new or SideOptions(embeddings), asked, "chunk", results=depth, progress=progress)
        other = open_side(
            old or SideOptions(baseline), asked, "chunk", results=depth, like=one, progress=progress
        )
    finally:
        progress.close()
    shared = len(set(one.collection.texts) & set(other.collection.texts))
    if not shared:
        raise Mismatch(
            "the two files have no text in common, so their results cannot agree",
            where=str(other.path),
            remedy="compare embeddings of the same chunks",
        )
    texts = min(len(one.collection), len(other.collection))
    runs = [side.judged_run(side.run) for side in (one, other)]
    lists = [(ranked(runs[0][query]), ranked(runs[1][query])) for query in asked]
    biased = np.array([rank_biased_overlap(first, second, PERSISTENCE) for first, second in lists])
    order = np.argsort(biased, kind="stable")[:5].tolist()
    names = list(asked)
    return Agreement(
        sides=(one, other),
        queries=len(asked),
        overlaps={
            k: mean_interval(np.array([overlap(first, second, k) for first, second in lists]), seed=seed)
            for k in cutoffs
            if k < texts or k == min(cutoffs)
        },
        rbo=mean_interval(biased, seed=seed),
        least=tuple((names[at], float(biased[at])) for at in order),
        shared_texts=shared,
    )


def agreement_document(found: Agreement) -> dict[str, Any]:
    """One JSON document."""
    from dataclasses import asdict

    return {
        "schema": SCHEMA,
        "measures": "agreement, not quality",
        "sides": [describe_side(side) for side in found.sides],
        "shared_texts": found.shared_texts,
        "queries": found.queries,
        "overlap": {str(k): asdict(value) for k, value in found.overlaps.items()},
        "rank_biased_overlap": {"p": PERSISTENCE, **asdict(found.rbo)},
        "least": [{"query_id": query, "rank_biased_overlap": value} for query, value in found.least],
    }
