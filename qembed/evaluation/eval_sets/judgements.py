"""Judgements for runs: those of an eval set, or a file of qrels that lies anywhere.

Runs need no texts, so no judged query is left out here; where the file lies in an eval set, its card, its
texts and its groups are known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from qembed.errors import InputNotFound, Mismatch
from qembed.evaluation.eval_sets.authors import Authors, authors_of, read_log
from qembed.evaluation.eval_sets.beir import read_qrels, read_queries
from qembed.evaluation.eval_sets.bundled import QUERIES, find_eval_set
from qembed.evaluation.eval_sets.card import Card, read_card
from qembed.evaluation.eval_sets.corpora import BEIR_CORPUS
from qembed.evaluation.eval_sets.eval_set import qrels_file, queries_file, relevance
from qembed.evaluation.eval_sets.groups import Groups, query_groups, read_groups
from qembed.evaluation.eval_sets.questions import read_questions
from qembed.records import Finding, OnFinding, Qrels


@dataclass(frozen=True, slots=True)
class Judgements:
    """Judged queries.

    Attributes:
        file: The file of qrels.
        folder: The eval set that it is of; None for a file of its own.
        card: What the eval set says of itself; for a file of its own, its name.
        qrels: Query id -> item id -> relevance, 0 or more.
        queries: Query id -> text, of the judged queries whose text is known.
        queries_file: Where the texts come from; None where they are not known.
        groups: Queries that are drawn together.
        authors: Who gave each grade: people, or which model; people where no eval set says otherwise.
        findings: What is wrong with the files.
    """

    file: Path
    folder: Path | None
    card: Card
    qrels: Qrels
    queries: dict[str, str]
    queries_file: Path | None
    groups: Groups
    authors: Authors
    findings: tuple[Finding, ...]

    @property
    def level(self) -> str:
        """What is judged: ``chunk``, ``page``, or ``item`` where nobody says."""
        return "item" if self.folder is None else self.card.level

    @property
    def corpus(self) -> Path | None:
        """The corpus beside the queries; None where there is none."""
        own = None if self.folder is None else self.folder / BEIR_CORPUS
        return own if own is not None and own.is_file() else None


def load_judgements(qrels: Path | str, queries: Path | None = None) -> Judgements:
    """Read judgements.

    Args:
        qrels: A file of qrels in any layout; or an eval set, by its folder or the name of a bundled one.
        queries: Texts of the queries (``questions``); those of the eval set when None.

    Raises:
        InputNotFound: A file is not there.
        UsageError: The card cannot be read.
        Mismatch: A file cannot be read, one pair has two grades, or ``queries`` has none of the judged.
    """
    findings: list[Finding] = []
    file, folder, card = _found(qrels, findings.append)
    judged = relevance(read_qrels(file, findings.append))
    if not judged:
        first = findings[0] if findings else None
        raise Mismatch(
            f"no judgement can be read{f': {first.reason}' if first else ''}",
            where=str(first.place if first else file),
            remedy="docs/eval-sets.md shows how they look",
        )
    texts, source = {}, queries
    if queries is not None:
        texts = read_questions(queries, findings.append)
    elif folder is not None:
        source = queries_file(folder)
        texts = read_queries(source, findings.append)
    if queries is not None and texts.keys().isdisjoint(judged):
        raise Mismatch(
            f"none of the queries is judged: the first is {next(iter(texts))!r}, "
            f"the first judged one {next(iter(judged))!r}",
            where=str(queries),
            remedy="give the file of the judged queries: the ids have to be the same",
        )
    known = {query: text for query, text in texts.items() if query in judged}
    groups = query_groups(known, read_groups(source) if source is not None else {})
    log = read_log(folder) if folder is not None else []
    authors = authors_of(judged, log, file.stem, card.judged_by)
    return Judgements(file, folder, card, judged, known, source, groups, authors, tuple(findings))


def _found(qrels: Path | str, on_finding: OnFinding) -> tuple[Path, Path | None, Card]:
    """The file, its eval set, and the card."""
    path = Path(qrels)
    if not path.is_file():
        folder = find_eval_set(qrels, on_finding)
        if not folder.exists():
            raise InputNotFound(
                "there are no judgements",
                where=str(path),
                remedy="give a file of qrels, the folder of an eval set, or the name of a bundled one",
            )
        queries_file(folder)  # says what is missing
        card = read_card(folder, on_finding)
        return qrels_file(folder, card.split), folder, card
    around = path.parent.parent
    if path.parent.name == "qrels" and any((around / name).is_file() for name in QUERIES):
        return path, around, replace(read_card(around, on_finding), split=path.stem)
    return path, None, Card(path.name.partition(".")[0] or path.name)
