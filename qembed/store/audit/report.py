"""The audit of files of embeddings: their lines, vectors, ids, texts, and what was recorded of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import orjson

from qembed.errors import Mismatch, QembedError
from qembed.progress import Progress
from qembed.store import (
    Embeddings,
    Manifest,
    OutputFile,
    OutputFiles,
    ReadFormat,
    find_embeddings,
    read_manifest,
)
from qembed.store.audit.audit import Columns, Lookup, Scan, place_of, scan
from qembed.store.audit.checks import (
    Expected,
    check_ids,
    check_same_text,
    check_same_vector,
    check_texts,
    check_vectors,
    compare_manifest,
    compare_recorded,
    most_common,
)
from qembed.store.audit.findings import CHECKS, KINDS, AuditFinding, Findings
from qembed.store.manifest import sha256_of
from qembed.store.recognise import recognise

EXAMPLES = 20
"""Findings of each kind that are kept with line and reason; all are counted."""

_CONTENT_CHECKS = ("dimension", "finite", "norms", "ids", "metadata", "texts", "content-sha256")
_PAIR_CHECKS = ("same-text", "same-vector")


@dataclass(frozen=True, slots=True)
class Check:
    """One check and how it went.

    Attributes:
        name: A name of ``store.audit.findings.CHECKS``.
        outcome: ``ok``, ``problems``, or ``not checked``.
        errors: How many.
        warnings: How many.
        note: Why it was not made, or what it saw that is no problem; empty where there is nothing to say.
    """

    name: str
    outcome: Literal["ok", "problems", "not checked"]
    errors: int
    warnings: int
    note: str


@dataclass(frozen=True, slots=True)
class Norms:
    """Lengths of the finite vectors."""

    min: float
    mean: float
    max: float


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found.

    Attributes:
        file: The file of embeddings; of several, the first.
        name: What the user knows it by: the file, or the address of the collection that it is a copy of.
        unit: What a record is in it: ``line``, ``row`` or ``point``.
        read_as: What embeddings of another tool were taken for; empty for those of qembed.
        format: ``jsonl``, ``parquet``, ``npy`` or ``json``.
        files: Every file as it is now, with the records that could be read.
        bytes: Size of all of them.
        sha256: SHA-256 of the whole file, hex; of several files, as ``manifest.sha256_of``.
        seconds: Wall time of the audit.
        records: How many records could be read.
        bad_lines: How many lines are no record.
        dimension: Dimension of most vectors; None if there are none.
        norms: None without any finite vector.
        normalized: Whether the vectors have norm 1; None where there is nothing to tell from.
        manifest: The manifest beside the file; None where there is none that can be read.
        summary: The summary's path; None where there is none.
        checks: All checks, in order.
        counts: Exact number of findings by kind, in the order of ``KINDS``.
        findings: The first of each kind; their lines count on through all shards.
        lines_before: Lines or rows in the shards before each shard.
    """

    file: Path
    name: str
    unit: str
    read_as: str
    format: ReadFormat
    files: tuple[OutputFile, ...]
    bytes: int
    sha256: str
    seconds: float
    records: int
    bad_lines: int
    dimension: int | None
    norms: Norms | None
    normalized: bool | None
    manifest: Manifest | None
    summary: Path | None
    checks: tuple[Check, ...]
    counts: dict[str, int]
    findings: tuple[AuditFinding, ...]
    lines_before: tuple[int, ...]

    @property
    def errors(self) -> int:
        """Number of errors."""
        return sum(check.errors for check in self.checks)

    @property
    def warnings(self) -> int:
        """Number of warnings."""
        return sum(check.warnings for check in self.checks)

    def place(self, line: int) -> tuple[int, int]:
        """Which shard a line of a finding is in, from 0, and its number there, from 1."""
        return place_of(line, self.lines_before)

    def sound(self, *, strict: bool = False) -> bool:
        """No errors; with ``strict`` no warnings either."""
        return not self.errors and not (strict and self.warnings)


def audit(
    embeddings: Path | Embeddings,
    *,
    dimension: int | None = None,
    expect_normalized: bool | None = None,
    examples: int | None = EXAMPLES,
    progress: Progress = Progress(),
) -> AuditReport:
    """Check embeddings of any format, whoever made them, in one pass and little memory.

    Memory: 44 bytes per record, then about as much again while pairs are looked for. What is wrong with the
    file is in the report; nothing is raised for it.

    Args:
        embeddings: The file (any shard means all), or the folder that holds it and its manifest and summary;
            or embeddings that were found already.
        dimension: Every vector should have; what manifest or summary say, or most records have, when None.
        expect_normalized: Every vector should have norm 1; what the manifest says when None, or else judged
            from the vectors: normalised where at least 99 % of them have norm 1.
        examples: Findings of each kind to keep; all when None (memory then grows with them).
        progress: Receives the progress of every phase.

    Raises:
        InputNotFound: There is no such file, or not all of its shards.
        UsageError: Several files of embeddings are in the folder.
        QembedError: The file cannot be read, or changes meanwhile.
    """
    started = perf_counter()
    found = embeddings if isinstance(embeddings, Embeddings) else find_embeddings(Path(embeddings))
    files = OutputFiles.of(found.path)
    findings = Findings(manifest=files.manifest.is_file(), examples=examples)
    try:
        manifest = _read_manifest(files.manifest, findings)
        summary = _read_summary(files.summary, findings)
        seen = scan(found, findings, progress)
        if found.left_out:
            findings.notes["lines"] = f"points without the vector, left out: {found.left_out:,}"
        expected = _expected(manifest, summary, dimension, expect_normalized)
        normalized = _check_records(seen, expected, findings, progress)
    finally:
        progress.close()
    _compare(seen, manifest, summary, findings)
    return _report(seen, normalized, manifest, summary, findings, perf_counter() - started)


def _report(
    seen: Scan,
    normalized: bool | None,
    manifest: Manifest | None,
    summary: dict[str, Any] | None,
    findings: Findings,
    seconds: float,
) -> AuditReport:
    return AuditReport(
        file=seen.embeddings.path,
        name=seen.embeddings.name,
        unit=seen.embeddings.unit,
        read_as=recognise(seen.embeddings),
        format=seen.embeddings.format,
        files=seen.files,
        bytes=seen.bytes,
        sha256=sha256_of(seen.files),
        seconds=seconds,
        records=len(seen.columns),
        bad_lines=seen.bad_lines,
        dimension=most_common(seen.columns.numpy("dimension")),
        norms=_norms(seen.columns),
        normalized=normalized,
        manifest=manifest,
        summary=OutputFiles.of(seen.embeddings.path).summary if summary is not None else None,
        checks=tuple(_check(name, findings) for name in CHECKS),
        counts={kind: findings.counts[kind] for kind in KINDS if findings.counts[kind]},
        findings=findings.examples(),
        lines_before=seen.before,
    )


def _read_manifest(path: Path, findings: Findings) -> Manifest | None:
    try:
        manifest = read_manifest(path)
    except (Mismatch, OSError) as error:
        what = error.message if isinstance(error, QembedError) else f"cannot read: {error.strerror}"
        findings.add("bad-manifest", f"{path.name}: {what}")
        findings.skip("no readable manifest", ("fingerprint",))
        return None
    if manifest is None:
        findings.skip("no manifest", ("file-sha256", "fingerprint"))
    return manifest


def _read_summary(path: Path, findings: Findings) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        summary = orjson.loads(path.read_bytes())
    except (orjson.JSONDecodeError, OSError) as error:
        findings.add("bad-summary", f"{path.name}: {error}")
        return None
    if isinstance(summary, dict):
        return summary
    findings.add("bad-summary", f"{path.name}: JSON, but not an object")
    return None


def _expected(
    manifest: Manifest | None, summary: dict[str, Any] | None, dimension: int | None, normalized: bool | None
) -> Expected:
    model = manifest.model if manifest else {}
    recorded: tuple[Any, str] = (summary or {}).get("vector_dimension"), "the summary"
    if dimension is not None:
        recorded = dimension, "--dimension"
    elif manifest is not None:
        recorded = manifest.output.dimension, "the manifest"
    said: tuple[Any, str] = model.get("normalized"), "the manifest"
    if normalized is not None:
        said = normalized, "--normalized" if normalized else "--not-normalized"
    max_tokens = model.get("max_tokens")
    known = isinstance(recorded[0], int) and recorded[0] > 0
    return Expected(
        dimension=recorded[0] if known else None,
        dimension_from=recorded[1],
        normalized=said[0] if isinstance(said[0], bool) else None,
        normalized_from=said[1],
        max_tokens=max_tokens if isinstance(max_tokens, int) else None,
    )


def _check_records(seen: Scan, expected: Expected, findings: Findings, progress: Progress) -> bool | None:
    columns = seen.columns
    if not len(columns):
        if not seen.bad_lines:
            findings.add("empty-file", "the file holds no record")
        findings.skip("no record could be read", (*_CONTENT_CHECKS, *_PAIR_CHECKS))
        return None
    lookup = Lookup(seen)
    normalized = check_vectors(columns, expected, lookup, findings)
    check_ids(columns, lookup, findings)
    check_texts(columns, lookup, seen, findings, required=findings.severity("no-text") == "error")
    check_same_text(columns, lookup, findings, progress)
    check_same_vector(columns, lookup, expected, findings)
    return normalized


def _compare(
    seen: Scan,
    manifest: Manifest | None,
    summary: dict[str, Any] | None,
    findings: Findings,
) -> None:
    dimension = most_common(seen.columns.numpy("dimension"))
    if manifest is not None:
        compare_manifest(seen, manifest, dimension, findings)
    if summary is not None:
        compare_recorded(
            "the summary", "records", summary.get("total_embeddings"), len(seen.columns), findings
        )
        if dimension is not None:
            compare_recorded(
                "the summary", "dimensions", summary.get("vector_dimension"), dimension, findings
            )
    if manifest is None and summary is None:
        findings.skip("no manifest, no summary", ("record-count",))


def _norms(columns: Columns) -> Norms | None:
    norm = columns.numpy("norm")
    finite = norm[np.isfinite(norm)].astype(np.float64)
    return Norms(float(finite.min()), float(finite.mean()), float(finite.max())) if len(finite) else None


def _check(name: str, findings: Findings) -> Check:
    errors, warnings = findings.total("error", name), findings.total("warning", name)
    why = findings.skipped.get(name, "")
    if errors or warnings:
        return Check(name, "problems", errors, warnings, findings.notes.get(name, ""))
    if why:
        return Check(name, "not checked", 0, 0, why)
    return Check(name, "ok", 0, 0, findings.notes.get(name, ""))
