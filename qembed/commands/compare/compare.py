"""``compare``: which run is better, by how much, and can these queries tell? No model is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qembed.errors import Mismatch, UsageError
from qembed.evaluation.eval_sets.beir import read_qrels
from qembed.evaluation.eval_sets.runs import read_run
from qembed.evaluation.measures import Measure
from qembed.evaluation.systems.measured import Measured, check_grades, measure_runs, parse_measures
from qembed.records import Finding
from qembed.store import describe_finding

SCHEMA = "qembed.compare/1"
MEASURES = ("nDCG@10", "recall@10", "recall@100", "MRR@10", "judged@10")


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How runs are compared.

    Attributes:
        measures: The first one decides.
        margin: Differences up to this, either way, are not worth having.
        resamples: Number of resamples of the randomisation test.
        seed: Random seed.
    """

    measures: tuple[str, ...] = MEASURES
    margin: float = 0.01
    resamples: int = 10_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """One run with its numbers.

    Attributes:
        name: Name of its file, without what all files share; no two runs have one name.
        path: Its file.
        missing: Judged queries that it does not answer; each counts 0.
        unknown: Queries that it answers and nobody has judged; they are left out.
        measured: Its numbers, compared with the first run.
    """

    name: str
    path: Path
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    measured: Measured


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Runs compared with the first one.

    Attributes:
        qrels: The file of judgements.
        queries: Judged queries.
        answerable: Queries with a relevant item; the others have no value.
        measures: In the order of the columns.
        runs: In the order given.
        findings: What is wrong with the file of judgements.
        options: As asked for.
    """

    qrels: Path
    queries: int
    answerable: int
    measures: tuple[Measure, ...]
    runs: tuple[Compared, ...]
    findings: tuple[Finding, ...]
    options: CompareOptions


def compare_runs(
    runs: Sequence[Path], qrels: Path, options: CompareOptions = CompareOptions()
) -> RunComparison:
    """Compare runs of any tool, paired by query, with the statistics of ``bench``.

    Args:
        runs: Two or more files (``runs.read_run``); the others are compared with the first.
        qrels: A file of judgements, in any layout that eval sets have.
        options: What is measured.

    Raises:
        UsageError: Fewer than two runs; a measure that cannot be; no judgement of grade 1 or more.
        InputNotFound: A file is not there.
        Mismatch: A file is no run; or a run and the judgements have no query in common.
    """
    if len(runs) < 2:
        raise UsageError("one run has nothing to be compared with", remedy="qembed compare RUN_A RUN_B")
    measures = parse_measures(options.measures)
    findings: list[Finding] = []
    judged = {
        query: {item: max(grade, 0) for item, grade in grades.items()}
        for query, grades in read_qrels(Path(qrels), findings.append).items()
    }
    check_grades(judged, measures[0], Path(qrels))
    answerable = sum(any(grade >= measures[0].rel for grade in grades.values()) for grades in judged.values())
    loaded = [read_run(Path(path)) for path in runs]
    for path, run in zip(runs, loaded, strict=True):
        if not run:
            raise Mismatch("the run is empty", where=str(path), remedy="give a run with at least one result")
        if run.keys().isdisjoint(judged):
            raise Mismatch(
                f"no query of the run is judged: its first is {next(iter(run))!r}, "
                f"the first judged one {next(iter(judged))!r}",
                where=str(path),
                remedy="give the judgements of these queries: the ids have to be the same",
            )
    measured = measure_runs(loaded, judged, measures, options, limit=None)
    compared = tuple(
        Compared(
            name=name,
            path=Path(path),
            missing=tuple(query for query in judged if not run.get(query)),
            unknown=tuple(query for query in run if query not in judged),
            measured=found,
        )
        for name, path, run, found in zip(_names(runs), runs, loaded, measured, strict=True)
    )
    return RunComparison(Path(qrels), len(judged), answerable, measures, compared, tuple(findings), options)


def compare_document(found: RunComparison) -> dict[str, Any]:
    """One JSON document."""
    return {
        "schema": SCHEMA,
        "qrels": str(found.qrels),
        "queries": found.queries,
        "answerable": found.answerable,
        "measures": [str(measure) for measure in found.measures],
        "runs": [
            {
                "name": one.name,
                "path": str(one.path),
                "missing_queries": list(one.missing),
                "unjudged_queries": len(one.unknown),
                "estimates": {name: asdict(found) for name, found in one.measured.estimates.items()},
                "comparisons": {name: asdict(found) for name, found in one.measured.comparisons.items()},
                "difference_whatever_the_holes": one.measured.holes,
                "pool": None if one.measured.pool is None else asdict(one.measured.pool),
            }
            for one in found.runs
        ],
        "findings": [describe_finding(finding) for finding in found.findings],
        "options": asdict(found.options),
    }


def _names(paths: Sequence[Path]) -> list[str]:
    """The files' names without suffixes where these differ, else as much of the paths as it takes."""
    stems = [Path(path).name.split(".")[0] for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    whole = [str(path) for path in paths]
    if len(set(whole)) < len(whole):
        raise UsageError("a run is given twice", where=max(whole, key=whole.count))
    return whole
