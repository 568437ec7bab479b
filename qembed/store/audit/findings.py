"""What an audit can find: its checks in order, the kinds of findings with severity and remedy, a collector.

A finding is an ``error`` (a reader of the file fails, or searches wrongly) or a ``warning`` (right in some
files, a mistake in others). What qembed guarantees for its own files, such as complete metadata, is an error
where a manifest says that qembed made the file, and a warning otherwise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning"]

CHECKS = {
    "lines": "every line is a record",
    "dimension": "every vector has the same dimension",
    "finite": "no NaN or Inf in a vector",
    "norms": "no zero vector; norm 1 where normalised",
    "ids": "no id comes twice",
    "metadata": "metadata has the required keys",
    "texts": "every record has a text",
    "content-sha256": "content_sha256 is that of the text",
    "same-text": "one text, one vector",
    "same-vector": "one vector, one text",
    "record-count": "as many records as were recorded",
    "file-sha256": "the file is the one that was written",
    "fingerprint": "ids and texts are those that were written",
}
"""Name of each check and what holds when it is ok, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding.

    Attributes:
        check: The check that finds it.
        severity: In a file with a manifest.
        elsewhere: In a file without one.
        remedy: What to do next.
    """

    check: str
    severity: Severity
    elsewhere: Severity
    remedy: str


_COPY_AGAIN = "copy or download the file again; if it stays so, embed again"
_EMBED_AGAIN = "embed again: qembed embed INPUT -o FOLDER --force"
_FIX_SOURCE = "repair the program that wrote the file, and write it again"
_REMOVE = "remove one of the records, or give it another id"


def _error(check: str, remedy: str) -> Kind:
    return Kind(check, "error", "error", remedy)


def _warning(check: str, remedy: str) -> Kind:
    return Kind(check, "warning", "warning", remedy)


KINDS = {
    "empty-file": _error("lines", _EMBED_AGAIN),
    "cut-off": _error("lines", _COPY_AGAIN),
    "not-json": _error("lines", _COPY_AGAIN),
    "duplicate-key": _error("lines", _FIX_SOURCE),
    "not-an-object": _error("lines", _FIX_SOURCE),
    "no-id": _error("lines", _FIX_SOURCE),
    "no-vector": _error("lines", _FIX_SOURCE),
    "several-vectors": _error("lines", "choose one of the named vectors: FILE#NAME"),
    "not-numbers": _error("lines", _FIX_SOURCE),
    "not-readable": _error("lines", _COPY_AGAIN),
    "line-too-long": _error("lines", "write one record per line (JSON lines), not one JSON document"),
    "dimension-differs": _error("dimension", _EMBED_AGAIN),
    "dimension-not-as-recorded": _error("dimension", _EMBED_AGAIN),
    "non-finite": _error("finite", "embed again with --precision fp32: fp16 overflows on some models"),
    "zero-norm": _error("norms", _EMBED_AGAIN),
    "norm-off-one": _error("norms", "normalise the vectors again, or embed again"),
    "mixed-norms": _warning("norms", "find out whether two runs with different settings are in one file"),
    "duplicate-id": _error("ids", _REMOVE),
    "missing-metadata": Kind(
        "metadata", "error", "warning", "embed with qembed, which completes the metadata"
    ),
    "changed-values": _warning(
        "metadata", "nothing, if the values may be read so; else write them as strings or numbers yourself"
    ),
    "no-text": Kind("texts", "error", "warning", "store the text with its vector"),
    "content-mismatch": _error("content-sha256", "a text has changed since it was embedded: embed again"),
    "text-with-two-vectors": _error("same-text", _EMBED_AGAIN),
    "vector-of-two-texts": _warning(
        "same-vector", "compare the texts; where they say different things, embed again"
    ),
    "count-not-as-recorded": _error("record-count", _COPY_AGAIN),
    "bad-summary": _error("record-count", "copy the summary again, or embed again"),
    "sha256-not-as-recorded": _error("file-sha256", _COPY_AGAIN),
    "bad-manifest": _error("file-sha256", "copy the manifest again, or move it away"),
    "fingerprint-not-as-recorded": _error("fingerprint", _COPY_AGAIN),
}
"""Every kind of finding; docs/audit.md explains them, and a test holds the two together."""


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """Something wrong with a file of embeddings.

    Attributes:
        kind: One of ``KINDS``.
        severity: ``error`` or ``warning``.
        lines: Line numbers, from 1; the first few where many lines share it; empty where it is the file's.
        reason: What is wrong, in words.
    """

    kind: str
    severity: Severity
    lines: tuple[int, ...]
    reason: str


class Findings:
    """Counts every finding and keeps the first few of each kind, so that memory stays bounded.

    Attributes:
        counts: Exact number of findings by kind.
        skipped: Why a check was not made, by check.
        notes: What a check saw that is no finding, by check.
    """

    def __init__(self, *, manifest: bool, examples: int | None) -> None:
        """``manifest`` decides severities; ``examples`` of each kind are kept, all when None."""
        self.counts: Counter[str] = Counter()
        self.skipped: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        self._manifest = manifest
        self._examples = examples
        self._kept: defaultdict[str, list[AuditFinding]] = defaultdict(list)

    def add(self, kind: str, reason: str | Callable[[], str], *lines: int) -> None:
        """One finding; a reason that costs something to make is a function, called where it is kept."""
        self.counts[kind] += 1
        if self._examples is None or len(self._kept[kind]) < self._examples:
            words = reason if isinstance(reason, str) else reason()
            self._kept[kind].append(AuditFinding(kind, self.severity(kind), lines, words))

    def severity(self, kind: str) -> Severity:
        """``error`` or ``warning``, by whether there is a manifest."""
        return KINDS[kind].severity if self._manifest else KINDS[kind].elsewhere

    def total(self, severity: Severity, check: str | None = None) -> int:
        """Findings of a severity, of one check or of all."""
        kinds = (kind for kind in self.counts if check in (None, KINDS[kind].check))
        return sum(self.counts[kind] for kind in kinds if self.severity(kind) == severity)

    def examples(self) -> tuple[AuditFinding, ...]:
        """The findings that were kept, in the order of ``KINDS``, then of the file."""
        return tuple(finding for kind in KINDS for finding in self._kept.get(kind, ()))

    def skip(self, why: str, checks: Iterable[str]) -> None:
        """Record that checks were not made."""
        self.skipped.update(dict.fromkeys(checks, why))
