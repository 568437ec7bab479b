"""``evalset judge``: a language model grades what nobody has judged, and its grades carry its name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from qembed.commands.evalset.judgement_file import HEADER, judgement_line, read_judgements
from qembed.errors import Unreachable, UsageError
from qembed.evaluation.eval_sets.authors import MODEL_PREFIX
from qembed.evaluation.eval_sets.beir import check_ids
from qembed.evaluation.judge.endpoint import Answer, Endpoint
from qembed.evaluation.judge.rubric import MAX_CHARACTERS, estimated_tokens, grade_of, messages
from qembed.progress import Progress
from qembed.report.explorer import judgeable
from qembed.report.stored import StoredBench, read_bench
from qembed.store import explained

WORKERS = 4
CHECKS = 50
"""Results judged by people that the model grades too, so that its agreement with them is known."""


class Pair(NamedTuple):
    """A result to be graded."""

    query_id: str
    unit: str
    query: str
    text: str


@dataclass(frozen=True, slots=True)
class JudgePlan:
    """What would be sent.

    Attributes:
        pairs: Results to be graded: those that people have judged, then the most decisive ones first.
        checks: How many of them people have judged.
        done: Results that the file has already.
        tokens: Estimate of the tokens that are sent.
        truncated: Results that are longer than what is sent.
    """

    pairs: tuple[Pair, ...]
    checks: int
    done: int
    tokens: int
    truncated: int


@dataclass(frozen=True, slots=True)
class JudgeResult:
    """What a model graded.

    Attributes:
        file: Where the grades are.
        grades: Grade -> how many were given in this run.
        unusable: Results whose answer was no grade, with that answer: query id, unit, answer.
        tokens_in: Tokens sent, as the endpoint counts them; 0 where it does not say.
        tokens_out: Tokens answered.
    """

    file: Path
    grades: dict[int, int]
    unusable: tuple[tuple[str, str, str], ...]
    tokens_in: int
    tokens_out: int


def judge_plan(bench: Path, output: Path, *, limit: int | None = None, checks: int = CHECKS) -> JudgePlan:
    """What is left to grade of a stored bench; nothing is sent.

    Args:
        bench: A stored bench, or a folder of reports, of which the newest is taken.
        output: The file of grades; what it has is not asked again.
        limit: At most so many results, with those that the file has already; all when None.
        checks: At most so many results that people have judged, drawn at random, once and for all.

    Raises:
        UsageError: Everything is judged.
        InputNotFound: There is no stored bench.
    """
    stored = read_bench(bench)
    known = _graded(output)
    unjudged, judged = _pairs(stored)
    if not unjudged and stored.unjudged and not judgeable(stored):
        raise UsageError(
            "the texts of its results are not known, so nobody can judge them",
            where=str(stored.folder),
            remedy="compare again with --queries and --corpus",
        )
    if not unjudged and not known:
        raise UsageError("every result among the first ten is judged", where=str(stored.folder))
    drawn = sorted(judged, key=lambda pair: sha256("\t".join(pair[:2]).encode()).digest())[:checks]
    pairs = tuple(pair for pair in [*drawn, *unjudged][:limit] if pair[:2] not in known)
    return JudgePlan(
        pairs,
        sum(pair in drawn for pair in pairs),
        len(known),
        sum(estimated_tokens(pair.query, pair.text) for pair in pairs),
        sum(len(pair.text) > MAX_CHARACTERS for pair in pairs),
    )


def judge(
    plan: JudgePlan, endpoint: Endpoint, output: Path, *, progress: Progress = Progress()
) -> JudgeResult:
    """Ask for a grade of each pair and append it to the file at once, so that nothing paid for is lost.

    Args:
        plan: As ``judge_plan`` gives it.
        endpoint: Address of the model.
        output: The file of grades, as a report exports them.
        progress: Receives the progress of every grade.

    Raises:
        Unreachable: The endpoint cannot be reached, refuses, or stays busy; what was graded is kept.
    """
    name = f"{MODEL_PREFIX}{endpoint.model}"
    grades: dict[int, int] = {}
    unusable: list[tuple[str, str, str]] = []
    sent = answered = 0
    progress.phase("judging", total=len(plan.pairs), unit="results")
    with explained(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("a", encoding="utf-8") as file:
            if file.tell() == 0:
                file.write("\t".join(HEADER) + "\n")
            for pair, answer in _answers(plan.pairs, endpoint):
                sent, answered = sent + answer.tokens_in, answered + answer.tokens_out
                grade = grade_of(answer.text)
                progress.advance(1)
                if grade is None:
                    unusable.append((pair.query_id, pair.unit, answer.text[:80]))
                    continue
                grades[grade] = grades.get(grade, 0) + 1
                now = datetime.now(UTC).isoformat(timespec="seconds")
                file.write(judgement_line(pair.query_id, pair.unit, grade, name, now) + "\n")
                file.flush()
                os.fsync(file.fileno())
    return JudgeResult(output, dict(sorted(grades.items())), tuple(unusable), sent, answered)


def _answers(pairs: Sequence[Pair], endpoint: Endpoint) -> Iterator[tuple[Pair, Answer]]:
    """As they come. After the first error nothing more is asked; what is under way still comes."""
    failed: Unreachable | None = None
    with ThreadPoolExecutor(WORKERS) as pool:
        asked: dict[Future[Answer], Pair] = {
            pool.submit(endpoint.ask, messages(pair.query, pair.text)): pair for pair in pairs
        }
        waiting = set(asked)
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    try:
                        yield asked[future], future.result()
                    except Unreachable as error:
                        failed = failed or error
                        pool.shutdown(wait=False, cancel_futures=True)
                waiting = {future for future in waiting if not future.cancelled()}  # nobody tells of those
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if failed is not None:
        raise failed


def _graded(output: Path) -> set[tuple[str, str]]:
    if not output.is_file() or output.stat().st_size == 0:
        return set()
    text = output.read_text(encoding="utf-8")
    if not text.endswith("\n"):  # killed within a line: it is asked again
        output.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
    if output.read_text(encoding="utf-8").count("\n") <= 1:
        return set()
    return {(entry.query_id, entry.item_id) for entry in read_judgements(output)}


def _pairs(stored: StoredBench) -> tuple[list[Pair], list[Pair]]:
    """Unjudged results, the most decisive first; and shown results that people have judged."""
    found: dict[tuple[str, str], Pair] = {}
    by_people = []
    for line in stored.shown:
        for shown in line["systems"].values():
            for hit in shown["hits"]:
                text = stored.texts.get((shown["side"], hit["chunk_id"]), {"text": ""})["text"]
                key = str(line["query_id"]), str(hit["unit"])
                found.setdefault(key, Pair(*key, str(line["text"]), str(text)))
        own = line["judged"].keys() - line.get("by_models", {}).keys()
        by_people += [(str(line["query_id"]), str(unit)) for unit in own]
    unjudged = [(query, unit) for query, unit, *_ in judgeable(stored)]
    for query, unit in unjudged:
        check_ids({query: None, unit: None}, "beir", stored.folder)
    return [found[key] for key in unjudged], [
        found[key] for key in by_people if key in found and found[key].query and found[key].text
    ]
