"""The loop over batches, with encoders that misbehave: nothing is swallowed, nothing is mixed up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from qembed.engine import encode_batches, make_batches
from qembed.engine.batching import Batch
from qembed.errors import QembedError

TEXTS = ["a" * length for length in (5, 1, 9, 3, 3, 7, 2)]
LENGTHS = np.array([len(text) for text in TEXTS])
BATCHES = make_batches(LENGTHS, token_budget=10)


def texts_at(batch: Batch) -> list[str]:
    return [TEXTS[position] for position in batch]


def by_length(texts: Sequence[str]) -> np.ndarray:
    return np.array([[len(text), 1] for text in texts], dtype=np.float32)


def test_every_vector_comes_with_the_position_of_its_text() -> None:
    vectors = np.full((len(TEXTS), 2), -1, dtype=np.float32)
    for done in encode_batches(by_length, texts_at, BATCHES, LENGTHS):
        vectors[done.batch] = done.vectors
        assert done.tokens == sum(len(TEXTS[position]) for position in done.batch)
        assert done.padded_tokens == max(len(TEXTS[position]) for position in done.batch) * len(done.batch)
        assert done.seconds >= 0
    assert vectors[:, 0].tolist() == [len(text) for text in TEXTS]


def test_batches_run_one_at_a_time_in_order() -> None:
    seen: list[list[str]] = []

    def encode(texts: Sequence[str]) -> np.ndarray:
        seen.append(list(texts))
        return by_length(texts)

    running = encode_batches(encode, texts_at, BATCHES, LENGTHS)
    assert seen == []
    next(running)
    assert seen == [texts_at(BATCHES[0])]  # the next batch's texts are not read before they are needed
    list(running)
    assert seen == [texts_at(batch) for batch in BATCHES]


@pytest.mark.parametrize("difference", [-1, 1])
def test_another_number_of_vectors(difference: int) -> None:
    def encode(texts: Sequence[str]) -> np.ndarray:
        return np.ones((len(texts) + difference, 2), dtype=np.float32)

    with pytest.raises(QembedError, match=rf"{1 + difference} vectors for 1 texts"):
        list(encode_batches(encode, texts_at, BATCHES, LENGTHS))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_names_its_text(bad: float) -> None:
    def encode(texts: Sequence[str]) -> np.ndarray:
        vectors = by_length(texts)
        vectors[[text == "aaa" for text in texts], 1] = bad
        return vectors

    with pytest.raises(QembedError, match="not finite") as caught:
        list(encode_batches(encode, texts_at, BATCHES, LENGTHS))
    assert "'aaa'" in caught.value.message
    assert "--precision fp32" in str(caught.value.remedy)
    assert caught.value.exit_code == 1


def test_finished_batches_arrive_before_one_fails() -> None:
    def encode(texts: Sequence[str]) -> np.ndarray:
        return by_length(texts) * (1 if len(texts[0]) == 9 else np.nan)

    running = encode_batches(encode, texts_at, BATCHES[:1] + BATCHES[3:], LENGTHS)
    assert next(running).batch.tolist() == [2]
    with pytest.raises(QembedError, match="not finite"):
        next(running)


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: device-side assert triggered"), KeyboardInterrupt()]
)
def test_the_encoders_own_errors_pass_unchanged(error: BaseException) -> None:
    def encode(texts: Sequence[str]) -> np.ndarray:
        raise error

    with pytest.raises(type(error)) as caught:
        list(encode_batches(encode, texts_at, BATCHES, LENGTHS))
    assert caught.value is error


def test_no_batches() -> None:
    assert list(encode_batches(by_length, texts_at, [], LENGTHS)) == []
