"""``compare``: which run is better, by how much, and can these queries tell? No model is needed."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from qembed.corpus import CorpusOptions
from qembed.errors import Mismatch, UsageError
from qembed.evaluation.diagnose.decisive import CUTOFF, Unjudged, unjudged_results
from qembed.evaluation.eval_sets.corpora import texts_of
from qembed.evaluation.eval_sets.groups import labels_of
from qembed.evaluation.eval_sets.judgements import Judgements, load_judgements
from qembed.evaluation.eval_sets.runs import read_run
from qembed.evaluation.measures import Measure
from qembed.evaluation.retrieve.depth import is_own_text
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.statistics.verdict import most_telling
from qembed.evaluation.systems.judges import Judges, judges_of_runs
from qembed.evaluation.systems.measured import (
    DEFAULT_MEASURES,
    Measured,
    check_grades,
    check_settings,
    measure_runs,
    parse_measures,
)
from qembed.progress import Progress
from qembed.records import Finding, Qrels, Run
from qembed.report.hits import SHOWN

RISING = 0.9
"""Share of queries whose scores rise through the file, above which a run may mean that lower is better."""


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How runs are compared.

    Attributes:
        measures: The first one decides.
        margin: Differences up to this, either way, are not worth having.
        resamples: Number of resamples of the randomisation test.
        seed: Random seed.
        queries: Texts of the queries; those of the eval set around the qrels when None.
        corpus: Chunks or embeddings with the texts of the results; the ``corpus.jsonl`` of the eval set when
            None.
        collection: Collection name in the ids of chunks; the corpus's name when None.
    """

    measures: tuple[str, ...] = DEFAULT_MEASURES
    margin: float = 0.01
    resamples: int = 10_000
    seed: int = 0
    queries: Path | None = None
    corpus: Path | None = None
    collection: str | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """One run with its numbers.

    Attributes:
        name: Name of its file, without what all files share; no two runs have one name.
        path: Its file.
        run: Query id -> item id -> score, without queries that are not judged.
        missing: Judged queries that it does not answer; each counts 0.
        unknown: Queries that it answers and nobody has judged; they are left out.
        own: Queries of which it found the query's own document, which is left out.
        tied: Queries with equal scores among the first ten results and the next; ids order these.
        rises: Its scores rise from the first result of a query to the last, as distances and ranks do.
        measured: Its numbers, compared with the first run.
    """

    name: str
    path: Path
    run: Run
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    own: tuple[str, ...]
    tied: int
    rises: bool
    measured: Measured


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Runs compared with the first one.

    Attributes:
        judgements: What the runs are measured with.
        measures: In the order of the columns.
        runs: In the order given.
        texts: Item id -> text, of the results that are shown, as far as they are known.
        unjudged: Results among the first ten that nobody has judged, the most decisive first.
        judges: What the verdicts owe to models that judged; None where people alone did.
        options: As asked for.
        created: UTC time, ISO 8601.
        seconds: Wall time.
    """

    judgements: Judgements
    measures: tuple[Measure, ...]
    runs: tuple[Compared, ...]
    texts: dict[str, str]
    unjudged: tuple[Unjudged, ...]
    judges: Judges | None
    options: CompareOptions
    created: str
    seconds: float

    @property
    def qrels(self) -> Path:
        """The file of judgements."""
        return self.judgements.file

    @property
    def queries(self) -> int:
        """Number of judged queries."""
        return len(self.judgements.qrels)

    @property
    def answerable(self) -> int:
        """Queries with a relevant item; the others have no value."""
        least = self.measures[0].rel
        return sum(max(grades.values(), default=0) >= least for grades in self.judgements.qrels.values())

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the file of judgements."""
        return self.judgements.findings

    @property
    def same_ids(self) -> int:
        """Queries with a result of their own id, where texts do not say whether it is the query itself."""
        if self.texts:
            return 0
        return len({query for one in self.runs for query in one.run if query in one.run[query]})


def compare_runs(
    runs: Sequence[Path],
    qrels: Path | str,
    options: CompareOptions = CompareOptions(),
    *,
    progress: Progress = Progress(),
) -> RunComparison:
    """Compare runs of any tool, paired by query, with the statistics of ``bench``.

    Nothing is written; ``store_comparison`` does that.

    Args:
        runs: Two or more files (``runs.read_run``); the others are compared with the first.
        qrels: A file of judgements in any layout that eval sets have, or an eval set.
        options: What is measured.
        progress: Receives the progress of reading the corpus.

    Raises:
        UsageError: Fewer than two runs; a measure that cannot be; no judgement of grade 1 or more.
        InputNotFound: A file is not there.
        Mismatch: A file is no run; or a run and the judgements have no query, or no item, in common.
    """
    started = perf_counter()
    if len(runs) < 2:
        raise UsageError("one run has nothing to be compared with", remedy="qembed compare RUN_A RUN_B")
    check_settings(options)
    measures = parse_measures(options.measures)
    names = _names(runs)
    judged = load_judgements(qrels, options.queries)
    check_grades(judged.qrels, measures[0], judged.file)
    loaded = [_judged_part(read_run(Path(path)), judged.qrels, Path(path)) for path in runs]
    texts = _texts([run for run, _ in loaded], judged, options, progress)
    own = [_own(run, judged, texts) for run, _ in loaded]
    kept = [_without(run, left_out) for (run, _), left_out in zip(loaded, own, strict=True)]
    labels = labels_of(judged.groups, sorted(judged.qrels))
    measured = measure_runs(kept, judged.qrels, measures, options, labels, limit=None)
    compared = tuple(
        Compared(
            name=names[at],
            path=Path(runs[at]),
            run=kept[at],
            missing=tuple(query for query in judged.qrels if not kept[at].get(query)),
            unknown=loaded[at][1],
            own=own[at],
            tied=sum(map(_tied, kept[at].values())),
            rises=_rises(kept[at]),
            measured=found,
        )
        for at, found in enumerate(measured)
    )
    telling = 1 + most_telling([one.comparisons[str(measures[0])] for one in measured[1:]])
    return RunComparison(
        judgements=judged,
        measures=measures,
        runs=compared,
        texts=texts,
        unjudged=tuple(unjudged_results(kept, judged.qrels, pair=(telling, 0))),
        judges=judges_of_runs(
            judged.authors,
            judged.qrels,
            judged.authors.people,
            dict(zip(names, kept, strict=True)),
            measures[0],
            options,
            judged.groups,
            grades=sum(map(len, judged.qrels.values())),
            limit=None,
        ),
        options=options,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=perf_counter() - started,
    )


def _judged_part(run: Run, qrels: Qrels, path: Path) -> tuple[Run, tuple[str, ...]]:
    """What the run found for judged queries, and its other queries."""
    if not run:
        raise Mismatch("the run is empty", where=str(path), remedy="give a run with at least one result")
    if run.keys().isdisjoint(qrels):
        raise Mismatch(
            f"no query of the run is judged: its first is {next(iter(run))!r}, "
            f"the first judged one {next(iter(qrels))!r}",
            where=str(path),
            remedy="give the judgements of these queries: the ids have to be the same",
        )
    kept = {query: scores for query, scores in run.items() if query in qrels}
    items = {item for scores in kept.values() for item in scores}
    judged = {item for grades in qrels.values() for item in grades}
    if items.isdisjoint(judged):
        raise Mismatch(
            f"none of its items is judged for any query: one is {min(items)!r}, a judged one {min(judged)!r}",
            where=str(path),
            remedy="the ids of items have to be the same in run and judgements",
        )
    return kept, tuple(query for query in run if query not in qrels)


def _texts(
    runs: Sequence[Run], judged: Judgements, options: CompareOptions, progress: Progress
) -> dict[str, str]:
    """Texts of the results that are shown, and of results with the id of their query."""
    corpus = options.corpus or judged.corpus
    if corpus is None:
        if options.collection is not None:
            raise UsageError(
                "a collection name, and no corpus whose chunks have it", remedy="--corpus CHUNKS"
            )
        return {}
    shown = {item for run in runs for scores in run.values() for item in ranked(scores)[: SHOWN + 1]}
    wanted = frozenset(shown | {query for run in runs for query in run if query in run[query]})
    texts = texts_of(Path(corpus), wanted, CorpusOptions(collection=options.collection), progress=progress)
    if not texts and options.corpus is not None:
        raise Mismatch(
            f"the corpus has no text of any result, {min(wanted)!r} for one",
            where=str(corpus),
            remedy="give the corpus that was searched; the ids of chunks begin with the collection's name, "
            "see --collection",
        )
    return texts


def _own(run: Run, judged: Judgements, texts: dict[str, str]) -> tuple[str, ...]:
    """Queries that are documents, as of ArguAna and Quora, and found themselves; not if that is relevant."""
    return tuple(
        query
        for query, scores in run.items()
        if query in scores
        and query in texts
        and query in judged.queries
        and not judged.qrels[query].get(query)
        and is_own_text(judged.queries[query], texts[query])
    )


def _without(run: Run, own: Sequence[str]) -> Run:
    left_out = set(own)
    return {
        query: {item: score for item, score in scores.items() if item != query}
        if query in left_out
        else scores
        for query, scores in run.items()
    }


def _tied(scores: dict[str, float]) -> bool:
    first = heapq.nlargest(CUTOFF + 1, scores.values())
    return len(set(first)) < len(first)


def _rises(run: Run) -> bool:
    """Whether the scores of nearly every query with several results rise in the order of the file."""
    orders = [list(scores.values()) for scores in run.values() if len(scores) > 1]
    rising = sum(found[0] < found[-1] and found == sorted(found) for found in orders)
    return rising > RISING * len(orders)


def _names(paths: Sequence[Path]) -> list[str]:
    """The files' names without suffixes where these differ, else as much of the paths as it takes."""
    stems = [Path(path).name.split(".")[0] or Path(path).name for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    whole = [str(path) for path in paths]
    if len(set(whole)) < len(whole):
        raise UsageError("a run is given twice", where=max(whole, key=whole.count))
    return whole
