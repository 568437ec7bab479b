"""The reference of ``verify``: the model that made the vectors, as slow and plain as can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qembed.engine.planning.candidates import Limits
from qembed.engine.planning.choice import choose
from qembed.engine.planning.facts import model_facts
from qembed.engine.planning.presets import device_here
from qembed.engine.workers.oom import encode_in_parts
from qembed.errors import DimensionMismatch, QembedError
from qembed.models import Encoder, EncoderInfo, EncoderOptions, ModelSource, Role
from qembed.models.device import Precision, pick_device
from qembed.progress import Progress
from qembed.records import Lengths, Vectors
from qembed.store import Manifest
from qembed.store.made_with import as_made

_NORM_TOLERANCE = 1e-3
_EXACT: tuple[Precision, ...] = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, slots=True)
class ToEmbed:
    """A text that is embedded again.

    Attributes:
        id: Id of the chunk or the query.
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
        vector = encode_in_parts(self._encoder, [one.text], role)[0, : self._dimension]
        if not np.isfinite(vector).all() or not vector.any():
            raise QembedError(
                f"{self.info.id} in {self.info.dtype} gives no usable vector for {one.id!r}",
                where=one.place,
                remedy="use a reference of higher precision: --reference fp32",
            )
        if self.info.normalized and self.info.dimension > self._dimension:
            return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
        return vector


def that_fits(source: ModelSource, options: EncoderOptions) -> EncoderOptions:
    """``options`` with a precision that fits the device; ``auto`` is the widest exact one that does.

    Raises:
        QembedError: The precision that was asked for does not fit; the remedy names one that does.
    """
    device, facts = device_here([pick_device(options.device)]), model_facts(source)
    fitting = [
        precision
        for precision in _EXACT
        if choose(facts, device, limits=Limits(precision=precision)).decision.chosen is not None
    ]
    if options.precision == "auto" and fitting:
        return replace(options, precision=fitting[0])
    asked = "fp32" if options.precision == "auto" else options.precision
    if asked in _EXACT and asked not in fitting:
        raise QembedError(
            f"{facts.id} in {asked} does not fit {device.label}",
            remedy=f"--reference {fitting[0]}" if fitting else "another --device, as cpu",
        )
    return options


def as_before(options: EncoderOptions, manifest: Manifest | None, stored: Vectors) -> EncoderOptions:
    """As the vectors were made, in the precision and on the device of the reference.

    Args:
        options: Options of the reference encoder.
        manifest: Manifest of the vectors, if there is one.
        stored: Some of them, which tell whether they are normalised where no manifest does.
    """
    if manifest is None:
        norms = np.linalg.norm(stored, axis=1)
        return replace(options, normalize=bool((np.abs(norms - 1) < _NORM_TOLERANCE).all()))
    return as_made(options, manifest)
