"""The model that made a file of vectors, and how it was used: for all that uses it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qembed.errors import DimensionMismatch, Mismatch, UsageError
from qembed.models import Encoder, EncoderOptions, fetch, resolve_model
from qembed.models.weights import weights_sha256
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


def load_query_encoder(
    path: Path, manifest: Manifest | None, model: str | None, options: EncoderOptions, *, dimension: int
) -> Encoder:
    """The model that made a file of vectors, used as it was then, to encode questions.

    Args:
        path: Of the vectors.
        manifest: Theirs, where there is one.
        model: As the user named it; needed only without a manifest.
        options: Device, precision and trust; prompts, lengths and dimension come from the manifest.
        dimension: Of the vectors.

    Raises:
        UsageError: No model is named.
        ModelUnreachable: The model is neither here nor on the hub.
        Mismatch: Other weights than those that made the vectors.
        DimensionMismatch: The model's vectors have another length.
    """
    encoder = _load(model_name(path, manifest, model), options, manifest, replaced=model is not None)
    _check_same_weights(encoder, manifest, path)
    if encoder.info.dimension != dimension:
        raise DimensionMismatch(
            f"the vectors have {dimension} dimensions, {encoder.info.id} gives {encoder.info.dimension}",
            where=str(path),
            remedy="name the model that made them with --model, or embed the chunks again",
        )
    return encoder


def _load(name: str, options: EncoderOptions, manifest: Manifest | None, *, replaced: bool) -> Encoder:
    """``replaced`` where the user names another model than the manifest."""
    if manifest is None:
        return Encoder.load(name, options)
    if not replaced:
        options = replace(options, revision=options.revision or manifest.model["revision"])
    source = fetch(resolve_model(name, revision=options.revision))
    assert source.path is not None
    if replaced and weights_sha256(source.path) != manifest.model["weights_sha256"]:
        return Encoder.load(source, options)  # only to say how it differs; the old lengths need not fit it
    options = replace(documents_as_made(options, manifest), query_prompt=manifest.model["query_prompt"])
    return Encoder.load(source, options)


def _check_same_weights(encoder: Encoder, manifest: Manifest | None, path: Path) -> None:
    if manifest is None or encoder.info.weights_sha256 == manifest.model["weights_sha256"]:
        return
    made, now = manifest.model, encoder.info
    if made["full_dimension"] != now.full_dimension:
        raise DimensionMismatch(
            f"{made['id']} made these vectors, with {made['full_dimension']} dimensions; "
            f"{now.id} has {now.full_dimension}",
            where=str(path),
            remedy=f"leave --model out, or embed the chunks again with {now.name}",
        )
    raise Mismatch(
        f"{made['id']} made these vectors (weights {made['weights_sha256'][:12]}); "
        f"{now.id} has other weights ({now.weights_sha256[:12]})",
        where=str(path),
        remedy="vectors of two models do not mix: leave --model out, or embed the chunks again",
    )
