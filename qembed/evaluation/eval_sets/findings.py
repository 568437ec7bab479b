"""What can be wrong with an eval set: the kinds of findings, how serious each is, and what to do next.

An ``error`` means that something judged is lost or cannot be retrieved; a ``warning`` is harmless here and
often a mistake; a ``note`` is right in many eval sets and worth knowing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from qembed.errors import Mismatch
from qembed.records import Finding, Place

Severity: TypeAlias = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding.

    Attributes:
        severity: ``error``, ``warning`` or ``note``.
        lost: What is left out because of it: ``row``, ``query`` or ``nothing``.
        remedy: What to do next.
    """

    severity: Severity
    lost: str
    remedy: str


_SAME_CORPUS = "name the corpus that was judged; its ids begin with the collection's name, see --collection"

KINDS = {
    "wrong-encoding": Kind("error", "row", "save the file as UTF-8"),
    "not-json": Kind("error", "query", "write one JSON object a line"),
    "bad-query": Kind("error", "query", 'write {"_id": "...", "text": "..."}, one per line'),
    "bad-row": Kind("error", "row", "write query id, item id and grade, with a tab between them"),
    "bad-grade": Kind("error", "row", "grades are integers: 0 not relevant, 1 helps, 2 answers"),
    "unknown-query": Kind("error", "row", "add the query to the file of queries, or remove the row"),
    "unknown-item": Kind("error", "nothing", "remove the rows, or judge again what replaced the items"),
    "other-corpus": Kind("error", "nothing", _SAME_CORPUS),
    "nothing-relevant": Kind("error", "nothing", "judge at least one item of a query as relevant"),
    "no-header": Kind("warning", "nothing", "begin the file with query-id, corpus-id, score"),
    "duplicate-query": Kind("warning", "nothing", "remove the second line"),
    "duplicate-row": Kind("warning", "nothing", "remove the second line"),
    "same-text": Kind("warning", "nothing", "keep one of the queries; bench draws them as one"),
    "unjudged-query": Kind("warning", "nothing", "judge it, or remove it; it is not measured"),
    "unknown-card-key": Kind("warning", "nothing", "correct the key in card.toml; it is not read"),
    "bundled-instead": Kind("note", "nothing", "give the folder a queries.jsonl if that one was meant"),
    "unanswerable": Kind("note", "nothing", "nothing to do where that is meant"),
}
"""Every kind of finding; docs/eval-sets.md explains them, and a test holds the two together."""


def finding(kind: str, path: Path, reason: str, *, line: int | None = None) -> Finding:
    """A finding of one of ``KINDS``; ``line`` from 1."""
    return Finding(kind, Place(str(path), line=line), reason, KINDS[kind].lost)


def severity(found: Finding) -> Severity:
    """How serious a finding is."""
    return KINDS[found.kind].severity


def refuse(found: Finding) -> None:
    """What reading does with a finding that nobody takes.

    Raises:
        Mismatch: It is an error.
    """
    if severity(found) == "error":
        raise Mismatch(found.reason, where=str(found.place), remedy=KINDS[found.kind].remedy)
