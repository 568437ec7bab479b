"""How judging looks: what a model would be asked, what it graded, and what became of merged judgements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qembed.report.words import plural
from qembed.shell import shell_line

if TYPE_CHECKING:
    from qembed.commands.evalset.judge import JudgePlan, JudgeResult
    from qembed.commands.evalset.judgements import MergedJudgements

MERGED_SCHEMA = "qembed.evalset-merged/1"
JUDGED_SCHEMA = "qembed.evalset-judged/1"


def render_plan(plan: JudgePlan, price: float | None) -> Iterator[str]:
    """What would be sent, and the rubric."""
    from qembed.evaluation.judge.rubric import MAX_CHARACTERS, RUBRIC

    yield RUBRIC
    yield ""
    cost = "" if price is None else f", about {plan.tokens * price / 1e6:.2f} at {price:g} per million"
    yield f"{plural(len(plan.pairs), 'result')} to grade, about {plan.tokens:,} tokens{cost}."
    if plan.checks:
        yield f"{plan.checks:,} of them are judged by people: they show how far the model agrees."
    if plan.done:
        yield f"{plural(plan.done, 'result')} graded before; they are not asked again."
    if plan.truncated:
        yield f"{plural(plan.truncated, 'result')} truncated to {MAX_CHARACTERS:,} characters."


def render_judged(done: JudgeResult) -> Iterator[str]:
    """What was graded."""
    grades = ", ".join(f"grade {grade}: {count:,}" for grade, count in done.grades.items())
    yield f"{done.file}: {plural(sum(done.grades.values()), 'result')} graded ({grades or 'none'})"
    if done.tokens_in:
        yield f"{done.tokens_in:,} tokens sent, {done.tokens_out:,} answered."
    for query, unit, answer in done.unusable:
        yield f"  no grade: query {query!r}, item {unit!r}: {answer!r}"
    yield f"next: {shell_line('qembed', 'evalset', 'merge-judgements', 'FOLDER', done.file)}"


def judged_document(done: JudgeResult) -> dict[str, Any]:
    """One JSON document."""
    return {
        "schema": JUDGED_SCHEMA,
        "file": str(done.file),
        "grades": {str(grade): count for grade, count in done.grades.items()},
        "unusable": [
            {"query_id": query, "item_id": unit, "answer": answer} for query, unit, answer in done.unusable
        ],
        "tokens_in": done.tokens_in,
        "tokens_out": done.tokens_out,
    }


def merged_document(merged: MergedJudgements, *, dry_run: bool) -> dict[str, Any]:
    """Every judgement with what became of it, as one JSON document."""
    return {
        "schema": MERGED_SCHEMA,
        "dry_run": dry_run,
        "qrels": str(merged.qrels),
        "log": str(merged.log),
        "judgements": merged.judgements,
        "next": merged.again,
        "standing": merged.standing
        and {
            "system": merged.standing.system,
            "baseline": merged.standing.baseline,
            **asdict(merged.standing.outlook),
        },
        "agreements": [
            {"judges": list(judges), **{key: _nan_free(value) for key, value in asdict(found).items()}}
            for judges, found in merged.agreements.items()
        ],
        "merged": [
            {**asdict(entry.judgement), "outcome": entry.outcome, "grade_before": entry.before}
            for entry in merged.merged
        ],
    }


def _nan_free(value: Any) -> Any:
    return None if value != value else value


def render_merged(merged: MergedJudgements, *, dry_run: bool) -> Iterator[str]:
    """What was added, and every conflict."""
    would = "would be " if dry_run else ""
    yield (
        f"{merged.qrels}: {merged.count('added'):,} {would}added, {merged.count('same'):,} the same, "
        f"{merged.count('replaced'):,} {would}replaced, {merged.count('kept'):,} kept as they were; "
        f"{plural(merged.judgements, 'judgement')} {'then' if dry_run else 'now'}"
    )
    for judges, found in merged.agreements.items():
        kappa = f"Cohen's kappa {found.kappa:.2f} ({found.low:.2f} to {found.high:.2f})"
        if found.kappa != found.kappa:
            kappa = "only one grade was given, so kappa says nothing"
        yield (
            f"{' and '.join(judges)}: {plural(found.items, 'item')} graded by both, "
            f"{found.agreement:.0%} alike, {kappa}"
        )
    for entry in merged.conflicts:
        given = entry.judgement
        what = "stays" if entry.outcome == "kept" else f"becomes {given.grade}"
        yield (
            f"  conflict: query {given.query_id!r}, item {given.item_id!r}: {entry.before} {what}; "
            f"{given.judge} says {given.grade} ({given.file}, line {given.line})"
        )
    if merged.overruled:
        differs = "grade of a model differs" if merged.overruled == 1 else "grades of models differ"
        yield f"{merged.overruled:,} {differs} from a person's, which holds."
    if merged.count("kept"):
        yield "To decide them: --conflicts FILE, fill in the score, and merge it with --on-conflict replace."
    if merged.standing is not None:
        yield merged.standing.words
    if not dry_run:
        yield f"Who judged what, and when: {merged.log}"
        if merged.again:
            yield f"next: {merged.again}"
