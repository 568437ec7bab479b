"""Pairs as token ids against the library's own tokenizers, cuts included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from qembed.models.rerank.pairs import PairForm, PairTokens, cut_longest, join_pair, split_pair

lengths = st.integers(0, 30)


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int32)


@given(st.text(), st.text())
def test_a_joined_pair_comes_apart(query: str, text: str) -> None:
    assert split_pair(join_pair(query, text)) == (query, text)


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    tokenizer = Tokenizer(WordLevel({"a": 0, "b": 1}, unk_token="a"))
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer


@given(first=lengths, second=lengths, room=st.integers(2, 40))
def test_cuts_as_longest_first_does(words: Tokenizer, first: int, second: int, room: int) -> None:
    words.enable_truncation(room, strategy="longest_first")
    pair = words.encode("a " * first, "b " * second)
    assert cut_longest(first, second, room) == (pair.ids.count(0), pair.ids.count(1))


@pytest.mark.parametrize("room", [0, -3])
def test_no_room_for_anything(room: int) -> None:
    assert cut_longest(5, 2, room) == (0, 0)


@pytest.mark.parametrize(
    ("marked", "expected"),
    [(True, [101, 1, 2, 102, ~7, ~8, ~102]), (False, [101, 1, 2, 102, 7, 8, 102])],
)
def test_the_second_segment_is_complements(marked: bool, expected: list[int]) -> None:
    behind = ids(~102) if marked else ids(102)
    form = PairForm(ids(101), ids(102), behind, marked)
    assert form.ids(ids(1, 2), ids(7, 8), 20).tolist() == expected
    assert form.ids(ids(1, 2), ids(7, 8), 6).tolist() == [*expected[:2], *expected[3:]]


PAIRS = [
    ("vector search", "a point is a vector and a payload"),
    ("x", ""),
    ("", "x"),
    ("vector search", "a point is a vector and a payload"),
    ("index", "filter " * 40),
    ("filter " * 40, "index"),
    ("filter " * 40, "index " * 40),
    ("what is [SEP] here?", "[CLS] Größe 日本語"),
]


def of_the_library(tokenizer: Any, max_tokens: int) -> list[tuple[list[int], list[int]]]:
    made = tokenizer(
        *map(list, zip(*PAIRS, strict=True)),
        truncation="longest_first",
        max_length=max_tokens,
        return_token_type_ids=True,
    )
    return list(zip(made["input_ids"], made["token_type_ids"], strict=True))


@pytest.mark.parametrize("max_tokens", [8, 24, 60])
def test_as_the_bundled_models_tokenizer_reads_them(minilm: Path, max_tokens: int) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(minilm))
    tokens = PairTokens.of(tokenizer, max_tokens)
    joined = [join_pair(*pair) for pair in PAIRS]
    made = tokens.encode(joined, max_tokens)
    found = [made[number] for number in range(len(PAIRS))]
    ours = [(np.where(row < 0, ~row, row).tolist(), (row < 0).astype(int).tolist()) for row in found]
    assert ours == of_the_library(tokenizer, max_tokens)
    whole = [len(row) for row, _ in of_the_library(tokenizer, 1000)]
    assert made.lengths.tolist() == tokens.count(joined).tolist() == whole


def test_each_text_is_tokenised_once() -> None:
    seen: list[str] = []

    def read(texts: Sequence[str]) -> list[list[int]]:
        seen.extend(texts)
        return [[len(text)] for text in texts]

    tokens = PairTokens(read, PairForm(ids(1), ids(2), ids(3), False), 10)
    made = tokens.encode([join_pair(query, text) for query in "ab" for text in ("cc", "ddd", "a")], 10)
    assert sorted(seen) == ["a", "b", "cc", "ddd"]
    assert [made[number].tolist() for number in range(3)] == [
        [1, 1, 2, 2, 3],
        [1, 1, 2, 3, 3],
        [1, 1, 2, 1, 3],
    ]
