"""The model that made a file of vectors, and the settings it ran with, for commands that use it again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from qembed.errors import DimensionMismatch, Mismatch, ModelUnreachable, UsageError
from qembed.models import Encoder, EncoderOptions, ModelSource, fetch, resolve_model
from qembed.models.catalog import find_model
from qembed.models.probe import check_probe
from qembed.models.weights import config_sha256, weights_sha256
from qembed.store import Manifest, OutputFiles

_SAME_MODEL = "use the model that made them (--model, --revision), or embed the chunks again with this one"


def model_name(path: Path | str, manifest: Manifest | None, model: str | None) -> str:
    """The model that the user names, else the one in the manifest.

    Args:
        path: File of the vectors, or the address of the collection that they are in.
        manifest: Theirs, where there is one.
        model: As the user named it.

    Raises:
        UsageError: Neither names one.
    """
    if model is not None:
        return model
    if manifest is None:
        raise UsageError(
            "no manifest says which model made these vectors",
            where=path if isinstance(path, str) else str(OutputFiles.of(path).manifest),
            remedy="name it with --model",
        )
    return str(manifest.model["name"])


def name_here(model: str | None, weights: str | None) -> str | None:
    """The name by which this machine has a model: a short name means other files than the hub's id may.

    Args:
        model: Its id; None gives None.
        weights: Hash of its weights, where that is known.

    Returns:
        The short name where its files are here and have these weights, else the id.
    """
    card = find_model(model) if model is not None else None
    if card is not None:
        with suppress(ModelUnreachable, UsageError):
            source = resolve_model(card.short_name)
            if source.path is not None and weights in (None, weights_sha256(source.path)):
                return card.short_name
    return model


def documents_as_made(options: EncoderOptions, manifest: Manifest) -> EncoderOptions:
    """``options`` with what decided the vectors: lengths, dimension, normalisation, document prompt."""
    made = manifest.model
    return replace(
        options,
        max_length=manifest.settings["max_length"],
        truncate_dim=made["dimension"],  # also where it is all of them: the files may ask for fewer
        pooling=made.get("pooling"),
        normalize=made["normalized"],
        document_prompt=made["document_prompt"],
    )


def as_made(options: EncoderOptions, manifest: Manifest) -> EncoderOptions:
    """``documents_as_made``, with the query prompt of the manifest too."""
    return replace(documents_as_made(options, manifest), query_prompt=manifest.model["query_prompt"])


def find_source(
    path: Path | str, manifest: Manifest | None, model: str | None, options: EncoderOptions
) -> ModelSource:
    """The files of the model that made some vectors, on this machine; whether they changed is not asked.

    Args:
        path: File of the vectors.
        manifest: Theirs, where there is one.
        model: As the user named it; needed only without a manifest.
        options: The revision wins over that of the manifest.

    Raises:
        UsageError: No model is named.
        ModelUnreachable: The model is neither here nor on the hub.
    """
    revision = options.revision
    if manifest is not None and model is None:
        revision = revision or manifest.model["revision"]
    return fetch(resolve_model(model_name(path, manifest, model), revision=revision))


def change_of(made: Mapping[str, Any], source: ModelSource) -> str:
    """How a model's files differ from those that a manifest describes, in words; empty where they do not.

    Args:
        made: The manifest's ``model``.
        source: With its files on this machine.
    """
    assert source.path is not None
    weights = weights_sha256(source.path)
    if weights != made["weights_sha256"]:
        return _other_weights(made["weights_sha256"], weights)
    # On the hub the commit settles it; the cache may hold more or fewer of the small files.
    if source.kind != "hub" and config_sha256(source.path) != made["config_sha256"]:
        return "its tokenizer, prompts or configuration have changed"
    return ""


def _other_weights(then: str, now: str) -> str:
    return f"other weights (SHA-256 then {then[:12]}, now {now[:12]})"


def check_same_model(manifest: Manifest | None, source: ModelSource) -> None:
    """Compare a model's files with those that made some vectors.

    Raises:
        Mismatch: Other weights, or another tokenizer, prompts or configuration.
    """
    if manifest is None:
        return
    changed = change_of(manifest.model, source)
    if not changed:
        return
    raise Mismatch(
        f"{source.id} is not the model that made these vectors ({manifest.model['id']}): {changed}",
        where=str(source.path),
        remedy=_SAME_MODEL,
    )


def load_query_encoder(
    path: Path | str,
    manifest: Manifest | None,
    model: str | None,
    options: EncoderOptions,
    *,
    dimension: int,
    weights: str | None = None,
    query_prompt: str | None = None,
) -> Encoder:
    """Load the model that made a file of vectors, used as it was then, to encode queries.

    Args:
        path: File of the vectors.
        manifest: Theirs, where there is one.
        model: As the user named it; needed only without a manifest.
        options: Device, precision and trust; prompts, lengths and dimension come from the manifest.
        dimension: Dimension of the vectors.
        weights: Hash of the model's weights, as a collection on a server has it noted. Of this model, vectors
            of fewer dimensions are truncated ones.
        query_prompt: What stands before a query, likewise; it wins where ``options`` have none.

    Raises:
        UsageError: No model is named.
        ModelUnreachable: The model is neither here nor on the hub.
        Mismatch: It is not the model that made the vectors, or does not compute the same any more.
        DimensionMismatch: Nor has it their dimension.
    """
    source = find_source(path, manifest, model, options)
    try:
        check_same_model(manifest, source)
    except Mismatch:
        if manifest is not None:
            _check_dimension(manifest, Encoder.load(source, options), path)
        raise
    if weights is not None and source.path is not None and weights != (now := weights_sha256(source.path)):
        raise Mismatch(
            f"{source.id} is not the model that made these vectors: {_other_weights(weights, now)}",
            where=str(path),
            remedy=_SAME_MODEL,
        )
    if manifest is not None:
        options = as_made(options, manifest)
    elif weights is not None:
        prompt = query_prompt if options.query_prompt is None else options.query_prompt
        options = replace(options, truncate_dim=dimension, query_prompt=prompt)
    encoder = Encoder.load(source, options)
    if encoder.info.dimension != dimension:
        raise DimensionMismatch(
            f"the vectors have {dimension} dimensions, {encoder.info.id} gives {encoder.info.dimension}",
            where=str(path),
            remedy="name the model that made them with --model, or embed the chunks again",
        )
    if manifest is not None:
        made = manifest.model
        what = f"the {made['dtype']} model that made these vectors"
        check_probe(made.get("probe", ()), made["dtype"], encoder.info, what=what)
    return encoder


def _check_dimension(manifest: Manifest, encoder: Encoder, path: Path | str) -> None:
    made, now = manifest.model, encoder.info
    if made["full_dimension"] != now.full_dimension:
        raise DimensionMismatch(
            f"{made['id']} made these vectors, with {made['full_dimension']} dimensions; "
            f"{now.id} has {now.full_dimension}",
            where=str(path),
            remedy=f"leave --model out, or embed the chunks again with {now.name}",
        )
