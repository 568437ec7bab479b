"""Vectors with judged queries asked of them: what ``bench``, ``sweep`` and ``verify`` begin with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qembed.errors import Mismatch, UsageError
from qembed.evaluation.eval_sets.authors import counted_words
from qembed.evaluation.eval_sets.check import check_against
from qembed.evaluation.eval_sets.eval_set import EvalSet, load_eval_set
from qembed.evaluation.eval_sets.findings import KINDS, severity
from qembed.evaluation.retrieve.depth import RESULTS
from qembed.evaluation.systems.side import Side, SideOptions, open_side
from qembed.progress import Progress
from qembed.records import Finding, Qrels


@dataclass(frozen=True, slots=True)
class Judged:
    """Judged queries, asked of vectors.

    Attributes:
        eval_set: Where the judgements come from.
        queries: Query id -> text of the judged queries, then of those that were asked along; of all where
            nothing is judged yet.
        qrels: Over judged units; for each judged query. Empty for each query where nothing is judged yet.
        side: The vectors, with what a search found for each query.
        findings: What is wrong with the eval set, or does not fit the vectors.
    """

    eval_set: EvalSet
    queries: dict[str, str]
    qrels: Qrels
    side: Side
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that cost judgements, or make a judged item impossible to find."""
        return tuple(finding for finding in self.findings if severity(finding) == "error")

    @property
    def answerable(self) -> int:
        """Number of queries with a relevant unit; only these have a value in a measure."""
        return sum(any(grade > 0 for grade in grades.values()) for grades in self.qrels.values())

    @property
    def by_models(self) -> str:
        """How many grades are a model's, in words; empty where people alone judged."""
        grades = sum(map(len, self.eval_set.qrels.values()))
        return counted_words(self.eval_set.authors.by_model(), grades)


def load_judged(folder: Path, split: str | None = None) -> EvalSet:
    """An eval set that can measure something.

    Raises:
        InputNotFound: There is no such eval set.
        UsageError: No query has a relevant item.
        Mismatch: Its files cannot be used.
    """
    eval_set = load_eval_set(Path(folder), split=split)
    if len(eval_set.unanswerable) == len(eval_set.judged):
        raise UsageError(
            "no query has a relevant item: every grade is 0, so no measure is defined",
            where=str(eval_set.folder),
            remedy="grades are 1 and above for what helps; qembed evalset stats shows them",
        )
    return eval_set


def ask(
    eval_set: EvalSet,
    options: SideOptions,
    *,
    results: int = RESULTS,
    texts: int = 1,
    along: Mapping[str, str] | None = None,
    progress: Progress = Progress(),
) -> Judged:
    """Encode the judged queries, search the vectors, and name judged items as the vectors' units are named.

    Args:
        eval_set: As ``load_judged`` gives it.
        options: Which vectors, and how they are asked.
        results: Judged units retrieved per query.
        texts: Distinct texts retrieved per query, at least.
        along: Query id -> text of queries that nobody has judged, which are asked too.
        progress: Receives the progress of every phase.

    Raises:
        Mismatch: None of the relevant items is among the vectors' texts, or as ``open_side``.
        QembedError: As ``open_side``.
    """
    judged = eval_set.judged or eval_set.queries
    queries = {**judged, **(along or {})}
    level = eval_set.card.level
    side = open_side(
        options, queries, level, results=results, texts=texts, qrels=eval_set.qrels, progress=progress
    )
    chunks = {name for names in side.collection.chunks for name in names}
    pages = {page for pages in side.collection.pages for page in pages}
    qrels = side.units.qrels({query: eval_set.qrels.get(query, {}) for query in judged})
    if not eval_set.qrels:
        return Judged(eval_set, queries, qrels, side, eval_set.findings)
    findings = (*eval_set.findings, *check_against(eval_set, chunks, pages))
    for finding in findings:
        if finding.kind == "other-corpus":
            raise Mismatch(finding.reason, where=str(finding.place), remedy=KINDS[finding.kind].remedy)
    relevant = {unit for grades in qrels.values() for unit, grade in grades.items() if grade > 0}
    if relevant.isdisjoint(side.units.texts_of):
        raise Mismatch(
            f"none of the {len(relevant):,} relevant {eval_set.card.level}s of the eval set "
            f"{eval_set.card.name!r} is among these vectors, {min(relevant)!r} for one",
            where=str(side.path),
            remedy="take the eval set of these chunks; qembed evalset check --corpus lists what is missing",
        )
    return Judged(eval_set, queries, qrels, side, findings)


def describe_judged(judged: Judged) -> dict[str, Any]:
    """The eval set, for a JSON document."""
    return {
        "folder": str(judged.eval_set.folder),
        **asdict(judged.eval_set.card),
        "queries": len(judged.queries),
        "answerable": judged.answerable,
        "grades": sum(map(len, judged.eval_set.qrels.values())),
        "grades_by_model": judged.eval_set.authors.by_model(),
        "findings": dict(Counter(finding.kind for finding in judged.findings)),
    }
