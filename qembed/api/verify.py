"""``verify``: are the vectors of a file those that its model gives, embedded again one by one in fp32?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from qembed.api.made_with import documents_as_made, model_name
from qembed.api.verify_compare import Drift, Floats, Overlap, cosines_of, drift_of, same_neighbours
from qembed.api.verify_sample import Contents, Sampled, read_contents
from qembed.errors import DimensionMismatch, Mismatch, QembedError, UsageError
from qembed.models import Encoder, EncoderInfo, EncoderOptions, ModelSource, fetch, resolve_model
from qembed.models.weights import config_sha256, weights_sha256
from qembed.progress import Progress
from qembed.records import Vectors
from qembed.store import Embeddings, Manifest, OutputFiles, find_embeddings, read_manifest

WORST = 5
"""Chunks of the sample that are named."""

_NORM_TOLERANCE = 1e-3

THRESHOLDS: dict[str | None, tuple[float, str]] = {
    "fp32": (0.99999, "the same arithmetic in another order"),
    "fp16": (0.9999, "rounded to 11 bits; 0.999999 with all-MiniLM-L6-v2"),
    "bf16": (0.999, "rounded to 8 bits; 0.9999 with all-MiniLM-L6-v2"),
    "int8": (0.99, "weights and inputs of 8 bits; 0.994 with all-MiniLM-L6-v2"),
    "nf4": (0.9, "weights of 4 bits; 0.92 with all-MiniLM-L6-v2"),
    None: (0.999, "the precision is not recorded; as for bf16"),
}
"""By recorded precision: the least cosine that rounding explains, and why (docs/verify.md)."""


@dataclass(frozen=True, slots=True)
class VerifiedChunk:
    """A text of the sample.

    Attributes:
        id: Of the first chunk with this text.
        place: File and line or row.
        cosine: Of its two vectors.
        overlap: Share of its neighbours that are the same; None where none were ranked.
        tokens: Before truncation.
    """

    id: str
    place: str
    cosine: float
    overlap: float | None
    tokens: int


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What ``verify`` measured.

    Attributes:
        file: The first file of embeddings.
        records: In all files.
        dimension: Of the vectors.
        dtype: Precision that the manifest recorded; None without a manifest.
        reference: What embedded the sample again.
        sample: How many different texts.
        seed: Of the sample.
        non_finite: Records of the whole file with NaN or Inf.
        zero: Records of the whole file without a direction.
        without_text: Records of the whole file that cannot be embedded again.
        drift: Stored against reference.
        overlap: None where too few vectors are there.
        worst: Lowest cosine first.
        min_cosine: What each cosine was held against.
        why_min_cosine: Why that.
        problems: What does not hold, in words; empty where all does.
        seconds: Wall time.
    """

    file: Path
    records: int
    dimension: int
    dtype: str | None
    reference: EncoderInfo
    sample: int
    seed: int
    non_finite: int
    zero: int
    without_text: int
    drift: Drift
    overlap: Overlap | None
    worst: tuple[VerifiedChunk, ...]
    min_cosine: float
    why_min_cosine: str
    problems: tuple[str, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        """Every vector is finite and every sampled one close enough."""
        return not self.problems


def verify(
    embeddings: Path,
    *,
    sample: int = 200,
    seed: int = 0,
    k: int = 10,
    min_cosine: float | None = None,
    model: str | None = None,
    options: EncoderOptions = EncoderOptions(precision="fp32"),
    progress: Progress = Progress(),
) -> VerifyReport:
    """Embed a random sample of a file's texts again, one by one, and compare.

    The reference reads each text alone, with the model's own tokenizer, in the precision of ``options``
    (fp32 unless told otherwise), with the prompt, lengths, dimension and normalisation of the manifest.
    Memory: the model, and up to 1 GB of vectors.

    Args:
        embeddings: The file (JSON lines, Parquet or npy; any shard means all), or the folder it lies in.
        sample: Different texts, at most.
        seed: Of the sample; the same seed picks the same texts.
        k: Neighbours that are compared.
        min_cosine: Every sampled vector needs; by the recorded precision (``THRESHOLDS``) when None.
        model: Needed only where no manifest says which model it was.
        options: Device, precision and trust of the reference.
        progress: Told of every phase.

    Raises:
        InputNotFound: No embeddings there.
        UsageError: No text or no vector that could be embedded again, or no model is named.
        Mismatch: The model's files are not those that made the vectors, or a line is no record.
        DimensionMismatch: Vectors of two lengths, or longer than the model's.
        ModelUnreachable: The model is neither here nor on the hub.
        QembedError: The reference itself is not finite.
    """
    if sample < 1 or k < 1 or seed < 0:
        raise UsageError("sample and k are at least 1, seed at least 0")
    started = perf_counter()
    found = find_embeddings(Path(embeddings))
    manifest = read_manifest(OutputFiles.of(found.path).manifest)
    try:
        source = _find_model(found.path, manifest, model, options)
        seen = _read(found, manifest, sample, seed, progress)
        progress.phase(f"loading {source.name}")
        encoder = Encoder.load(source, _as_before(options, manifest, seen.sample))
        reference = _embed_again(encoder, seen, found.path, progress)
    finally:
        progress.close()
    dtype = str(manifest.model["dtype"]) if manifest else None
    default, why = THRESHOLDS.get(dtype, THRESHOLDS[None])
    threshold = default if min_cosine is None else min_cosine
    stored = np.stack([one.vector for one in seen.sample])
    cosines = cosines_of(stored, reference)
    shares, overlap = same_neighbours(stored, reference, seen.ranked, k, seen.ranked_from)
    return VerifyReport(
        file=found.path,
        records=seen.records,
        dimension=seen.dimension,
        dtype=dtype,
        reference=encoder.info,
        sample=len(seen.sample),
        seed=seed,
        non_finite=seen.non_finite,
        zero=seen.zero,
        without_text=seen.without_text,
        drift=drift_of(stored, reference, cosines),
        overlap=overlap,
        worst=_worst(encoder, seen.sample, cosines, shares),
        min_cosine=threshold,
        why_min_cosine=why if min_cosine is None else "as asked",
        problems=_problems(seen, cosines, threshold),
        seconds=perf_counter() - started,
    )


def _find_model(
    path: Path, manifest: Manifest | None, model: str | None, options: EncoderOptions
) -> ModelSource:
    """The model's files on this machine, known to be those that made the vectors where a manifest tells."""
    name = model_name(path, manifest, model)
    if manifest is None:
        return fetch(resolve_model(name, revision=options.revision))
    made = manifest.model
    revision = options.revision or (made["revision"] if model is None else None)
    source = fetch(resolve_model(name, revision=revision))
    assert source.path is not None
    changed = _changed(made, source.path, source.kind)
    if changed:
        raise Mismatch(
            f"{source.id} is not the model that made these vectors ({made['id']}): {changed}",
            where=str(source.path),
            remedy="bring back that model (--model, --revision), or embed the chunks again with this one",
        )
    return source


def _changed(made: dict[str, Any], folder: Path, kind: str) -> str:
    weights = weights_sha256(folder)
    if weights != made["weights_sha256"]:
        return f"other weights (SHA-256 then {made['weights_sha256'][:12]}, now {weights[:12]})"
    # From the hub the commit says it; there the cache may hold more or fewer of the small files.
    if kind != "hub" and config_sha256(folder) != made["config_sha256"]:
        return "its tokenizer, prompts or configuration have changed"
    return ""


def _read(
    embeddings: Embeddings, manifest: Manifest | None, sample: int, seed: int, progress: Progress
) -> Contents:
    count = manifest.output.records if manifest else None
    progress.phase("reading the embeddings", total=count, unit="vectors")
    seen = read_contents(embeddings, size=sample, seed=seed, progress=progress)
    if not seen.sample:
        raise UsageError(
            f"none of {seen.records:,} records has a text and a usable vector",
            where=str(embeddings.path),
            remedy="qembed audit tells what is wrong; without texts nothing can be embedded again",
        )
    return seen


def _as_before(
    options: EncoderOptions, manifest: Manifest | None, sample: Sequence[Sampled]
) -> EncoderOptions:
    """As the vectors were made, in the precision and on the device of the reference."""
    if options.precision == "auto":
        options = replace(options, precision="fp32")
    if manifest is None:
        norms = np.array([np.linalg.norm(one.vector) for one in sample])
        return replace(options, normalize=bool((np.abs(norms - 1) < _NORM_TOLERANCE).all()))
    return documents_as_made(options, manifest)


def _embed_again(encoder: Encoder, seen: Contents, path: Path, progress: Progress) -> Vectors:
    """float32 (sample, dimension), one text a forward pass."""
    info = encoder.info
    if info.dimension < seen.dimension:
        raise DimensionMismatch(
            f"the vectors have {seen.dimension} dimensions, {info.id} gives {info.dimension}",
            where=str(path),
            remedy="name the model that made them with --model",
        )
    progress.phase("embedding again", total=len(seen.sample), unit="texts")
    reference = np.empty((len(seen.sample), seen.dimension), dtype=np.float32)
    for row, one in enumerate(seen.sample):
        reference[row] = encoder.encode([one.text])[0, : seen.dimension]
        if not np.isfinite(reference[row]).all() or not reference[row].any():
            raise QembedError(
                f"{info.id} in {info.dtype} gives no usable vector for {one.id!r}",
                where=one.place,
                remedy="use a reference of higher precision: --reference fp32",
            )
        progress.advance(1)
    if info.normalized and info.dimension > seen.dimension:
        reference /= np.linalg.norm(reference, axis=1, keepdims=True)
    return reference


def _worst(
    encoder: Encoder, sample: Sequence[Sampled], cosines: Floats, shares: Floats | None
) -> tuple[VerifiedChunk, ...]:
    worst = np.argsort(cosines, kind="stable")[:WORST].tolist()
    tokens = encoder.count([sample[at].text for at in worst])
    return tuple(
        VerifiedChunk(
            id=sample[at].id,
            place=sample[at].place,
            cosine=float(cosines[at]),
            overlap=None if shares is None else float(shares[at]),
            tokens=int(count),
        )
        for at, count in zip(worst, tokens, strict=True)
    )


def _problems(seen: Contents, cosines: Floats, threshold: float) -> tuple[str, ...]:
    below = int((cosines < threshold).sum())
    found = (
        (below, f"{below:,} of {len(cosines):,} sampled vectors have a cosine below {threshold:g}"),
        (seen.non_finite, f"{seen.non_finite:,} of {seen.records:,} vectors hold NaN or Inf"),
        (seen.zero, f"{seen.zero:,} of {seen.records:,} vectors are zero"),
    )
    return tuple(words for count, words in found if count)
