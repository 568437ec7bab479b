"""``evalset merge-judgements``: what people judged in a report goes into the qrels, with who and when.

Every judgement that is merged is written to ``judgements.jsonl`` in the eval set's folder, whatever became of
it, so that no grade is ever lost: not the one that a conflict leaves out, and not the one that was replaced.
A person's grade replaces that of a language model, and a model's never that of a person (``authors``).
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
from qembed.commands.evalset.judgement_file import HEADER, Judgement, judgement_line, read_judgements
from qembed.errors import Mismatch, UsageError
from qembed.evaluation.eval_sets.authors import LOG, authors_of, is_model, judged_by_words, read_log
from qembed.evaluation.eval_sets.beir import qrels_rows, read_qrels
from qembed.evaluation.eval_sets.card import read_card, write_card
from qembed.evaluation.eval_sets.columns import layout_to_write
from qembed.evaluation.eval_sets.eval_set import EvalSet, load_eval_set, relevance
from qembed.evaluation.eval_sets.findings import refuse
from qembed.evaluation.eval_sets.lines import text_lines, write_lines
from qembed.evaluation.statistics.kappa import Kappa, cohens_kappa
from qembed.report.standing import Standing, same_command, standing
from qembed.report.stored import read_bench
from qembed.store import locked

Outcome: TypeAlias = Literal["added", "same", "kept", "replaced", "outranked"]
OnConflict: TypeAlias = Literal["keep", "replace"]


@dataclass(frozen=True, slots=True)
class Merged:
    """A judgement and what became of it.

    Attributes:
        judgement: As it was given.
        outcome: ``added``; ``same`` as what was there; of a conflict, which the qrels keep or replace;
            ``outranked``: a model's grade that differs from a person's, which stays.
        before: The grade that was there; None where there was none.
        of_model: The grade that was there is a model's.
    """

    judgement: Judgement
    outcome: Outcome
    before: int | None
    of_model: bool = False


@dataclass(frozen=True, slots=True)
class MergedJudgements:
    """What ``merge_judgements`` did.

    Attributes:
        qrels: The file that was added to.
        log: Every judgement ever merged.
        merged: In the order of the files.
        judgements: Rows of the qrels now.
        standing: How the comparison of the bench stands now; None without a bench, or with one system.
        again: The command that benches with these judgements; empty where it is not known.
    """

    qrels: Path
    log: Path
    merged: tuple[Merged, ...]
    judgements: int
    standing: Standing | None = None
    again: str = ""

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
        """Grades that differ from what was there, of two people or of two models."""
        return tuple(
            entry
            for entry in self.merged
            if entry.outcome in ("kept", "replaced") and entry.of_model == is_model(entry.judgement.judge)
        )

    @property
    def overruled(self) -> int:
        """Grades of models that differ from a person's, which holds."""
        return sum(
            entry.outcome == "outranked"
            or (entry.outcome == "replaced" and entry.of_model and not is_model(entry.judgement.judge))
            for entry in self.merged
        )


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
        on_conflict: Which grade holds where one is there already, of two people or of two models; both are
            in the log. A person's grade outranks a model's in any case.
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
    stands = None if stored is None else standing(stored, relevance(read_qrels(found.qrels_file)))
    return replace(done, standing=stands, again=same_command(stored, found.folder) if stored else "")


def _merge(
    found: EvalSet, given: Sequence[Judgement], on_conflict: OnConflict, dry_run: bool
) -> MergedJudgements:
    """The qrels are read and written under one lock: another merge would be undone otherwise."""
    qrels, file, judged_by = read_qrels(found.qrels_file), found.qrels_file, found.card.judged_by
    by_models = set(authors_of(qrels, read_log(found.folder), file.stem, judged_by).models)
    merged = []
    for entry in given:
        pair, grades = (entry.query_id, entry.item_id), qrels.setdefault(entry.query_id, {})
        before = grades.get(entry.item_id)
        outcome = _outcome(before, entry, pair in by_models, on_conflict)
        merged.append(Merged(entry, outcome, before, pair in by_models))
        if outcome in ("added", "replaced"):
            grades[entry.item_id] = entry.grade
        if outcome == "added" and is_model(entry.judge):
            by_models.add(pair)
        elif outcome in ("same", "replaced") and not is_model(entry.judge):
            by_models.discard(pair)
    log = found.folder / LOG
    if merged and not dry_run:
        _append_log(log, merged, file)
        _write_qrels(file, merged)
        _mark_card(found)
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
    rows = [judgement_line(*item, "", comment="; ".join(grades)) for item, grades in said.items()]
    write_lines(path, ["\t".join(HEADER), *rows])


def _outcome(before: int | None, entry: Judgement, of_model: bool, on_conflict: OnConflict) -> Outcome:
    """``of_model``: the grade that is there is a model's."""
    if before is None:
        return "added"
    if before == entry.grade:
        return "same"
    if of_model != is_model(entry.judge):
        return "replaced" if of_model else "outranked"
    return "kept" if on_conflict == "keep" else "replaced"


def _append_log(path: Path, merged: Sequence[Merged], qrels: Path) -> None:
    """Written anew, so that it is whole or as before; what it has already is not repeated."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entries = read_log(path.parent)
    lines, logged = [orjson.dumps(entry).decode() for entry in entries], set(map(_key, entries))
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


def _mark_card(eval_set: EvalSet) -> None:
    """Say on the card that a model judged, so that it is also said where the log is lost."""
    found = load_eval_set(eval_set.folder, split=eval_set.card.split, judged=False)
    named = judged_by_words(found.authors, found.card.judged_by)
    if found.authors.graded and named != found.card.judged_by:
        write_card(eval_set.folder, replace(read_card(eval_set.folder), judged_by=named))


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
