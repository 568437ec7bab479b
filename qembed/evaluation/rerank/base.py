"""What rerankers on the engine share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic

import numpy as np
import numpy.typing as npt

from qembed.evaluation.rerank.engine import M, RerankEngine
from qembed.evaluation.rerank.reranker import Reranked
from qembed.models import EncoderOptions, ModelSource
from qembed.models.info import EncoderInfo
from qembed.progress import Progress


class EngineReranker(ABC, Generic[M]):
    """A reranker whose model runs on the engine; see ``Reranker``.

    Attributes:
        name: As the user wrote it.
    """

    kind: ClassVar[str]
    activation: ClassVar[str]

    def __init__(
        self,
        name: str,
        load: Callable[[ModelSource, EncoderOptions], M],
        source: ModelSource,
        options: EncoderOptions,
        token_budget: int | None,
    ) -> None:
        """Load the model; see ``RerankEngine``."""
        self.name = name
        self._engine = RerankEngine(load, source, options, token_budget)

    @property
    def provenance(self) -> dict[str, Any]:
        """What decides a score."""
        return _provenance(self._engine.info, self.kind, self.activation)

    def rerank(
        self,
        queries: Sequence[str],
        texts: Sequence[str],
        candidates: Sequence[npt.NDArray[np.int64]],
        *,
        progress: Progress = Progress(),
    ) -> Reranked:
        """Score the candidates of every query."""
        return self._rerank(queries, texts, candidates, here=False, progress=progress)

    def score_one(self, query: str, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """One query with its candidates, end to end, in this process; float64 (texts,)."""
        return self._rerank([query], texts, [np.arange(len(texts))], here=True).scores[0]

    @abstractmethod
    def _rerank(
        self,
        queries: Sequence[str],
        texts: Sequence[str],
        candidates: Sequence[npt.NDArray[np.int64]],
        *,
        here: bool,
        progress: Progress = Progress(),
    ) -> Reranked:
        """Score all candidates; ``here`` in this process, whatever the number of devices."""


def _provenance(info: EncoderInfo, kind: str, activation: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "id": info.id,
        "revision": info.revision,
        "weights_sha256": info.weights_sha256,
        "config_sha256": info.config_sha256,
        "dtype": info.dtype,
        "device": info.device,
        "device_name": info.device_name,
        "max_tokens": info.max_tokens,
        "activation": activation,
        "attention": info.attention,
        "kernels": info.kernels,
        "weights_note": info.weights_note,
    }
