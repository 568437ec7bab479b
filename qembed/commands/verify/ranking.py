"""``verify`` on judged queries: has the drift of the vectors changed the ranking, and does it matter?

The stored vectors' exact search gives each query its candidates, ``candidates`` distinct texts. The
reference embeds these texts again, one by one, and the query too, and orders the same candidates by its own
cosines. Both orders are measured on the judged units. A text outside of the candidates cannot come in:
``Ranking.open`` counts the queries for which one could, if its cosine drifted as far as the worst seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qembed.commands.verify.reference import Reference, ToEmbed
from qembed.errors import UsageError
from qembed.evaluation.eval_sets.card import Level
from qembed.evaluation.eval_sets.eval_set import EvalSet
from qembed.evaluation.eval_sets.groups import labels_of
from qembed.evaluation.measures import Measure, deciding_measure, evaluate
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.statistics.compare import Comparison, Estimate, compare, mean_interval, sentence
from qembed.evaluation.systems.judged import Judged, ask, load_judged
from qembed.evaluation.systems.measured import check_settings
from qembed.evaluation.systems.side import SideOptions
from qembed.index.protocol import SCORE_DECIMALS, Similarity
from qembed.models import EncoderOptions, Precision
from qembed.models.device import pick_device, pick_precision
from qembed.progress import Progress
from qembed.records import Run
from qembed.store import Manifest

CHANGED = 5
"""Queries that are named."""


@dataclass(frozen=True, slots=True)
class RankingOptions:
    """With which judgements, and how far down.

    Attributes:
        eval_set: A folder in BEIR's layout, with or without a card.
        split: Split of the eval set; the card's own when None.
        candidates: Distinct texts per query that are embedded again; more where pages are judged and these
            are not one page more than the measure's cutoff.
        measure: What decides.
        margin: Differences below it do not matter.
        resamples: Number of resamples of the bootstrap and of the randomisation test.
        seed: Random seed of both.
        query_precision: Precision of the stored side's queries; that of the vectors when None.
    """

    eval_set: Path
    split: str | None = None
    candidates: int = 50
    measure: str = "nDCG@10"
    margin: float = 0.01
    resamples: int = 10_000
    seed: int = 0
    query_precision: Precision | None = None


@dataclass(frozen=True, slots=True)
class ChangedQuery:
    """A query whose value the drift has changed.

    Attributes:
        query_id: Id in the eval set.
        text: What was asked.
        stored: Its value with the stored vectors.
        reference: With those of the reference.
    """

    query_id: str
    text: str
    stored: float
    reference: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """Whether the stored vectors rank as the reference does.

    Attributes:
        eval_set: Its name.
        folder: Where it lies.
        level: What is judged.
        synthetic: Nobody has judged it.
        by_models: How many grades are a model's, in words; empty where people alone judged.
        errors: Findings because of which a judged item is lost or cannot be found.
        measure: What decides.
        k: Its cutoff, 10 where it has none: how many results are compared.
        candidates: Distinct texts of each query, at least.
        queries: Judged ones; all are searched.
        answerable: Those with a relevant unit; the measure's mean is over them.
        texts: Different candidates, each embedded again once.
        query_dtype: Precision of the stored side's queries.
        stored: Mean with the stored vectors.
        reference: Mean with the reference.
        comparison: Stored against reference.
        words: The same in one sentence.
        same: Queries whose first ``k`` results are the same in the same order.
        reordered: Queries with the same first ``k`` in another order.
        replaced: Queries with another result among them.
        largest_drift: Greatest difference of any query's cosine with any of its candidates.
        open: Queries for which a text outside of the candidates could come among the first ``k``, if its
            cosine differed by ``largest_drift``.
        changed: Queries whose value has changed most, the greatest loss first.
    """

    eval_set: str
    folder: Path
    level: Level
    synthetic: bool
    by_models: str
    errors: int
    measure: str
    k: int
    candidates: int
    queries: int
    answerable: int
    texts: int
    query_dtype: str
    stored: Estimate
    reference: Estimate
    comparison: Comparison
    words: str
    same: int
    reordered: int
    replaced: int
    largest_drift: float
    open: int
    changed: tuple[ChangedQuery, ...]


@dataclass(frozen=True, slots=True)
class Pool:
    """What the reference has to rank.

    Attributes:
        judged: Queries, judgements and vectors, with the stored vectors' run.
        measure: What decides.
        query_dtype: Precision of the stored side's queries.
        candidates: For each query, positions of its candidates in the collection, best first.
    """

    judged: Judged
    measure: Measure
    query_dtype: str
    candidates: tuple[npt.NDArray[np.int64], ...]

    @property
    def texts(self) -> npt.NDArray[np.int64]:
        """Positions of the different candidates, ascending."""
        return np.unique(np.concatenate(self.candidates))


def prepare(options: RankingOptions) -> tuple[EvalSet, Measure]:
    """What can be known before anything is read or loaded.

    Raises:
        InputNotFound: No eval set there.
        UsageError: A measure that cannot be, too few candidates for it, or no query with a relevant item.
        Mismatch: The eval set's files cannot be used.
    """
    measure = deciding_measure(options.measure)
    least = (measure.cutoff or 10) + 1
    if options.candidates < least:
        raise UsageError(
            f"{options.candidates} candidates are too few for {measure}: nothing could come in or drop out",
            remedy=f"--candidates {least} or more; 50 by default",
        )
    check_settings(options)
    return load_judged(options.eval_set, options.split), measure


def candidates_of(
    embeddings: Path,
    manifest: Manifest | None,
    model: str | None,
    encoder: EncoderOptions,
    options: RankingOptions,
    prepared: tuple[EvalSet, Measure],
    progress: Progress,
) -> Pool:
    """Encode the judged queries as the vectors were made, and search exactly. The model is let go again.

    Raises:
        UsageError: The precision in which the vectors were made does not run here.
        QembedError: As ``judged_vectors.ask``.
    """
    eval_set, measure = prepared
    asked = replace(encoder, precision=_query_precision(options, manifest, encoder.device))
    side = SideOptions(embeddings, model, None, "exact", asked)
    results = (measure.cutoff or 10) + 1
    judged = ask(eval_set, side, results=results, texts=options.candidates, progress=progress)
    assert judged.side.encoder is not None
    dtype = judged.side.encoder.info.dtype
    judged.side.index.close()
    position = {name: at for at, name in enumerate(judged.side.collection.ids)}
    found = tuple(
        np.array([position[name] for name in ranked(judged.side.run[query])], dtype=np.int64)
        for query in judged.queries
    )
    return Pool(replace(judged, side=replace(judged.side, encoder=None)), measure, dtype, found)


def rank_again(pool: Pool, reference: Reference, options: RankingOptions, progress: Progress) -> Ranking:
    """Embed queries and candidates again, order the candidates by the reference, and compare.

    Raises:
        QembedError: The reference itself is not finite.
    """
    judged, side = pool.judged, pool.judged.side
    texts = pool.texts
    progress.phase("embedding the queries again", total=len(judged.queries), unit="queries")
    place = str(judged.eval_set.queries_file)
    asked = [ToEmbed(query, place, text) for query, text in judged.queries.items()]
    queries = reference.embed(asked, progress, "query")
    progress.phase("embedding the candidates again", total=len(texts), unit="texts")
    ids, contents = side.collection.ids, side.collection.texts
    again = [ToEmbed(ids[at], str(side.path), contents[at]) for at in texts.tolist()]
    vectors = reference.embed(again, progress)
    now: Run = {}
    for row, (query, found) in enumerate(zip(judged.queries, pool.candidates, strict=True)):
        scores = _scores(queries[row], vectors[np.searchsorted(texts, found)], side.index.similarity)
        now[query] = dict(zip((ids[at] for at in found.tolist()), scores.tolist(), strict=True))
    return _ranking(pool, now, options)


def _query_precision(options: RankingOptions, manifest: Manifest | None, device: str) -> Precision:
    if options.query_precision is not None:
        return options.query_precision
    if manifest is None:
        return "auto"
    made: Precision = manifest.model["dtype"]
    try:
        pick_precision(made, pick_device(device))
    except UsageError as error:
        raise UsageError(
            f"the vectors were made in {made}, which does not run here: {error.message}",
            remedy="--query-precision fp32, or what your queries are encoded in",
        ) from error
    return made


def _scores(
    query: npt.NDArray[np.float32], vectors: npt.NDArray[np.float32], similarity: Similarity
) -> npt.NDArray[np.float64]:
    wide, others = query.astype(np.float64), vectors.astype(np.float64)
    lengths = np.linalg.norm(wide) * np.linalg.norm(others, axis=1) if similarity == "cosine" else 1.0
    scores: npt.NDArray[np.float64] = (others @ wide / lengths).round(SCORE_DECIMALS)
    return scores


def _ranking(pool: Pool, now: Run, options: RankingOptions) -> Ranking:
    judged, measure = pool.judged, pool.measure
    units, card = judged.side.units, judged.eval_set.card
    then = judged.side.run
    stored, reference = units.run(then), units.run(now)
    k = measure.cutoff or 10
    lists = [(ranked(stored[query])[:k], ranked(reference[query])[:k]) for query in judged.queries]
    reordered = sum(one != other and set(one) == set(other) for one, other in lists)
    replaced = sum(set(one) != set(other) for one, other in lists)
    drift = max(abs(then[query][item] - score) for query in now for item, score in now[query].items())
    values = [evaluate(judged.qrels, run, [measure])[str(measure)] for run in (stored, reference)]
    labels = labels_of(judged.eval_set.groups, values[0].index)
    comparison = compare(
        values[1],
        values[0],
        margin=options.margin,
        resamples=options.resamples,
        seed=options.seed,
        groups=labels,
    )
    return Ranking(
        eval_set=card.name,
        folder=judged.eval_set.folder,
        level=card.level,
        synthetic=card.synthetic,
        by_models=judged.by_models,
        errors=len(judged.errors),
        measure=str(measure),
        k=k,
        candidates=min(options.candidates, len(judged.side.collection)),
        queries=len(judged.queries),
        answerable=judged.answerable,
        texts=len(pool.texts),
        query_dtype=pool.query_dtype,
        stored=mean_interval(values[0].to_numpy(), groups=labels),
        reference=mean_interval(values[1].to_numpy(), groups=labels),
        comparison=comparison,
        words=sentence(comparison, measure),
        same=len(lists) - reordered - replaced,
        reordered=reordered,
        replaced=replaced,
        largest_drift=drift,
        open=sum(_open(then[query], reference[query], k, drift, pool) for query in judged.queries),
        changed=_changed(judged, *(dict(zip(found.index, found, strict=True)) for found in values)),
    )


def _open(then: dict[str, float], units: dict[str, float], k: int, drift: float, pool: Pool) -> bool:
    """Whether a text behind the last candidate would come among the first ``k`` units with that drift."""
    if len(then) == len(pool.judged.side.collection):
        return False
    scores = sorted(units.values(), reverse=True)
    return len(scores) < k or min(then.values()) + drift >= scores[k - 1]


def _changed(
    judged: Judged, stored: dict[str, float], reference: dict[str, float]
) -> tuple[ChangedQuery, ...]:
    def loss(query: str) -> float:
        return reference[query] - stored[query]

    changed = [query for query in judged.queries if abs(loss(query)) > 1e-12]
    order: Sequence[str] = sorted(changed, key=lambda query: (-abs(loss(query)), query))[:CHANGED]
    return tuple(
        ChangedQuery(query, judged.queries[query], stored[query], reference[query])
        for query in sorted(order, key=lambda query: (-loss(query), query))
    )
