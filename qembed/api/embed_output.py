"""Writing the file of vectors, and telling whether an earlier run has already written it."""

from __future__ import annotations

from dataclasses import asdict
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from qembed.corpus import CorpusOptions, complete
from qembed.corpus.survey import Groups
from qembed.errors import OutputExists
from qembed.models import EncoderOptions, ModelSource
from qembed.models.weights import config_sha256, weights_sha256
from qembed.progress import Progress
from qembed.records import Lengths, Vectors
from qembed.store import (
    ChunksFingerprint,
    Manifest,
    Output,
    OutputFiles,
    Spool,
    atomic_file,
    read_manifest,
    record_line,
)

_REMEDY = "--force replaces it; another -o folder or --collection keeps both"


def write_embeddings(
    file: Path,
    spool: Spool,
    groups: Groups,
    lengths: Lengths,
    vectors: Vectors,
    progress: Progress,
) -> Output:
    """Write every chunk with its text's vector, in input order.

    Args:
        file: Its name.
        spool: The chunks.
        groups: Which unique text each chunk has.
        lengths: Tokens of each unique text before truncation; goes into the metadata.
        vectors: float32 (unique texts, dimension).
        progress: Told of every 256 chunks.

    Raises:
        QembedError: The disk is full; what was there before is untouched.
    """
    digest, fingerprint, size_bytes = sha256(), ChunksFingerprint(), 0
    vectors = np.asarray(vectors)  # orjson takes plain arrays only, not maps of files
    with atomic_file(file) as out:
        for position, text_number in enumerate(groups.inverse.tolist()):
            chunk = spool[position]
            metadata = complete(chunk.metadata, {"token_count": int(lengths[text_number])})
            line = record_line(chunk.id, chunk.text, vectors[text_number], metadata)
            out.write(line)
            digest.update(line)
            fingerprint.add(chunk.id, chunk.text)
            size_bytes += len(line)
            if position % 256 == 255:
                progress.advance(256)
    return Output(
        file=file.name,
        bytes=size_bytes,
        sha256=digest.hexdigest(),
        chunks_fingerprint=fingerprint.hexdigest(),
        records=len(spool),
        dimension=int(vectors.shape[1]),
    )


def settings_of(source: ModelSource, encoder: EncoderOptions, corpus: CorpusOptions) -> dict[str, Any]:
    """What decides the output, apart from the chunks and the weights. The device is not among it."""
    wanted = asdict(encoder)
    for key in ("device", "trust_remote_code", "code_revision"):
        del wanted[key]
    return {"model": source.id, **wanted, "revision": source.revision, **asdict(corpus)}


def earlier_summary(
    files: OutputFiles, fingerprint: str, settings: dict[str, Any], source: ModelSource
) -> dict[str, Any] | None:
    """The summary of an earlier run with the same inputs and settings; None where nothing is there.

    Raises:
        OutputExists: Something else is there: other inputs or settings, a changed or an unknown file.
    """
    existing = files.existing()
    if not existing:
        return None
    manifest = read_manifest(files.manifest)
    if manifest is None:
        raise OutputExists(
            "output is there, but no manifest that says how it was made",
            where=str(existing[0]),
            remedy=_REMEDY,
        )
    differences = _differences(manifest, fingerprint, settings, source)
    if differences:
        raise OutputExists(
            f"the output there was made otherwise: {'; '.join(differences)}",
            where=str(files.embeddings),
            remedy=_REMEDY,
        )
    if not _intact(files, manifest):
        raise OutputExists(
            "the output was made with these settings, but has changed or lost a file since",
            where=str(files.embeddings),
            remedy="--force writes it again; qembed audit tells what is wrong with it",
        )
    summary = orjson.loads(files.summary.read_bytes())
    assert isinstance(summary, dict)
    return summary


def _differences(
    manifest: Manifest, fingerprint: str, settings: dict[str, Any], source: ModelSource
) -> list[str]:
    found = [
        f"{key} {manifest.settings.get(key)!r}, now {value!r}"
        for key, value in settings.items()
        if manifest.settings.get(key) != value
    ]
    if manifest.inputs.fingerprint != fingerprint:
        found.append(f"the chunks have changed (then {manifest.inputs.chunks:,})")
    if not found and source.path is not None:
        found += _changes_of_model(manifest.model, source.path, source.kind)
    return found


def _changes_of_model(model: dict[str, Any], folder: Path, kind: str) -> list[str]:
    if model["weights_sha256"] != weights_sha256(folder):
        return ["the weights have changed"]
    # From the hub the commit says it; there the cache may hold more or fewer of the small files.
    if kind != "hub" and model["config_sha256"] != config_sha256(folder):
        return ["the model's tokenizer, prompts or configuration have changed"]
    return []


def _intact(files: OutputFiles, manifest: Manifest) -> bool:
    if len(files.existing()) < 3 or files.embeddings.stat().st_size != manifest.output.bytes:
        return False
    with files.embeddings.open("rb") as file:
        return file_digest(file, "sha256").hexdigest() == manifest.output.sha256
