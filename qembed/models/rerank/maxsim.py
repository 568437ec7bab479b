"""Late interaction as a model of the engine: a text's row holds its scores for the queries that want it.

MaxSim (Khattab & Zaharia 2020, ColBERT): the sum over the query's tokens of the largest cosine with any token
of the text. A text is read without the query, so one forward pass serves every query that has it as a
candidate; the states of its tokens are gone when its scores are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qembed.models.encoder import Pending
from qembed.models.rerank.token_states import TokenModel, TokenStates
from qembed.models.tokens import TokenCounter, TokenIds, Tokenized
from qembed.records import Lengths

_QUERIES: Final = 32
"""Queries of a forward pass; they are short."""

_SIMILARITIES: Final = 1 << 24
"""Cosines that are held at a time: 64 MB."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which queries want the score of which text.

    Attributes:
        queries: Every query once.
        offsets: int64 (texts + 1,): where a text's queries begin in ``numbers``; the last is where all end.
        numbers: int64: positions in ``queries``.
    """

    queries: tuple[str, ...]
    offsets: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]

    @property
    def most(self) -> int:
        """Queries of a text at most; at least 1."""
        return max(1, int(np.diff(self.offsets).max(initial=0)))

    def of(self, text: int) -> npt.NDArray[np.int64]:
        """The queries of one text."""
        return self.numbers[self.offsets[text] : self.offsets[text + 1]]


class MaxSimModel:
    """A model for the engine: a text's row holds its scores for the queries that want it, in their order.

    Rows are float32 (texts, ``wanted.most``); what is behind a text's last query is 0. Texts come with their
    position in front (``NumberedTokens``).

    Attributes:
        info: What is known of the model, with that dimension.
        reads_tokens: As that of the model.
        query_tokens: Tokens of each query that are matched; int64 (queries,).
    """

    def __init__(self, model: TokenModel, wanted: Wanted) -> None:
        self._model, self._wanted = model, wanted
        self.info = replace(model.info, dimension=wanted.most)
        self.reads_tokens = model.reads_tokens
        self._states, self.query_tokens = _query_states(model, wanted.queries)
        self._first = np.concatenate([[0], np.cumsum(self.query_tokens)])

    def submit(self, ids: Sequence[TokenIds]) -> Pending:
        """Start one forward pass over texts as ``NumberedTokens.encode`` gives them."""
        return self._score(self._model.states([row[1:] for row in ids]), [int(row[0]) for row in ids])

    def submit_texts(self, texts: Sequence[str]) -> Pending:
        """Start one forward pass over numbered texts."""
        numbers, bare = zip(*map(_split, texts), strict=True)
        return self._score(self._model.states_of_texts(bare), list(numbers))

    def _score(self, documents: TokenStates, numbers: list[int]) -> Pending:
        import torch

        wanted = [self._wanted.of(number) for number in numbers]
        needed, places = np.unique(np.concatenate(wanted), return_inverse=True)
        with torch.inference_mode():
            scores = self._of_queries(documents, needed)
            rows = np.repeat(np.arange(len(wanted)), [len(queries) for queries in wanted])
            columns = np.concatenate([np.arange(len(queries)) for queries in wanted])
            result = torch.zeros((len(numbers), self.info.dimension), device=scores.device)
            at = torch.from_numpy(np.stack([rows, columns, places])).to(scores.device)
            result[at[0], at[1]] = scores[at[0], at[2]]
            return Pending.of(result)

    def _of_queries(self, documents: TokenStates, needed: npt.NDArray[np.int64]) -> Any:
        """Every text of the batch with some queries; float32 (texts, queries)."""
        import torch

        texts, longest, _ = documents.states.shape
        states = torch.nn.functional.normalize(documents.states.float(), dim=2)
        left_out = ~documents.matched[:, :, None]
        counts = self.query_tokens[needed]
        scores = torch.zeros((texts, len(needed)), device=states.device)
        start, step = 0, max(1, _SIMILARITIES // (texts * longest))
        ends = np.cumsum(counts)
        while start < len(needed):
            before = int(ends[start - 1]) if start else 0
            end = max(start + 1, int(np.searchsorted(ends, before + step, side="right")))
            part = needed[start:end]
            rows = np.concatenate([np.arange(self._first[one], self._first[one + 1]) for one in part])
            query = self._states[torch.from_numpy(rows).to(states.device)]
            best = (states @ query.T).masked_fill_(left_out, -torch.inf).amax(dim=1)
            owner = np.repeat(np.arange(start, end), counts[start:end])
            scores.index_add_(1, torch.from_numpy(owner).to(states.device), best)
            start = end
        return scores


class NumberedTokens:
    """The engine's tokenizer for texts with their position (``numbered``), which goes in front of the ids."""

    def __init__(self, tokens: TokenCounter) -> None:
        self._tokens = tokens

    def encode(self, texts: Sequence[str], max_tokens: int) -> Tokenized:
        """Token ids as the model reads them, the text's position before them; lengths without it."""
        numbers, bare = zip(*map(_split, texts), strict=True)
        made = self._tokens.encode(bare, max_tokens)
        ids = np.insert(made.ids, made.offsets[:-1], np.asarray(numbers, dtype=np.int32))
        return Tokenized(made.lengths, ids, made.offsets + np.arange(len(texts) + 1))

    def count(self, texts: Sequence[str]) -> Lengths:
        """Tokens of each text before truncation."""
        return self._tokens.count([_split(text)[1] for text in texts])


def numbered(number: int, text: str) -> str:
    """A text with its position, as ``NumberedTokens`` and ``MaxSimModel`` take it."""
    return f"{number}\n{text}"


def _split(text: str) -> tuple[int, str]:
    number, _, bare = text.partition("\n")
    return int(number), bare


def _query_states(model: TokenModel, queries: Sequence[str]) -> tuple[Any, npt.NDArray[np.int64]]:
    """Unit vectors of the tokens of all queries, one query after the other; and how many each has."""
    import torch

    order = sorted(range(len(queries)), key=lambda number: len(queries[number]))
    found: dict[int, Any] = {}
    for start in range(0, len(order), _QUERIES):
        part = order[start : start + _QUERIES]
        made = model.states_of_texts([queries[number] for number in part], "query")
        for number, states, matched in zip(part, made.states, made.matched, strict=True):
            found[number] = torch.nn.functional.normalize(states[matched].float(), dim=1)
    counts = np.asarray([len(found[number]) for number in range(len(queries))], dtype=np.int64)
    return torch.cat([found[number] for number in range(len(queries))]), counts
