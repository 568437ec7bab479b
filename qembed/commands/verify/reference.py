"""The reference of ``verify``: the model that made the vectors, as slow and plain as can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qembed.errors import DimensionMismatch, Mismatch, QembedError
from qembed.models import Encoder, EncoderInfo, EncoderOptions, ModelSource, Role, fetch, resolve_model
from qembed.models.weights import config_sha256, weights_sha256
from qembed.progress import Progress
from qembed.records import Lengths, Vectors
from qembed.store import Manifest
from qembed.store.made_with import documents_as_made, model_name

_NORM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class ToEmbed:
    """A text that is embedded again.

    Attributes:
        id: Of the chunk or the query.
        place: Where it was read.
        text: Without a prompt.
    """

    id: str
    place: str
    text: str


class Reference:
    """Embeds texts one a forward pass, each text once."""

    def __init__(self, encoder: Encoder, dimension: int, path: Path) -> None:
        """``dimension`` and ``path`` are those of the stored vectors.

        Raises:
            DimensionMismatch: The stored vectors are longer than the model's.
        """
        if encoder.info.dimension < dimension:
            raise DimensionMismatch(
                f"the vectors have {dimension} dimensions, {encoder.info.id} gives {encoder.info.dimension}",
                where=str(path),
                remedy="name the model that made them with --model",
            )
        self._encoder = encoder
        self._dimension = dimension
        self._known: dict[tuple[Role, str], npt.NDArray[np.float32]] = {}

    @property
    def info(self) -> EncoderInfo:
        """What was loaded."""
        return self._encoder.info

    def count(self, texts: Sequence[str]) -> Lengths:
        """Tokens of documents before truncation."""
        return self._encoder.count(texts)

    def embed(self, items: Sequence[ToEmbed], progress: Progress, role: Role = "document") -> Vectors:
        """float32 (items, dimension).

        Raises:
            QembedError: A vector that is not finite or zero; names the item.
        """
        vectors = np.empty((len(items), self._dimension), dtype=np.float32)
        for row, one in enumerate(items):
            known = self._known.get((role, one.text))
            vectors[row] = self._one(one, role) if known is None else known
            self._known[role, one.text] = vectors[row]
            progress.advance(1)
        return vectors

    def _one(self, one: ToEmbed, role: Role) -> npt.NDArray[np.float32]:
        vector = self._encoder.encode([one.text], role)[0, : self._dimension]
        if not np.isfinite(vector).all() or not vector.any():
            raise QembedError(
                f"{self.info.id} in {self.info.dtype} gives no usable vector for {one.id!r}",
                where=one.place,
                remedy="use a reference of higher precision: --reference fp32",
            )
        if self.info.normalized and self.info.dimension > self._dimension:
            return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
        return vector


def find_model(
    path: Path, manifest: Manifest | None, model: str | None, options: EncoderOptions
) -> ModelSource:
    """The model's files on this machine, known to be those that made the vectors where a manifest tells.

    Raises:
        UsageError: No model is named.
        ModelUnreachable: It is neither here nor on the hub.
        Mismatch: Its files are not those that made the vectors.
    """
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


def as_before(options: EncoderOptions, manifest: Manifest | None, stored: Vectors) -> EncoderOptions:
    """As the vectors were made, in the precision and on the device of the reference.

    Args:
        options: Of the reference; ``auto`` is fp32.
        manifest: Of the vectors, where there is one.
        stored: Some of them, which tell whether they are normalised where no manifest does.
    """
    if options.precision == "auto":
        options = replace(options, precision="fp32")
    if manifest is None:
        norms = np.linalg.norm(stored, axis=1)
        return replace(options, normalize=bool((np.abs(norms - 1) < _NORM_TOLERANCE).all()))
    return replace(documents_as_made(options, manifest), query_prompt=manifest.model["query_prompt"])


def _changed(made: dict[str, Any], folder: Path, kind: str) -> str:
    weights = weights_sha256(folder)
    if weights != made["weights_sha256"]:
        return f"other weights (SHA-256 then {made['weights_sha256'][:12]}, now {weights[:12]})"
    # From the hub the commit says it; there the cache may hold more or fewer of the small files.
    if kind != "hub" and config_sha256(folder) != made["config_sha256"]:
        return "its tokenizer, prompts or configuration have changed"
    return ""
