"""``bench``: which of several ways to answer queries is better, by how much, and can these queries tell?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from time import perf_counter

from qembed.commands.bench.options import BenchOptions
from qembed.commands.bench.result import BenchResult
from qembed.errors import Mismatch, UsageError
from qembed.evaluation.diagnose.agreement import agreement
from qembed.evaluation.diagnose.decisive import unjudged_results
from qembed.evaluation.diagnose.gates import Gate, parse_gate
from qembed.evaluation.diagnose.outlook import outlook_of
from qembed.evaluation.eval_sets.eval_set import EvalSet, waiting
from qembed.evaluation.measures import Measure
from qembed.evaluation.rerank.open import open_reranker
from qembed.evaluation.rerank.reranker import Reranker
from qembed.evaluation.retrieve.depth import results_for
from qembed.evaluation.retrieve.units import absent_relevant
from qembed.evaluation.systems.diagnosis import ceilings_of, frontier_of, means_of, waterfall_of
from qembed.evaluation.systems.gating import check_gates, hold_gates
from qembed.evaluation.systems.judged import Judged, ask, load_judged
from qembed.evaluation.systems.judges import judges_of
from qembed.evaluation.systems.measured import check_grades, check_settings, parse_measures
from qembed.evaluation.systems.rows import answerability_of, measure_rows
from qembed.evaluation.systems.side import Side, SideOptions, open_side
from qembed.evaluation.systems.system import System, build_systems, headline_pair, system_names
from qembed.models import EncoderOptions
from qembed.progress import Progress
from qembed.records import Qrels

MOST_ASKED_ALONG = 100
"""Unjudged queries of a partly judged set that are asked too, so that their hits can be judged: the first."""


def bench(
    embeddings: Path | str,
    eval_set: Path | str | EvalSet,
    options: BenchOptions = BenchOptions(),
    *,
    progress: Progress = Progress(),
) -> BenchResult:
    """Compare Qdrant alone with reranking, BM25 and other embeddings.

    With judgements: quality, and verdicts. With questions only (``unjudged_set``): the same systems, how far
    they agree, and which results to judge first. Nothing is written; ``store_bench`` does that.

    Args:
        embeddings: The file (JSON lines, Parquet or npy; any shard means all), the folder it lies in, or the
            address of a collection on a server, which is searched there unless an index is named.
        eval_set: A folder in BEIR's layout, with or without a card; the name of a bundled eval set; or an
            eval set that was read already.
        options: What is compared.
        progress: Receives the progress of every phase.

    Raises:
        UsageError: An option, a gate or a measure that cannot be; an eval set without a relevant item.
        InputNotFound: No embeddings or no eval set there.
        ModelUnreachable: A model or a reranker is neither here nor on the hub; said at once.
        Mismatch: Vectors, model and eval set do not fit together.
    """
    started = perf_counter()
    measures, gates = _asked_for(options, embeddings)
    loaded = eval_set if isinstance(eval_set, EvalSet) else load_judged(Path(eval_set), options.split)
    if loaded.qrels:
        check_grades(loaded.qrels, measures[0], loaded.folder)
    elif gates:
        raise UsageError("a gate needs judgements", remedy="judge first, then give --eval-set FOLDER")
    else:
        measures = ()
    _check_sides(options, embeddings)
    left = waiting(loaded)
    along = dict(islice(left.queries.items(), MOST_ASKED_ALONG))
    results = results_for([*measures, *(gate.measure for gate in gates)])
    try:
        rerankers = _open_rerankers(options, progress)
        judged = ask(
            loaded,
            _side(options, embeddings),
            results=results,
            texts=max(options.depths),
            along=along,
            progress=progress,
        )
        sides = [judged.side, *_open_baseline(judged, options, progress)]
        systems = build_systems(sides, judged.queries, rerankers, options, progress)
        progress.phase("measuring")
        result = _measured(systems, sides, judged, measures, options)
        result = replace(result, waiting=left, seconds=perf_counter() - started)
        return _with_quality(result, gates) if measures else _with_agreement(result)
    finally:
        progress.close()


def _measured(
    systems: Sequence[System],
    sides: Sequence[Side],
    judged: Judged,
    measures: tuple[Measure, ...],
    options: BenchOptions,
) -> BenchResult:
    """The numbers of every system, and what is unjudged of all queries that were asked."""
    runs = [system.run for system in systems]
    asked: Qrels = {query: judged.qrels.get(query, {}) for query in judged.queries}
    pair = headline_pair([system.name for system in systems])
    unjudged = tuple(unjudged_results(runs, asked, pair=pair))
    outlook = None
    if len(runs) > 1 and not judged.eval_set.groups:  # each question is taken for a draw of its own
        holes = [(one.query_id, one.unit) for one in unjudged]
        outlook = outlook_of(runs[pair[0]], runs[pair[1]], asked, holes, comparisons=len(runs) - 1)
    return BenchResult(
        options=options,
        eval_set=judged.eval_set,
        qrels=judged.qrels,
        sides=tuple(sides),
        measures=measures,
        rows=measure_rows(systems, judged.qrels, measures, options, judged.eval_set.groups),
        unjudged=unjudged,
        findings=judged.findings,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=0.0,
        asked_along=tuple(query for query in judged.queries if query not in judged.qrels),
        outlook=outlook,
    )


def _asked_for(options: BenchOptions, embeddings: Path | str) -> tuple[tuple[Measure, ...], list[Gate]]:
    """Measures and gates, parsed; every option is checked before anything is read or loaded."""
    measures = parse_measures(options.measures)
    gates = [parse_gate(text) for text in options.gates]
    _check_options(options)
    _side(options, embeddings).check_index()
    check_gates(gates, system_names(options))
    return measures, gates


def _with_agreement(result: BenchResult) -> BenchResult:
    """How far the other systems find what the first one finds: all that can be said without judgements."""
    first, *others = (row.system for row in result.rows)
    units = min(len(side.units.texts_of) for side in result.sides)
    return replace(
        result,
        agreements={other.name: agreement(first.run, other.run, units=units) for other in others},
    )


def _with_quality(result: BenchResult, gates: Sequence[Gate]) -> BenchResult:
    """Losses, depths, ceilings and gates; the best order of each side's candidates is measured once."""
    options, qrels, measure = result.options, result.qrels, result.measures[0]
    systems = [row.system for row in result.rows]
    sides = [system.side for system in systems if system.kind == "vectors"]
    ceilings = [ceilings_of(side, qrels, measure, options.depths) for side in sides]
    groups = result.eval_set.groups
    return replace(
        result,
        ceilings=means_of(ceilings[0]),
        waterfalls={
            system.name: waterfall_of(system, qrels, measure)
            for system in systems
            if system.kind in ("vectors", "reranked")
        },
        frontiers={
            system.name: frontier_of(
                system, qrels, measure, ceilings[sides.index(system.side)], options, groups
            )
            for system in systems
            if system.reranking is not None
        },
        answerability=answerability_of(systems, qrels),
        judges=judges_of(result.eval_set, qrels, sides[0].units, systems, measure, options),
        gates=hold_gates(gates, result.rows, qrels, options, groups),
    )


def _check_options(options: BenchOptions) -> None:
    if not options.depths or min(options.depths) < 1:
        raise UsageError("rerank depths are at least 1", remedy="--depth 10,20,50,100")
    check_settings(options)
    if options.latency_queries < 0:
        raise UsageError(
            "the number of timed queries is at least 0", remedy="leave it out: the defaults time 20"
        )
    if options.baseline is None and (options.baseline_model or options.baseline_query_vectors):
        raise UsageError(
            "a model or query vectors for a baseline, and no baseline", remedy="--baseline FOLDER"
        )


def _open_rerankers(options: BenchOptions, progress: Progress) -> list[Reranker]:
    """First of all, because a model that cannot be had should be known at once."""
    opened = []
    for spec in dict.fromkeys(options.rerankers):
        progress.phase(f"loading {spec}")
        own = _other_model(options)
        if own.precision in ("int8", "nf4"):  # meant for the model that made the vectors
            own = replace(own, precision="auto")
        opened.append(open_reranker(spec, options=own))
    return opened


def _side(options: BenchOptions, path: Path | str) -> SideOptions:
    return SideOptions(
        path, options.model, options.query_vectors, options.index, options.encoder, options.hnsw, options.keys
    )


def _check_sides(options: BenchOptions, embeddings: Path | str) -> None:
    """What is missing of either side is said before anything is computed."""
    _side(options, embeddings).check()
    if options.baseline is not None:
        try:
            _baseline(options, options.baseline).check()
        except UsageError as error:
            error.remedy = (error.remedy or "").replace("--model", "--baseline-model") or None
            raise


def _baseline(options: BenchOptions, path: Path | str) -> SideOptions:
    return replace(
        _side(options, path),
        model=options.baseline_model,
        query_vectors=options.baseline_query_vectors,
        encoder=_other_model(options),
    )


def _other_model(options: BenchOptions) -> EncoderOptions:
    """The revision that is asked for is that of the model that made the first side's vectors."""
    return replace(options.encoder, revision=None, code_revision=None)


def _open_baseline(first: Judged, options: BenchOptions, progress: Progress) -> list[Side]:
    """Other embeddings of the same content, asked by their own model, under the names of the first side."""
    if options.baseline is None:
        return []
    level = first.eval_set.card.level
    side = open_side(
        _baseline(options, options.baseline),
        first.queries,
        level,
        results=first.side.results,
        texts=max(options.depths),
        qrels=first.eval_set.qrels,
        like=first.side,
        progress=progress,
    )
    relevant = {unit for grades in first.qrels.values() for unit, grade in grades.items() if grade > 0}
    if not relevant and first.side.units.texts_of.keys().isdisjoint(side.units.texts_of):
        raise Mismatch(
            f"the two have no {level} in common, so they cannot be compared",
            where=str(side.path),
            remedy="give embeddings of the same chunks",
        )
    if relevant and relevant == absent_relevant(side.units, first.qrels):
        raise Mismatch(
            f"none of the relevant {level}s is in the baseline, so it cannot be compared",
            where=str(side.path),
            remedy="give embeddings of the same content; where it was cut into other chunks, "
            'judge pages: level = "page" in card.toml',
        )
    return [side]
