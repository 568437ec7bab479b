"""Several runs on one set of judgements: values, intervals, comparisons, and what verdicts rest on.

``bench`` and ``compare`` judge by this alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from qembed.errors import UsageError
from qembed.evaluation.measures import Measure, parse_measure
from qembed.evaluation.retrieve.depth import RESULTS
from qembed.evaluation.statistics.compare import Comparison, Estimate, compare_family, mean_interval
from qembed.evaluation.statistics.holes import BOUNDED, hole_bounds
from qembed.evaluation.statistics.pool import Pool, condensed, could_turn, one_sided
from qembed.evaluation.systems.values import frame_of, seen_by, values_of
from qembed.records import Qrels, Run

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_MEASURES: Final = ("nDCG@10", "recall@10", "recall@100", "MRR@10", "judged@10")
"""What is measured unless something else is asked for; the first decides."""
JUDGED: Final = Measure("judged", 10)


class Settings(Protocol):
    """The part of ``BenchOptions`` that decides verdicts."""

    @property
    def margin(self) -> float:
        """Differences below it do not matter."""

    @property
    def resamples(self) -> int:
        """Resamples of the randomisation test."""

    @property
    def seed(self) -> int:
        """Random seed."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run with its numbers.

    Attributes:
        values: Index query id, a column for each measure.
        estimates: Measure -> mean with interval.
        comparisons: Measure -> comparison with the first run; none for the first run itself and judged@k.
        holes: Lowest and highest difference to the first run in the first measure, whatever the unjudged
            items are; None for the first run, and for measures without bounds.
        pool: How well this run and the first were judged, and whether the verdict rests on that; None for the
            first run, and where nothing is judged.
    """

    values: pd.DataFrame
    estimates: dict[str, Estimate]
    comparisons: dict[str, Comparison]
    holes: tuple[float, float] | None
    pool: Pool | None


def parse_measures(texts: Iterable[str]) -> tuple[Measure, ...]:
    """Measures of a comparison, each once; the first one decides.

    Raises:
        UsageError: One is not a measure; there is none; or the first is ``judged``, which has no better.
    """
    measures = tuple(dict.fromkeys(map(parse_measure, texts)))
    if not measures or measures[0].name == "judged":
        raise UsageError(
            "the first measure is the one that decides; judged@k cannot", remedy="--measure nDCG@10 first"
        )
    return measures


def check_settings(settings: Settings) -> None:
    """Margin, resamples and seed are such that there can be a verdict.

    Raises:
        UsageError: One is too small, or the margin is not a number.
    """
    if not settings.margin >= 0 or settings.resamples < 100 or settings.seed < 0:
        raise UsageError(
            "margin and seed are at least 0, resamples at least 100",
            remedy="leave them out: the defaults are 0.01, 0 and 10,000",
        )


def check_grades(qrels: Qrels, measure: Measure, where: Path) -> None:
    """The measure that decides has a value for at least one query.

    Raises:
        UsageError: No grade reaches its ``rel``.
    """
    if any(grade >= measure.rel for grades in qrels.values() for grade in grades.values()):
        return
    raise UsageError(
        f"no item has a grade of {measure.rel} or more, so {measure} is not defined",
        where=str(where),
        remedy="take a lower rel=, or put another --measure first; qembed evalset stats shows the grades",
    )


def measure_runs(
    runs: Sequence[Run],
    qrels: Qrels,
    measures: Sequence[Measure],
    settings: Settings,
    labels: list[str] | None = None,
    *,
    limit: int | None = RESULTS,
) -> list[Measured]:
    """Every run on every measure, compared with the first; Holm's family is a measure's runs.

    Args:
        runs: Query id -> unit -> score, one per system.
        qrels: Over units.
        measures: The first one decides; none where nothing is judged.
        settings: Margin, resamples and seed.
        labels: The group of each query, in the order of the sorted query ids; None without groups.
        limit: Units that a measure without a cutoff looks at; all when None.
    """
    if limit is None:  # measures without a cutoff see whole runs
        limit = max(RESULTS, *(len(scores) for run in runs for scores in run.values()))
    frames = [frame_of(qrels, run, measures, limit) for run in runs]
    primary = measures[0] if measures else None
    comparisons: list[dict[str, Comparison]] = [{} for _ in runs]
    for measure in measures:
        if measure.name == "judged":
            continue
        name = str(measure)
        family = compare_family(
            {str(at): frame[name] for at, frame in enumerate(frames[1:], start=1)},
            frames[0][name],
            margin=settings.margin,
            resamples=settings.resamples,
            seed=settings.seed,
            groups=labels,
        )
        for at, comparison in family.items():
            comparisons[int(at)][name] = comparison
    holes = [None, *(_holes(qrels, runs[0], run, primary, limit) for run in runs[1:])]
    pools = _pools(runs, qrels, primary, comparisons, holes, settings, labels, limit)
    return [
        Measured(
            values=frame,
            estimates={str(name): mean_interval(frame[name].to_numpy(), groups=labels) for name in frame},
            comparisons=found,
            holes=whatever,
            pool=pool,
        )
        for frame, found, whatever, pool in zip(frames, comparisons, holes, pools, strict=True)
    ]


def _holes(
    qrels: Qrels, against: Run, run: Run, measure: Measure | None, limit: int
) -> tuple[float, float] | None:
    if measure is None or measure.name not in BOUNDED:
        return None
    return hole_bounds(qrels, seen_by(measure, against, limit), seen_by(measure, run, limit), measure)


def _pools(
    runs: Sequence[Run],
    qrels: Qrels,
    measure: Measure | None,
    comparisons: Sequence[dict[str, Comparison]],
    holes: Sequence[tuple[float, float] | None],
    settings: Settings,
    labels: list[str] | None,
    limit: int,
) -> list[Pool | None]:
    """For each run; the comparison on judged units alone is made where any verdict rests on the pool."""
    if measure is None or not qrels:
        return [None] * len(runs)
    shares = [_judged(qrels, run) for run in runs]
    made: list[Pool | None] = [None]
    for share, found, whatever in zip(shares[1:], comparisons[1:], holes[1:], strict=True):
        turns = could_turn(whatever, found[str(measure)])
        made.append(Pool(share, shares[0], one_sided(share, shares[0]), turns, None))
    if not any(pool and pool.doubtful for pool in made):
        return made
    values = [values_of(qrels, condensed(run, qrels), measure, limit) for run in runs]
    family = compare_family(
        {str(at): column for at, column in enumerate(values[1:], start=1)},
        values[0],
        margin=settings.margin,
        resamples=settings.resamples,
        seed=settings.seed,
        groups=labels,
    )
    return [
        replace(pool, condensed=family[str(at)]) if pool and pool.doubtful else pool
        for at, pool in enumerate(made)
    ]


def _judged(qrels: Qrels, run: Run) -> float:
    """Share of the first ten results that are judged, mean over queries; 1 where nothing was found at all."""
    values = values_of(qrels, run, JUDGED)
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 1.0
