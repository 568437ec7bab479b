"""Eval sets: queries, and what was judged relevant to them.

    card.toml            optional; without it the folder is a plain BEIR folder (level chunk, split test)
    queries.jsonl        or queries.tsv
    qrels/<split>.tsv    or .txt, .csv, .jsonl, .json; see ``beir`` for the forms
    corpus.jsonl         optional; the corpus may lie anywhere

Nothing here reads the corpus.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from qembed.errors import InputNotFound, Mismatch, UsageError
from qembed.evaluation.eval_sets.authors import Authors, authors_of, read_log
from qembed.evaluation.eval_sets.beir import qrels_rows, read_qrels, read_queries
from qembed.evaluation.eval_sets.bundled import QUERIES, bundled_eval_sets, find_eval_set
from qembed.evaluation.eval_sets.card import CARD, Card, Level, read_card, write_card
from qembed.evaluation.eval_sets.findings import finding
from qembed.evaluation.eval_sets.groups import Groups, query_groups, read_groups
from qembed.evaluation.eval_sets.questions import read_questions
from qembed.records import Finding, OnFinding, Qrels

__all__ = [
    "CARD",
    "Card",
    "EvalSet",
    "Level",
    "Waiting",
    "load_eval_set",
    "read_card",
    "unjudged_set",
    "waiting",
    "write_card",
]

QRELS_SUFFIXES = (".tsv", ".txt", ".csv", ".jsonl", ".json")


@dataclass(frozen=True, slots=True)
class EvalSet:
    """Queries with their judgements.

    Attributes:
        folder: Where it lies.
        card: What it says of itself; ``card.split`` is the split that was read.
        queries: Query id -> text of all queries, in the order of the file, also of those that are not judged.
        qrels: Query id -> item id -> relevance, 0 or more: 0 is judged and not relevant, and so is what the
            file grades below 0. Items are chunks or pages, as ``card.level`` says. Only ids of ``queries``
            are in it.
        findings: What is wrong with the files, line by line; ``check`` looks at the rest.
        groups: Query id -> label, of the judged queries that are drawn together with another one.
        authors: Who gave each grade: people, or which model.
    """

    folder: Path
    card: Card
    queries: dict[str, str]
    qrels: Qrels
    findings: tuple[Finding, ...]
    groups: Groups = field(default_factory=dict)
    authors: Authors = field(default_factory=Authors)

    @property
    def judged(self) -> dict[str, str]:
        """Query id -> text of the queries that have judgements, in the order of the file."""
        return {name: text for name, text in self.queries.items() if name in self.qrels}

    @property
    def unanswerable(self) -> dict[str, str]:
        """Query id -> text of the judged queries that nothing answers: no grade above 0."""
        return {name: text for name, text in self.judged.items() if not any(self.qrels[name].values())}

    @property
    def queries_file(self) -> Path:
        """The file of the queries."""
        return self.folder if self.folder.is_file() else queries_file(self.folder)

    @property
    def qrels_file(self) -> Path:
        """The file of the split that was read."""
        return split_files(self.folder)[self.card.split]


def load_eval_set(folder: Path | str, *, split: str | None = None, judged: bool = True) -> EvalSet:
    """Read an eval set.

    Args:
        folder: A BEIR folder, with or without ``card.toml``; or the name of a bundled eval set.
        split: Which qrels; the card's when None, ``test`` without a card.
        judged: At least one query has to be judged.

    Raises:
        InputNotFound: The folder, its queries or its qrels are not there.
        UsageError: There is no such split, or the card cannot be read.
        Mismatch: No query, or no judgement of one, can be read; an id stands for two queries; one pair of
            query and item has two grades; the log of judgements is broken.
    """
    findings: list[Finding] = []
    folder = find_eval_set(folder, findings.append)
    queries_path = queries_file(folder)
    card = read_card(folder, findings.append)
    card = replace(card, split=split or card.split)
    qrels_path = qrels_file(folder, card.split)
    queries = read_queries(queries_path, findings.append)
    if not queries:
        raise _empty("no query can be read", queries_path, findings)
    qrels = _known(read_qrels(qrels_path, findings.append), queries, qrels_path, findings.append)
    if judged and not qrels:
        raise _empty(f"split {card.split!r} judges none of the queries", qrels_path, findings)
    judged_queries = {query: text for query, text in queries.items() if query in qrels}
    groups = query_groups(judged_queries, read_groups(queries_path))
    authors = authors_of(qrels, read_log(folder), card.split, card.judged_by)
    return EvalSet(folder, card, queries, qrels, tuple(findings), groups, authors)


def unjudged_set(path: Path, *, level: Level = "chunk") -> EvalSet:
    """Questions without judgements as an eval set; its folder is the file of the questions.

    Args:
        path: The file; see ``questions`` for its forms.
        level: What will be judged.

    Raises:
        InputNotFound: The file is not there.
        UsageError: It holds no question.
        Mismatch: Two questions have one id.
    """
    path = Path(path)
    findings: list[Finding] = []
    questions = read_questions(path, findings.append)
    return EvalSet(path, Card(name=path.stem, level=level), questions, {}, tuple(findings))


@dataclass(frozen=True, slots=True)
class Waiting:
    """Queries that the split which was read does not judge.

    Attributes:
        queries: Query id -> text of those that no split judges, in the order of the file.
        elsewhere: How many others another split judges.
    """

    queries: dict[str, str]
    elsewhere: int


def waiting(eval_set: EvalSet) -> Waiting:
    """What nobody has judged of an eval set that is partly judged."""
    others = {name: text for name, text in eval_set.queries.items() if name not in eval_set.qrels}
    if not others or not eval_set.qrels:
        return Waiting({}, 0)
    judged = judged_anywhere(eval_set)
    left = {name: text for name, text in others.items() if name not in judged}
    return Waiting(left, len(others) - len(left))


def judged_anywhere(eval_set: EvalSet) -> set[str]:
    """Ids of the queries that any split judges; other splits are read only where this one leaves some out."""
    judged = set(eval_set.qrels)
    for split, path in split_files(eval_set.folder).items():
        if split != eval_set.card.split and not judged >= eval_set.queries.keys():
            judged |= {row.query_id for row in qrels_rows(path, lambda _: None)}
    return judged


def relevance(qrels: Qrels) -> Qrels:
    """Qrels as measures read them: what a file grades below 0 is judged and not relevant."""
    return {query: {item: max(grade, 0) for item, grade in grades.items()} for query, grades in qrels.items()}


def queries_file(folder: Path) -> Path:
    """The file of queries in a folder.

    Raises:
        InputNotFound: The folder is not there, or has none.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise InputNotFound(
            f"the eval set {str(folder)!r} {what}",
            remedy="give the folder that holds queries.jsonl and qrels/, or the name of a bundled one: "
            + ", ".join(bundled_eval_sets()),
        )
    for name in QUERIES:
        if (folder / name).is_file():
            return folder / name
    raise InputNotFound(
        f"no queries in {str(folder)!r}; looked for {' and '.join(QUERIES)}",
        remedy="give the folder of an eval set; docs/eval-sets.md shows one",
    )


def split_files(folder: Path) -> dict[str, Path]:
    """Split -> its file of qrels, by name."""
    found: dict[str, Path] = {}
    for suffix in QRELS_SUFFIXES:
        for path in sorted((folder / "qrels").glob(f"*{suffix}")):
            if not path.name.startswith(".") and path.is_file():
                found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def qrels_file(folder: Path, split: str) -> Path:
    """The file of a split.

    Raises:
        InputNotFound: There are no qrels.
        UsageError: There is no such split.
    """
    files = split_files(folder)
    if split in files:
        return files[split]
    if not files:
        raise InputNotFound(
            "no qrels: nothing says what answers the queries",
            where=str(folder / "qrels"),
            remedy=f"write qrels/{split}.tsv; docs/eval-sets.md shows one",
        )
    raise UsageError(
        f"there is no split {split!r}; there is {', '.join(files)}",
        where=str(folder / "qrels"),
        remedy=f"pass --split {next(iter(files))}",
    )


def _known(qrels: Qrels, queries: dict[str, str], path: Path, on_finding: OnFinding) -> Qrels:
    """Qrels of the queries that there are, with no grade below 0."""
    unknown = qrels.keys() - queries.keys()
    if unknown:
        first: dict[str, int] = {}
        for row in qrels_rows(path, lambda _: None):
            if row.query_id in unknown:
                first.setdefault(row.query_id, row.line)
        for query_id, line in first.items():
            count = len(qrels[query_id])
            reason = f"query {query_id!r} has no text; {count:,} judgement{'s' * (count != 1)} of it left out"
            on_finding(finding("unknown-query", path, reason, line=line))
    return {query_id: judged for query_id, judged in relevance(qrels).items() if query_id in queries}


def _empty(reason: str, path: Path, findings: list[Finding]) -> Mismatch:
    first = next((found for found in findings if found.place.path == str(path)), None)
    if first is None:
        return Mismatch(reason, where=str(path), remedy="an eval set needs queries and judgements of them")
    return Mismatch(
        f"{reason}: {first.reason}", where=str(first.place), remedy="docs/eval-sets.md shows how they look"
    )
