"""A cross-encoder as a reranker: each different pair of query and text is read once."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np
import numpy.typing as npt

from qembed.evaluation.rerank.base import EngineReranker
from qembed.evaluation.rerank.engine import (
    Job,
    distinct,
    flat,
    reranked,
    sizes_of,
)
from qembed.evaluation.rerank.reranker import Reranked
from qembed.models import EncoderOptions, ModelSource
from qembed.models.rerank.cross_encoder import ACTIVATION, PairEncoder
from qembed.models.rerank.pairs import join_pair
from qembed.progress import Progress


class CrossEncoder(EngineReranker[PairEncoder]):
    """The raw logit of query and text, read together.

    Attributes:
        name: E.g. ``cross-encoder/ms-marco-MiniLM-L6-v2``.
    """

    kind = "cross-encoder"
    activation = ACTIVATION

    def __init__(
        self, name: str, source: ModelSource, options: EncoderOptions, token_budget: int | None
    ) -> None:
        """Load the model.

        Raises:
            UsageError, QembedError: As ``models.rerank.cross_encoder.PairEncoder.load``.
        """
        super().__init__(name, PairEncoder.load, source, options, token_budget)
        self._tokens = self._engine.model().tokens

    def _rerank(
        self,
        queries: Sequence[str],
        texts: Sequence[str],
        candidates: Sequence[npt.NDArray[np.int64]],
        *,
        here: bool,
        progress: Progress = Progress(),
    ) -> Reranked:
        started = perf_counter()
        of_query, of_text = flat(candidates)
        if not len(of_text):
            return reranked(None, np.empty(0), candidates, started=started)
        asked, number_of_query = distinct(queries)
        bare, number_of_text = distinct(texts)
        pairs, place = np.unique(
            number_of_query[of_query] * len(bare) + number_of_text[of_text], return_inverse=True
        )
        query, text = np.divmod(pairs, len(bare))

        def joined(first: int, last: int) -> list[str]:
            return [
                join_pair(asked[one], bare[other])
                for one, other in zip(query[first:last].tolist(), text[first:last].tolist(), strict=True)
            ]

        job: Job[PairEncoder] = Job(
            texts=joined,
            sizes=sizes_of(asked)[query] + sizes_of(bare)[text],
            tokenizer=self._tokens,
            bind=_as_it_is,
            dimension=1,
            name=lambda row: f"the query {asked[query[row]]!r} with the text {bare[text[row]][:80]!r}",
        )
        scored = self._engine.score(job, here=here, progress=progress)
        return reranked(
            scored,
            scored.rows[place, 0].astype(np.float64),
            candidates,
            unique_pairs=len(pairs),
            truncated_pairs=int((scored.lengths > self._engine.info.max_tokens).sum()),
            started=started,
        )


def _as_it_is(model: PairEncoder) -> PairEncoder:
    return model
