"""What the engine needs of a model; ``models.Encoder`` is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from qembed.models.info import EncoderInfo
from qembed.records import Vectors


class Pending(Protocol):
    """A forward pass that has begun."""

    def result(self) -> Vectors:
        """float32 (texts, dimension)."""


class Model(Protocol):
    """Token ids or texts in, vectors out."""

    @property
    def info(self) -> EncoderInfo:
        """What was loaded."""

    @property
    def reads_tokens(self) -> bool:
        """Whether ``submit`` can be used; else ``submit_texts``."""

    def submit(self, ids: Sequence[npt.NDArray[np.int32]], /) -> Pending:
        """Begin a forward pass over token ids."""

    def submit_texts(self, texts: Sequence[str], /) -> Pending:
        """Begin a forward pass over texts."""
