"""``evalset merge-judgements``: what people judged in a report goes into the qrels, with who and when.

Every judgement that is merged is written to ``judgements.jsonl`` in the eval set's folder, whatever became of
it, so that no grade is ever lost: not the one that a conflict leaves out, and not the one that was replaced.
The rows of the qrels stay as they are and where they are; only a replaced grade changes, and new rows come
last. Merging a file twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, TypeAlias

import orjson

from qembed.commands.evalset.from_bench import begin_eval_set
from qembed.errors import InputNotFound, Mismatch, UsageError
from qembed.evaluation.eval_sets.beir import check_ids, parse_grade, qrels_rows, read_qrels
from qembed.evaluation.eval_sets.card import write_card
from qembed.evaluation.eval_sets.columns import layout_to_write
from qembed.evaluation.eval_sets.eval_set import EvalSet, load_eval_set
from qembed.evaluation.eval_sets.findings import refuse
from qembed.evaluation.eval_sets.lines import text_lines, write_lines
from qembed.evaluation.judge.rubric import JUDGE_PREFIX
from qembed.evaluation.statistics.kappa import Kappa, cohens_kappa
from qembed.report.standing import Standing, standing
from qembed.report.stored import read_bench
from qembed.store import locked

LOG = "judgements.jsonl"
HEADER = ("query-id", "corpus-id", "score", "judge", "judged-at", "comment", "need")
UNKNOWN = "unknown"

Outcome: TypeAlias = Literal["added", "same", "kept", "replaced"]
OnConflict: TypeAlias = Literal["keep", "replace"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One grade that somebody gave.

    Attributes:
        query_id: The query.
        item_id: The chunk or page.
        grade: 0 or more.
        judge: Who; ``unknown`` where nobody said.
        judged_at: UTC time, ISO 8601; of a file that does not say, when it was written.
        file: Name of the file that it came from.
        line: Its line there, from 1.
        comment: What the judge wrote beside the grade.
        need: What would answer the query, in the judge's words.
    """

    query_id: str
    item_id: str
    grade: int
    judge: str
    judged_at: str
    file: str
    line: int
    comment: str = ""
    need: str = ""


@dataclass(frozen=True, slots=True)
class Merged:
    """A judgement and what became of it.

    Attributes:
        judgement: As it was given.
        outcome: ``added``; ``same`` as what was there; of a conflict, which the qrels keep or replace.
        before: The grade that was there; None where there was none.
    """

    judgement: Judgement
    outcome: Outcome
    before: int | None


@dataclass(frozen=True, slots=True)
class MergedJudgements:
    """What ``merge_judgements`` did.

    Attributes:
        qrels: The file that was added to.
        log: Every judgement ever merged.
        merged: In the order of the files.
        judgements: Rows of the qrels now.
        standing: How the comparison of the bench stands now; None without a bench, or with one system.
    """

    qrels: Path
    log: Path
    merged: tuple[Merged, ...]
    judgements: int
    standing: Standing | None = None

    def count(self, outcome: Outcome) -> int:
        """How many ended so."""
        return sum(entry.outcome == outcome for entry in self.merged)

    @property
    def agreements(self) -> dict[tuple[str, str], Kappa]:
        """Agreement of every two judges of these files who graded the same items."""
        grades: dict[str, dict[tuple[str, str], int]] = {}
        for entry in self.merged:
            given = entry.judgement
            grades.setdefault(given.judge, {})[given.query_id, given.item_id] = given.grade
        found = {}
        for one, other in combinations(grades, 2):
            shared = [
                (grades[one][item], grades[other][item]) for item in grades[one] if item in grades[other]
            ]
            if shared:
                found[one, other] = cohens_kappa(shared)
        return found

    @property
    def conflicts(self) -> tuple[Merged, ...]:
        """Grades that differ from what was there."""
        return tuple(entry for entry in self.merged if entry.outcome in ("kept", "replaced"))


def merge_judgements(
    eval_set: Path,
    files: Sequence[Path],
    *,
    split: str | None = None,
    judge: str | None = None,
    on_conflict: OnConflict = "keep",
    bench: Path | None = None,
    dry_run: bool = False,
) -> MergedJudgements:
    """Merge judgements into the qrels of an eval set, which is made out of a bench where there is none yet.

    All files are read before anything is written. The log is written before the qrels: after a crash between
    the two, the same command completes the work.

    Args:
        eval_set: Its folder.
        files: As a report exports them: query id, item id, grade, and, where known, who and when.
        split: Which qrels; the card's when None.
        judge: Who judged what does not say so itself.
        on_conflict: Which grade holds where one is there already; both are in the log.
        bench: A stored bench, or a folder of reports, of which the newest is taken: its questions make a new
            eval set where there is none, and the result says how its comparison stands.
        dry_run: Say what would be done, and write nothing.

    Raises:
        UsageError: The eval set has other questions than the bench, or is to be made without writing.
        InputNotFound: The eval set or a file is not there.
        Mismatch: A line is no judgement, or of a query that the eval set does not have.
        QembedError: Another program is merging into it, or the disk cannot be written.
    """
    stored = None if bench is None else read_bench(bench)
    if stored is not None:
        if dry_run:
            raise UsageError("a dry run makes no eval set", remedy="leave --bench or --dry-run out")
        begin_eval_set(Path(eval_set), stored)
    found = load_eval_set(Path(eval_set), split=split, judged=False)
    given = [entry for path in files for entry in read_judgements(Path(path), judge=judge)]
    for entry in given:
        if entry.query_id not in found.queries:
            raise Mismatch(
                f"the eval set has no query {entry.query_id!r}",
                where=f"{entry.file}, line {entry.line}",
                remedy="merge into the eval set that the report was made with",
            )
    with nullcontext() if dry_run else locked(found.qrels_file):
        done = _merge(found, given, on_conflict, dry_run)
    stands = None if stored is None else standing(stored, read_qrels(found.qrels_file))
    return replace(done, standing=stands)


def _merge(
    found: EvalSet, given: Sequence[Judgement], on_conflict: OnConflict, dry_run: bool
) -> MergedJudgements:
    """The qrels are read and written under one lock: another merge would be undone otherwise."""
    qrels = read_qrels(found.qrels_file)
    merged = []
    for entry in given:
        grades = qrels.setdefault(entry.query_id, {})
        before = grades.get(entry.item_id)
        outcome = _outcome(before, entry.grade, on_conflict)
        merged.append(Merged(entry, outcome, before))
        if outcome in ("added", "replaced"):
            grades[entry.item_id] = entry.grade
    log = found.folder / LOG
    if merged and not dry_run:
        _append_log(log, merged, found.qrels_file)
        _write_qrels(found.qrels_file, merged)
        _mark_card(found, log)
    return MergedJudgements(found.qrels_file, log, tuple(merged), sum(map(len, qrels.values())))


def write_conflicts(path: Path, conflicts: Sequence[Merged]) -> None:
    """Write the items with several grades, each once, to be decided: the score is left empty.

    Filled in, the file is merged with ``on_conflict="replace"``.
    """
    said: dict[tuple[str, str], list[str]] = {}
    for entry in conflicts:
        given = entry.judgement
        grades = said.setdefault((given.query_id, given.item_id), [f"there: {entry.before}"])
        grades.append(f"{given.judge}: {given.grade}" + (f" ({given.comment})" if given.comment else ""))
    rows = ["\t".join([*item, "", "", "", "; ".join(grades), ""]) for item, grades in said.items()]
    write_lines(path, ["\t".join(HEADER), *rows])


def read_judgements(path: Path, *, judge: str | None = None) -> list[Judgement]:
    """The judgements of a file: three columns as in qrels, or five with who and when, or seven
    with comment and need; tabs between them.

    Raises:
        InputNotFound: The file is not there.
        Mismatch: A line is no judgement.
    """
    path = Path(path)
    entries = []
    for number, line in text_lines(path, refuse):
        fields = [field.strip() for field in line.split("\t")]
        if tuple(fields[:3]) == HEADER[:3]:
            continue
        entries.append(_judgement(fields, judge, path, number))
    if not entries:
        raise InputNotFound(
            "no judgement in the file", where=str(path), remedy="export it from a report after judging"
        )
    return entries


def _judgement(fields: list[str], judge: str | None, path: Path, line: int) -> Judgement:
    where = f"{path}, line {line}"
    if len(fields) not in (3, 5, 6, 7) or not all(fields[:3]):
        raise Mismatch(
            f"{len(fields)} columns; expected {', '.join(HEADER)} with tabs between them",
            where=where,
            remedy="export it again; nothing was merged",
        )
    query_id, item_id, grade, who, when, comment, need = [*fields, "", "", "", ""][:7]
    if (relevance := parse_grade(grade)) is None or relevance < 0:
        raise Mismatch(
            f"the grade {grade!r} is not a whole number of 0 or more",
            where=where,
            remedy="0 does not help, 1 helps, 2 answers the query; nothing was merged",
        )
    check_ids({query_id: None, item_id: None}, "beir", path)
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return Judgement(
        query_id,
        item_id,
        relevance,
        who or judge or UNKNOWN,
        when or written,
        path.name,
        line,
        comment,
        need,
    )


def _outcome(before: int | None, grade: int, on_conflict: OnConflict) -> Outcome:
    if before is None:
        return "added"
    if before == grade:
        return "same"
    return "kept" if on_conflict == "keep" else "replaced"


def _append_log(path: Path, merged: Sequence[Merged], qrels: Path) -> None:
    """Written anew, so that it is whole or as before; what it has already is not repeated."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    lines = [line for _, line in text_lines(path, refuse)] if path.is_file() else []
    logged = {_logged_key(path, line) for line in lines}
    for entry in merged:
        document = {
            **asdict(entry.judgement),
            "outcome": entry.outcome,
            "grade_before": entry.before,
            "qrels": qrels.name,
            "merged_at": now,
        }
        if _key(document) not in logged or entry.outcome == "replaced":
            lines.append(orjson.dumps(document).decode())
    write_lines(path, lines)


def _logged_key(path: Path, line: str) -> tuple[Any, ...]:
    try:
        return _key(orjson.loads(line))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise Mismatch(
            f"a line of the log is no judgement: {line[:60]!r}",
            where=str(path),
            remedy="restore the log from a copy, or move it away; nothing was merged",
        ) from None


def _mark_card(eval_set: EvalSet, log: Path) -> None:
    """Say on the card that a model judged, so that every report says it."""
    judges = {orjson.loads(line)["judge"] for _, line in text_lines(log, refuse)}
    models = sorted(judge.removeprefix(JUDGE_PREFIX) for judge in judges if judge.startswith(JUDGE_PREFIX))
    if not models:
        return
    before = eval_set.card.judged_by
    alone = len(models) == len(judges) and before in ("", "people")
    named = f"a language model ({', '.join(models)})" if alone else f"people and {', '.join(models)}"
    if not all(model in before for model in models):
        write_card(eval_set.folder, replace(eval_set.card, judged_by=named))


def _key(logged: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(logged[key] for key in ("query_id", "item_id", "grade", "judge", "judged_at", "qrels"))


def _write_qrels(path: Path, merged: Sequence[Merged]) -> None:
    """Every line as it was, but for replaced grades; then the new rows, in the form of the file."""
    final = {
        (e.judgement.query_id, e.judgement.item_id): e for e in merged if e.outcome in ("added", "replaced")
    }
    if not final:
        return
    rows = {row.line: (row.query_id, row.item_id) for row in qrels_rows(path, refuse)}
    there = set(rows.values())
    before = list(text_lines(path, refuse))
    layout = layout_to_write(before[0][1])

    def lines() -> Iterator[str]:
        for number, line in before:
            entry = final.get(rows[number]) if number in rows else None
            yield line if entry is None else layout.regraded(line, entry.judgement.grade)
        for pair, entry in final.items():
            if pair not in there:
                yield layout.row(*pair, entry.judgement.grade)

    write_lines(path, lines())
