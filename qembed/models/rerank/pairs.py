"""Pairs of query and text as token ids, as a cross-encoder reads them; each different text is tokenised once.

A pair travels as one string (``join_pair``), because the engine's texts are strings. Its ids are those of the
query and of the text with the model's special tokens around them; where the model marks the second segment
(token type 1), its ids come as their complement, which ``FeatureLayout.features`` undoes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from qembed.models.tokens import TokenIds, Tokenized
from qembed.records import Lengths

Pair: TypeAlias = tuple[str, str]
ReadIds: TypeAlias = Callable[[Sequence[str]], list[list[int]]]

_PROBE: Final = ("a b c", "d e")


def join_pair(query: str, text: str) -> str:
    """One string from which ``split_pair`` gives both back, whatever is in them."""
    return f"{len(query)}\n{query}{text}"


def split_pair(pair: str) -> Pair:
    """Query and text of a joined pair."""
    length, _, both = pair.partition("\n")
    return both[: int(length)], both[int(length) :]


@dataclass(frozen=True, slots=True)
class PairForm:
    """Special tokens of a pair: before the query, between, behind the text; complements in segment two.

    Attributes:
        before: int32.
        between: int32.
        behind: int32.
        marked: Whether the text's ids are complements.
    """

    before: TokenIds
    between: TokenIds
    behind: TokenIds
    marked: bool

    @property
    def special(self) -> int:
        """How many they are."""
        return len(self.before) + len(self.between) + len(self.behind)

    def ids(self, query: TokenIds, text: TokenIds, max_tokens: int) -> TokenIds:
        """The pair, cut as ``longest_first`` cuts it."""
        of_query, of_text = cut_longest(len(query), len(text), max_tokens - self.special)
        second = text[:of_text]
        parts = (self.before, query[:of_query], self.between, ~second if self.marked else second, self.behind)
        return np.concatenate(parts)


def cut_longest(first: int, second: int, room: int) -> tuple[int, int]:
    """Tokens kept of two texts: the longer is cut, to the length of the shorter at least; then both to half.

    The same as ``longest_first`` of the library ``tokenizers`` (utils/truncation.rs).
    """
    room = max(room, 0)
    if first + second <= room:
        return first, second
    short, long = min(first, second), max(first, second)
    long = max(short, room - short)
    if short + long > room:
        short, long = room // 2, room - room // 2
    return (short, long) if first <= second else (long, short)


class PairTokens:
    """The engine's tokenizer for joined pairs.

    Attributes:
        max_tokens: What the model reads of a pair, special tokens included.
    """

    def __init__(self, read: ReadIds, form: PairForm, max_tokens: int) -> None:
        """Make one.

        Args:
            read: Ids of each text, without special tokens, nothing cut.
            form: What stands around them.
            max_tokens: What the model reads of a pair.
        """
        self._read, self._form, self.max_tokens = read, form, max_tokens

    @classmethod
    def of(cls, tokenizer: Any, max_tokens: int) -> PairTokens:
        """From a loaded transformers tokenizer, which stays as it is."""
        return cls(_reader(tokenizer), _form(tokenizer), max_tokens)

    def encode(self, pairs: Sequence[str], max_tokens: int) -> Tokenized:
        """Ids of each joined pair, cut to ``max_tokens``; lengths before that."""
        queries, texts = zip(*map(split_pair, pairs), strict=True)
        known = self._ids([*queries, *texts])
        rows, lengths = [], np.empty(len(pairs), dtype=np.int64)
        for number, (query, text) in enumerate(zip(queries, texts, strict=True)):
            first, second = known[query], known[text]
            lengths[number] = len(first) + len(second) + self._form.special
            rows.append(self._form.ids(first, second, max_tokens))
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return Tokenized(lengths, np.concatenate(rows), offsets)

    def count(self, pairs: Sequence[str]) -> Lengths:
        """Tokens of each joined pair before truncation; int64 (pairs,)."""
        return self.encode(pairs, self.max_tokens).lengths

    def _ids(self, texts: Sequence[str]) -> dict[str, TokenIds]:
        different = list(dict.fromkeys(texts))
        ids = (np.asarray(item, dtype=np.int32) for item in self._read(different))
        return dict(zip(different, ids, strict=True))


def _reader(tokenizer: Any) -> ReadIds:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:

        def slowly(texts: Sequence[str]) -> list[list[int]]:
            read = tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)
            return [list(map(int, ids)) for ids in read["input_ids"]]

        return slowly
    from tokenizers import Tokenizer

    fast = Tokenizer.from_str(backend.to_str())
    fast.no_truncation()
    fast.no_padding()
    return lambda texts: [item.ids for item in fast.encode_batch_fast(list(texts), add_special_tokens=False)]


def _form(tokenizer: Any) -> PairForm:
    """What the tokenizer puts around a pair, found in one; ``checked_layout`` looks whether it holds."""
    made = tokenizer(*_PROBE, return_token_type_ids=True, verbose=False)
    first, second = (tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in _PROBE)
    ids = np.asarray(made["input_ids"], dtype=np.int32)
    types = np.asarray(made["token_type_ids"])
    start = _find(ids, first, 0)
    start_second = _find(ids, second, start + len(first))
    signed = np.where(types == 1, ~ids, ids)
    end_second = start_second + len(second)
    return PairForm(
        before=signed[:start],
        between=signed[start + len(first) : start_second],
        behind=signed[end_second:],
        marked=bool((types[start_second:end_second] == 1).all()),
    )


def _find(ids: npt.NDArray[np.int32], part: list[int], start: int) -> int:
    """Where a run of ids begins; ``start`` where it is not found."""
    places = range(start, len(ids) - len(part) + 1)
    return next((place for place in places if ids[place : place + len(part)].tolist() == part), start)
