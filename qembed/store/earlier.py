"""Whether an earlier run has already written what a run is asked for."""

from __future__ import annotations

from dataclasses import asdict
from hashlib import file_digest
from typing import Any

import orjson

from qembed.corpus import CorpusOptions
from qembed.errors import Mismatch, OutputExists
from qembed.models import EncoderOptions, ModelSource
from qembed.store.made_with import change_of
from qembed.store.manifest import Manifest, OutputFiles, read_manifest

_REMEDY = "--force replaces it; another -o folder or --collection keeps both"


def settings_of(source: ModelSource, encoder: EncoderOptions, corpus: CorpusOptions) -> dict[str, Any]:
    """What decides the output, apart from the chunks and the weights. The device is not among it."""
    wanted = asdict(encoder)
    for key in ("device", "trust_remote_code", "code_revision", "shard", "kernels"):
        wanted.pop(key, None)
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
            "there is output, but no manifest that says how it was made",
            where=str(existing[0]),
            remedy=_REMEDY,
        )
    differences = _differences(manifest, fingerprint, settings, source)
    if differences:
        raise OutputExists(
            f"the output there was made with other inputs or settings: {'; '.join(differences)}",
            where=str(files.embeddings),
            remedy=_REMEDY,
        )
    summary = _read_summary(files)
    if summary is None or not _intact(files, manifest):
        raise OutputExists(
            "the output was made with these settings, but has changed or lost a file since then",
            where=str(files.embeddings),
            remedy="--force writes it again; qembed audit tells what is wrong with it",
        )
    return summary


def _read_summary(files: OutputFiles) -> dict[str, Any] | None:
    """The summary; None where it is missing or damaged."""
    try:
        summary = orjson.loads(files.summary.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return summary if isinstance(summary, dict) else None


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
    if not found and source.path is not None and (change := change_of(manifest.model, source)):
        found.append(f"the model: {change}")
    return found


def _intact(files: OutputFiles, manifest: Manifest) -> bool:
    folder = files.embeddings.parent
    for written in manifest.output.all_files:
        path = folder / written.name
        if not path.is_file() or path.stat().st_size != written.bytes:
            return False
        with path.open("rb") as file:
            if file_digest(file, "sha256").hexdigest() != written.sha256:
                return False
    return True


def replaced_files(files: OutputFiles) -> list[str]:
    """Names of the files that a new set replaces: those that the manifest there lists, and no others.

    A file of another format, or a shard, that somebody else put beside them is not ours to remove.
    """
    try:
        manifest = read_manifest(files.manifest)
    except (Mismatch, OSError):  # with --force it is replaced, but nobody knows what it stood for
        return []
    return [written.name for written in manifest.output.all_files] if manifest else []
