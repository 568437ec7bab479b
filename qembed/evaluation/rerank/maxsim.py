"""Late interaction as a reranker: every different candidate is read once, whatever the number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
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
from qembed.models.rerank.maxsim import MaxSimModel, NumberedTokens, Wanted, numbered
from qembed.models.rerank.token_states import TokenModel, load_token_model
from qembed.progress import Progress


class MaxSim(EngineReranker[TokenModel]):
    """The sum over the query's tokens of the largest cosine with any token of the text.

    Attributes:
        name: E.g. ``maxsim:minilm``.
    """

    kind = "maxsim"
    activation = "none"

    def __init__(
        self, name: str, source: ModelSource, options: EncoderOptions, token_budget: int | None
    ) -> None:
        """Load the model.

        Raises:
            UsageError, QembedError: As ``models.rerank.token_states.load_token_model``.
        """
        super().__init__(name, load_token_model, source, options, token_budget)
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
        used, places = np.unique(of_text, return_inverse=True)
        bare, text_of_used = distinct([texts[position] for position in used.tolist()])
        asked, number_of_query = distinct(queries)
        text_of_pair, query_of_pair = text_of_used[places], number_of_query[of_query]
        wanted, row, column = _wanted(asked, len(bare), query_of_pair, text_of_pair)
        job: Job[TokenModel] = Job(
            texts=lambda first, last: [numbered(number, bare[number]) for number in range(first, last)],
            sizes=sizes_of(bare),
            tokenizer=NumberedTokens(self._tokens),
            bind=partial(MaxSimModel, wanted=wanted),
            dimension=wanted.most,
            name=lambda row: _name(bare[row], [asked[number] for number in wanted.of(row)]),
        )
        scored = self._engine.score(job, here=here, progress=progress)
        cut_text = scored.lengths > self._engine.info.max_tokens
        cut_query = self._tokens.count(asked, self._engine.info.query_prompt) > self._engine.info.max_tokens
        pairs = np.repeat(np.arange(len(bare)), np.diff(wanted.offsets))
        return reranked(
            scored,
            scored.rows[row, column].astype(np.float64),
            candidates,
            unique_pairs=len(wanted.numbers),
            truncated_pairs=int((cut_text[pairs] | cut_query[wanted.numbers]).sum()),
            started=started,
        )


def _wanted(
    queries: list[str], texts: int, of_query: npt.NDArray[np.int64], of_text: npt.NDArray[np.int64]
) -> tuple[Wanted, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Which query wants which text; and for every pair given the row and the column of its score."""
    different, place = np.unique(of_text * len(queries) + of_query, return_inverse=True)
    text, query = np.divmod(different, len(queries))
    offsets = np.searchsorted(text, np.arange(texts + 1)).astype(np.int64)
    column = np.arange(len(different)) - offsets[text]
    return Wanted(tuple(queries), offsets, query), text[place], column[place]


def _name(text: str, queries: list[str]) -> str:
    more = f" and {len(queries) - 1:,} more" if len(queries) > 1 else ""
    return f"the text {text[:80]!r} with the query {queries[0]!r}{more}"
