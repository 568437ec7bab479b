"""What the columns of a scan say: each function makes one or a few checks and tells ``Findings``.

Suspicious records are read again by ``Lookup``, a pair at a time, so memory does not grow with them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qembed.progress import Progress
from qembed.records import Vectors
from qembed.store.audit.audit import NOTHING, Columns, Lookup, Scan, shown
from qembed.store.audit.findings import Findings
from qembed.store.hashed import OutputFile
from qembed.store.jsonl import Record
from qembed.store.manifest import Manifest

NORM_TOLERANCE = 1e-3
"""fp16 rounding moves a norm by less than 3e-4; a vector that was never normalised is far away."""

MOSTLY = 0.99
"""Share of vectors of norm 1 from which on a file counts as normalised where nothing says so."""

SAME_COSINE = 0.9999
"""bf16 and batches of other shapes give one text vectors of cosine 0.99995; two texts are far below."""

LINES_SHOWN = 10
_LONG_PREFIX = 200

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Expected:
    """What should hold.

    Attributes:
        dimension: Expected dimension of every vector; that of most records when None.
        dimension_from: Who says so: ``--dimension``, ``the manifest``, ``the summary``.
        normalized: Every vector has norm 1; judged from the vectors when None.
        normalized_from: Who says so.
        max_tokens: What the model reads of a text; None where unknown.
    """

    dimension: int | None = None
    dimension_from: str = ""
    normalized: bool | None = None
    normalized_from: str = ""
    max_tokens: int | None = None


def check_vectors(columns: Columns, expected: Expected, lookup: Lookup, findings: Findings) -> bool | None:
    """Dimension, finiteness and norms. Returns whether the vectors are normalised; None when unknown."""
    line, dimension, norm = (columns.numpy(name) for name in ("line", "dimension", "norm"))
    right = expected.dimension or most_common(dimension)
    rule = f"{expected.dimension_from} says {right}" if expected.dimension else f"most records have {right}"
    for position in np.flatnonzero(dimension != right).tolist():
        findings.add("dimension-differs", f"{dimension[position]} dimensions, {rule}", int(line[position]))
    for position in np.flatnonzero(np.isnan(norm)).tolist():
        findings.add("non-finite", lambda at=position: _non_finite(lookup(at).vector), int(line[position]))  # type: ignore[misc]
    for position in np.flatnonzero(norm == 0).tolist():
        findings.add("zero-norm", "every number of the vector is 0", int(line[position]))
    return _check_norms(line, norm, expected, findings)


def _check_norms(
    line: npt.NDArray[Any], norm: npt.NDArray[Any], expected: Expected, findings: Findings
) -> bool | None:
    usable = norm > 0
    if expected.normalized is False:
        findings.notes["norms"] = f"not normalised, as {expected.normalized_from} says"
        return False
    if not usable.any():
        return expected.normalized
    off = usable & (np.abs(norm.astype(np.float64) - 1) > NORM_TOLERANCE)
    share = 1 - off.sum() / usable.sum()
    if expected.normalized is None and share < MOSTLY:
        having = f"{usable.sum() - off.sum():,} of {usable.sum():,} vectors have norm 1"
        if share >= 0.5:
            findings.add("mixed-norms", f"{having}, the others do not")
        else:
            findings.notes["norms"] = f"not normalised: {having}"
        return False
    rule = (
        f"{expected.normalized_from} says normalised" if expected.normalized else "nearly all others have 1"
    )
    for position in np.flatnonzero(off).tolist():
        findings.add("norm-off-one", f"the norm is {norm[position]:.6g}, {rule}", int(line[position]))
    return True


def check_ids(columns: Columns, lookup: Lookup, findings: Findings) -> None:
    """No id comes twice. Ids are compared as text: the number 1 and the string "1" are one id."""
    positions = np.arange(1, len(columns) + 1, dtype=np.uint64)
    for group in clashes(columns.numpy("id"), positions):

        def reason(group: Positions = group) -> str:
            first, second = lookup(int(group[0])), lookup(int(group[1]))
            same = first.text == second.text and np.array_equal(first.vector, second.vector)
            what = "same text and vector" if same else "text or vector differ"
            return f"the id {shown(first.id)} comes {len(group):,} times ({what})"

        findings.add("duplicate-id", reason, *_lines(columns, group))


def check_texts(columns: Columns, lookup: Lookup, scan: Scan, findings: Findings, *, required: bool) -> None:
    """Every record has a text, where any has or ``required`` (a manifest says that qembed wrote it)."""
    line, without = columns.numpy("line"), columns.numpy("text") == NOTHING
    if without.all() and not required:
        findings.skip("no record has a text", ("texts", "content-sha256", "same-text", "same-vector"))
        return
    if not scan.hashed_texts:
        findings.skip("no record has content_sha256", ("content-sha256",))
    for position in np.flatnonzero(without).tolist():

        def reason(position: int = position) -> str:
            record = lookup(position)
            return f"id {shown(record.id)}: {'no text' if record.text is None else 'the text is blank'}"

        findings.add("no-text", reason, int(line[position]))


def check_same_text(
    columns: Columns,
    lookup: Lookup,
    findings: Findings,
    progress: Progress = Progress(),  # no state
) -> None:
    """One text has one vector, bit for bit or up to rounding; each is compared with the first of its text."""
    close = 0
    groups = list(clashes(columns.numpy("text"), _comparable(columns)))
    if groups:
        progress.phase("comparing vectors of equal texts", total=len(groups), unit="texts")
    for group in groups:
        progress.advance(1)
        first = lookup(int(group[0]))
        cosines = np.array([cosine(first.vector, lookup(int(at)).vector) for at in group[1:]])
        far = cosines < SAME_COSINE
        if not far.any():
            close += 1
            continue
        reason = f"the text {shown(first.text)} has vectors of cosine {cosines.min():.4f}"
        findings.add("text-with-two-vectors", reason, *_lines(columns, group[np.append(True, far)]))
    if close:
        findings.notes["same-text"] = f"texts whose vectors differ by rounding only: {close:,}"


def check_same_vector(columns: Columns, lookup: Lookup, expected: Expected, findings: Findings) -> None:
    """One vector belongs to one text; says so where truncation or spelling may explain it."""
    for group in clashes(_comparable(columns), columns.numpy("text")):

        def reason(group: Positions = group) -> str:
            first, second = lookup(int(group[0])), lookup(int(group[1]))
            why = _explain(first, second, expected.max_tokens)
            return f"{len(group):,} texts have bitwise the same vector: {why}"

        findings.add("vector-of-two-texts", reason, *_lines(columns, group))


def compare_manifest(scan: Scan, manifest: Manifest, dimension: int | None, findings: Findings) -> None:
    """The files against what the manifest recorded when they were written."""
    written, records = manifest.output, len(scan.columns)
    same_chunks = scan.chunks_fingerprint == written.chunks_fingerprint
    _compare_files(scan.files, written.all_files, same_chunks, findings)
    if not same_chunks:
        findings.add(
            "fingerprint-not-as-recorded", "ids or texts differ from those that were written, or their order"
        )
    compare_recorded("the manifest", "records", written.records, records, findings)
    if dimension is not None:
        compare_recorded("the manifest", "dimensions", written.dimension, dimension, findings)


def _compare_files(
    found: Sequence[OutputFile], written: Sequence[OutputFile], same_chunks: bool, findings: Findings
) -> None:
    intact = "ids and texts are as written" if same_chunks else "ids or texts have changed"
    if len(found) != len(written):
        reason = f"{len(found):,} files, the manifest describes {len(written):,}; {intact}"
        findings.add("sha256-not-as-recorded", reason)
        return
    for now, then in zip(found, written, strict=True):
        if now.sha256 == then.sha256:
            continue
        name = "the file" if len(found) == 1 else now.name
        size = f"{now.bytes:,} bytes, " + ("as then" if now.bytes == then.bytes else f"then {then.bytes:,}")
        hashes = f"sha256 {now.sha256[:12]}..., then {then.sha256[:12]}..."
        findings.add(
            "sha256-not-as-recorded", f"{name} has changed since it was written: {hashes}; {size}; {intact}"
        )


def compare_recorded(source: str, what: str, recorded: object, found: int, findings: Findings) -> None:
    """One number (of ``records`` or ``dimensions``) that ``source`` recorded against what was found."""
    if recorded != found:
        kind = "count-not-as-recorded" if what == "records" else "dimension-not-as-recorded"
        said = f"{recorded:,}" if isinstance(recorded, int) else shown(recorded)
        findings.add(kind, f"{source} says {said} {what}, the file has {found:,}")


def most_common(dimensions: npt.NDArray[Any]) -> int | None:
    """The dimension that most records have, of equally common ones the first met; None without records."""
    if not len(dimensions):
        return None
    values, first, counts = np.unique(dimensions, return_index=True, return_counts=True)
    return int(values[np.lexsort((first, -counts))[0]])


def clashes(key: npt.NDArray[np.uint64], other: npt.NDArray[np.uint64]) -> Iterator[Positions]:
    """Keys that occur with several values of ``other``, in the order of their first record.

    Args:
        key: Hashes, (records,); records where it or ``other`` is ``NOTHING`` are left out.
        other: Hashes, (records,).

    Yields:
        For each such key, ascending positions of the first record with each of those values.
    """
    positions = np.flatnonzero((key != NOTHING) & (other != NOTHING))
    if not len(positions):
        return
    order = positions[np.lexsort((positions, other[positions], key[positions]))]
    new_key = _changes(key[order])
    pairs = np.flatnonzero(new_key | _changes(other[order]))
    firsts = order[pairs]
    starts = np.flatnonzero(new_key[pairs])
    ends = np.append(starts[1:], len(firsts))
    several = np.flatnonzero(ends - starts > 1)
    by_first_record = np.argsort(np.minimum.reduceat(firsts, starts)[several])
    for start, end in zip(starts[several][by_first_record], ends[several][by_first_record], strict=True):
        yield np.sort(firsts[start:end])


def cosine(a: Vectors, b: Vectors) -> float:
    """Cosine of two vectors, in float64."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


def _changes(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.append(True, values[1:] != values[:-1])


def _comparable(columns: Columns) -> npt.NDArray[np.uint64]:
    """Hashes of the vectors; ``NOTHING`` where the dimension is not that of the others."""
    dimension = columns.numpy("dimension")
    return np.where(dimension == most_common(dimension), columns.numpy("vector"), np.uint64(NOTHING))


def _lines(columns: Columns, positions: Positions) -> tuple[int, ...]:
    return tuple(columns.line[at] for at in positions[:LINES_SHOWN])


def _non_finite(vector: Vectors) -> str:
    wrong = np.flatnonzero(~np.isfinite(vector))
    first = int(wrong[0])
    name = "NaN (or null)" if np.isnan(vector[first]) else "Inf (or beyond float32)"
    return f"{len(wrong):,} of {len(vector):,} numbers are not finite; number {first + 1} is {name}"


def _explain(first: Record, second: Record, max_tokens: int | None) -> str:
    a, b = first.text or "", second.text or ""
    if _letters(a) == _letters(b):
        return f"{shown(a)}; they differ in case, accents or white space only, which the tokenizer may ignore"
    prefix = next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    tokens = [record.metadata.get("token_count") for record in (first, second)]
    if max_tokens and all(isinstance(count, int) and count > max_tokens for count in tokens):
        return f"both are truncated at {max_tokens:,} tokens; their first {prefix:,} characters are the same"
    if prefix >= _LONG_PREFIX:
        return f"their first {prefix:,} characters are the same; the model may have truncated the rest"
    return f"{shown(a, 40)} and {shown(b, 40)}; were vectors mixed up?"


def _letters(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not (c.isspace() or unicodedata.combining(c)))
