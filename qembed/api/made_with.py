"""The model that made a file of vectors, and how it was used: for all that uses it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qembed.errors import UsageError
from qembed.models import EncoderOptions
from qembed.store import Manifest, OutputFiles


def model_name(path: Path, manifest: Manifest | None, model: str | None) -> str:
    """What the user names, else what the manifest says.

    Args:
        path: Of the vectors.
        manifest: Theirs, where there is one.
        model: As the user named it.

    Raises:
        UsageError: Neither says it.
    """
    if model is not None:
        return model
    if manifest is None:
        raise UsageError(
            "no manifest says which model made these vectors",
            where=str(OutputFiles.of(path).manifest),
            remedy="name it with --model",
        )
    return str(manifest.model["name"])


def documents_as_made(options: EncoderOptions, manifest: Manifest) -> EncoderOptions:
    """``options`` with all that decided the vectors: lengths, dimension, normalisation, document prompt."""
    made = manifest.model
    return replace(
        options,
        max_length=manifest.settings["max_length"],
        truncate_dim=None if made["dimension"] == made["full_dimension"] else made["dimension"],
        normalize=made["normalized"],
        document_prompt=made["document_prompt"],
    )
