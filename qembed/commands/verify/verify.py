"""``verify``: are the vectors of a file those that its model gives, embedded again one by one in fp32?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from qembed.commands.verify.compare import Drift, Floats, Overlap, cosines_of, drift_of, same_neighbours
from qembed.commands.verify.ranking import Ranking, RankingOptions, candidates_of, prepare, rank_again
from qembed.commands.verify.reference import Reference, ToEmbed, as_before, that_fits
from qembed.commands.verify.sample import Contents, Sampled, read_contents
from qembed.engine.workers.oom import release_memory
from qembed.errors import UsageError
from qembed.models import Encoder, EncoderInfo, EncoderOptions
from qembed.progress import Progress
from qembed.store import Embeddings, Manifest, OutputFiles, find_embeddings, read_manifest
from qembed.store.made_with import check_same_model, find_source

WORST = 5
"""Chunks of the sample that are named."""

THRESHOLDS: dict[str | None, tuple[float, str]] = {
    "fp32": (0.99999, "the same arithmetic in another order"),
    "fp16": (0.9999, "rounded to 11 bits; 0.999999 with all-MiniLM-L6-v2"),
    "bf16": (0.999, "rounded to 8 bits; 0.9999 with all-MiniLM-L6-v2"),
    "int16": (0.99999, "rounded to 16 bits; 0.9999997 with all-MiniLM-L6-v2"),
    "int8": (0.99, "weights and inputs of 8 bits; 0.994 with all-MiniLM-L6-v2"),
    "nf4": (0.9, "weights of 4 bits; 0.92 with all-MiniLM-L6-v2"),
    None: (0.999, "the precision is not recorded; as for bf16"),
}
"""By recorded precision: the least cosine that rounding explains, and why (docs/verify.md)."""


@dataclass(frozen=True, slots=True)
class VerifiedChunk:
    """A text of the sample.

    Attributes:
        id: Id of the first chunk with this text.
        place: File and line or row.
        cosine: Cosine of its two vectors.
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
        dimension: Dimension of the vectors.
        dtype: Precision that the manifest recorded; None without a manifest.
        reference: What embedded the sample again.
        sample: Number of distinct texts.
        seed: Random seed of the sample.
        non_finite: Records of the whole file with NaN or Inf.
        zero: Records of the whole file without a direction.
        without_text: Records of the whole file that cannot be embedded again.
        drift: Stored against reference.
        overlap: None where too few vectors are there.
        worst: Lowest cosine first.
        min_cosine: The least cosine that counts as equal.
        why_min_cosine: Why that.
        ranking: Whether the order of judged queries' results has changed; None without an eval set.
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
    ranking: Ranking | None
    problems: tuple[str, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        """Every vector is finite, every sampled one close enough, and no ranking is shown to be worse."""
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
    ranking: RankingOptions | None = None,
    progress: Progress = Progress(),
) -> VerifyReport:
    """Embed a random sample of a file's texts again, one by one, and compare.

    The reference reads each text alone, with the model's own tokenizer, in the precision of ``options``
    (fp32 unless told otherwise), with the prompt, lengths, dimension and normalisation of the manifest.
    Memory: the model, and up to 1 GB of vectors; with an eval set all distinct texts with their vectors.

    Args:
        embeddings: The file (JSON lines, Parquet or npy; any shard means all), or the folder it lies in.
        sample: Different texts, at most.
        seed: Random seed of the sample; the same seed picks the same texts.
        k: Neighbours that are compared.
        min_cosine: Every sampled vector needs; by the recorded precision (``THRESHOLDS``) when None.
        model: Needed only where no manifest says which model it was.
        options: Device, precision and trust of the reference.
        ranking: Also tell whether judged queries are answered in another order, with this eval set.
        progress: Receives the progress of every phase.

    Raises:
        InputNotFound: No embeddings there.
        UsageError: No text or no vector that could be embedded again, or no model is named.
        Mismatch: The model's files are not those that made the vectors, or a line is no record.
        DimensionMismatch: Vectors of two lengths, or longer than the model's.
        ModelUnreachable: The model is neither here nor on the hub.
        QembedError: The reference itself is not finite, or does not fit the device.
    """
    if sample < 1 or k < 1 or seed < 0:
        raise UsageError("sample and k are at least 1, seed at least 0")
    started = perf_counter()
    prepared = None if ranking is None else prepare(ranking)
    found = find_embeddings(Path(embeddings))
    manifest = read_manifest(OutputFiles.of(found.path).manifest)  # damaged files are what it is for
    try:
        source = find_source(found.path, manifest, model, options)
        check_same_model(manifest, source)
        seen = _read(found, manifest, sample, seed, progress)
        stored = np.stack([one.vector for one in seen.sample])
        pool = None
        if ranking is not None and prepared is not None:
            pool = candidates_of(found.path, manifest, model, options, ranking, prepared, progress)
        release_memory()  # of the model that has encoded the queries
        progress.phase(f"loading {source.name}")
        encoder = Encoder.load(source, as_before(that_fits(source, options), manifest, stored))
        reference = Reference(encoder, seen.dimension, found.path)
        progress.phase("embedding again", total=len(seen.sample), unit="texts")
        vectors = reference.embed([ToEmbed(one.id, one.place, one.text) for one in seen.sample], progress)
        order = None
        if ranking is not None and pool is not None:
            order = rank_again(pool, reference, ranking, progress)
    finally:
        progress.close()
    dtype = str(manifest.model["dtype"]) if manifest else None
    default, why = THRESHOLDS.get(dtype, THRESHOLDS[None])
    threshold = default if min_cosine is None else min_cosine
    cosines = cosines_of(stored, vectors)
    shares, overlap = same_neighbours(stored, vectors, seen.ranked, k, seen.ranked_from)
    return VerifyReport(
        file=found.path,
        records=seen.records,
        dimension=seen.dimension,
        dtype=dtype,
        reference=reference.info,
        sample=len(seen.sample),
        seed=seed,
        non_finite=seen.non_finite,
        zero=seen.zero,
        without_text=seen.without_text,
        drift=drift_of(stored, vectors, cosines),
        overlap=overlap,
        worst=_worst(reference, seen.sample, cosines, shares),
        min_cosine=threshold,
        why_min_cosine=why if min_cosine is None else "as asked",
        ranking=order,
        problems=_problems(seen, cosines, threshold, order),
        seconds=perf_counter() - started,
    )


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


def _worst(
    reference: Reference, sample: Sequence[Sampled], cosines: Floats, shares: Floats | None
) -> tuple[VerifiedChunk, ...]:
    worst = np.argsort(cosines, kind="stable")[:WORST].tolist()
    tokens = reference.count([sample[at].text for at in worst])
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


def _problems(seen: Contents, cosines: Floats, threshold: float, ranking: Ranking | None) -> tuple[str, ...]:
    below = int((cosines < threshold).sum())
    found = (
        (below, f"{below:,} of {len(cosines):,} sampled vectors have a cosine below {threshold:g}"),
        (seen.non_finite, f"{seen.non_finite:,} of {seen.records:,} vectors hold NaN or Inf"),
        (seen.zero, f"{seen.zero:,} of {seen.records:,} vectors are zero"),
    )
    worse = ranking is not None and ranking.comparison.verdict == "worse"
    order = (f"the ranking is {ranking.words}",) if ranking is not None and worse else ()
    return (*(words for count, words in found if count), *order)
