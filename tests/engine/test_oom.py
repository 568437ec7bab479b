"""A device that runs out of memory: halving, budgets, and what does not count as out of memory."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.engine import BatchDone, OomSplit, encode_batches, make_batches
from qembed.engine.batching import Batch
from qembed.engine.oom import is_out_of_memory
from qembed.errors import QembedError
from qembed.records import Lengths, Vectors


def spellings() -> list[BaseException]:
    import torch

    accelerator = getattr(torch, "AcceleratorError", RuntimeError)
    return [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        accelerator("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
        ),
        MemoryError(),
    ]


class Device:
    """Vectors that name their text; raises where a batch has more padded tokens than it has memory."""

    def __init__(self, lengths: Lengths, memory_tokens: int, error: BaseException) -> None:
        self.lengths, self.memory_tokens, self.error = lengths, memory_tokens, error
        self.calls: list[int] = []

    def texts(self, batch: Batch) -> list[str]:
        return [str(position) for position in batch]

    def encode(self, texts: Sequence[str]) -> Vectors:
        positions = np.array([int(text) for text in texts])
        padded = int(self.lengths[positions].max()) * len(positions)
        self.calls.append(padded)
        if padded > self.memory_tokens:
            raise self.error
        return np.stack([positions, positions + 1], axis=1).astype(np.float32)


def run(device: Device, budget: int) -> tuple[list[BatchDone], list[OomSplit]]:
    splits: list[OomSplit] = []
    batches = make_batches(device.lengths, token_budget=budget)
    done = list(encode_batches(device.encode, device.texts, batches, device.lengths, on_split=splits.append))
    return done, splits


@pytest.mark.parametrize("number", range(len(spellings())))
def test_every_spelling_is_recognised_and_halved(number: int) -> None:
    lengths = np.full(8, 10, dtype=np.int64)
    done, splits = run(Device(lengths, 40, spellings()[number]), 80)
    assert sorted(np.concatenate([batch.batch for batch in done]).tolist()) == list(range(8))
    assert [(split.texts, split.padded_tokens, split.budget_tokens) for split in splits] == [(8, 80, 40)]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("The size of tensor a (513) must match the size of tensor b (512)"),
        ValueError("out of memory"),
        KeyboardInterrupt(),
    ],
)
def test_nothing_else_is_swallowed(error: BaseException) -> None:
    assert not is_out_of_memory(error)
    device = Device(np.full(4, 10, dtype=np.int64), 10, error)
    with pytest.raises(type(error)):
        run(device, 40)
    assert device.calls == [40]


@given(
    st.lists(st.integers(1, 64), min_size=1, max_size=80),
    st.integers(64, 400),
    st.integers(1, 1000),
)
def test_every_text_gets_its_own_vector_whatever_the_memory(
    numbers: list[int], memory: int, budget: int
) -> None:
    lengths = np.array(numbers, dtype=np.int64)
    device = Device(lengths, memory, MemoryError("none left"))
    with patch("qembed.engine.run.release_memory"):  # a garbage collection at each of thousands of splits
        done, splits = run(device, budget)
    placed = np.full(len(lengths), -1.0)
    for batch in done:
        assert batch.padded_tokens <= max(memory, int(lengths.max()))
        assert batch.vectors[:, 1].tolist() == (batch.vectors[:, 0] + 1).tolist()
        placed[batch.batch] = batch.vectors[:, 0]
    assert placed.tolist() == list(range(len(lengths)))
    assert sum(len(batch.batch) for batch in done) == len(lengths)
    assert len(splits) == sum(call > memory for call in device.calls)


def test_after_a_failure_larger_batches_are_split_before_they_are_tried() -> None:
    lengths = np.full(64, 10, dtype=np.int64)
    device = Device(lengths, 40, MemoryError("none left"))
    _, splits = run(device, 160)
    # 160 fails, then 80; the other batches of 160 never reach the device.
    assert device.calls[:3] == [160, 80, 40]
    assert sum(call > 40 for call in device.calls) == len(splits) == 2


def test_the_budget_grows_back_after_twenty_batches_that_fit() -> None:
    lengths = np.full(800, 10, dtype=np.int64)

    class Recovers(Device):
        def encode(self, texts: Sequence[str]) -> Vectors:
            if len(self.calls) > 1:
                self.memory_tokens = 1000
            return super().encode(texts)

    device = Recovers(lengths, 40, MemoryError("none left"))
    run(device, 80)
    assert device.calls[0] == 80
    # 40, 50, 62, 77, 96: batches of 80 go through again after four times twenty that fit.
    assert set(device.calls[1:81]) == {40}
    assert set(device.calls[81:]) == {80}


def test_a_single_text_that_does_not_fit_is_named_with_its_length() -> None:
    lengths = np.array([500, 10], dtype=np.int64)
    with pytest.raises(QembedError, match=r"a single text of 500 tokens does not fit.*'0'") as caught:
        run(Device(lengths, 100, MemoryError("none left")), 1000)
    assert caught.value.where == "none left"
    assert caught.value.remedy is not None


def test_the_failed_batch_is_freed_before_the_next_attempt() -> None:
    import weakref

    class Tensor:
        pass

    held: list[weakref.ref[Tensor]] = []
    alive_at_retry: list[bool] = []

    def encode(texts: Sequence[str]) -> Vectors:
        if held:
            alive_at_retry.append(held[0]() is not None)
        else:
            big = Tensor()
            held.append(weakref.ref(big))
            raise MemoryError("none left")
        return np.ones((len(texts), 2), dtype=np.float32)

    lengths = np.array([5, 5], dtype=np.int64)
    list(encode_batches(encode, lambda batch: ["x"] * len(batch), [np.arange(2)], lengths))
    assert alive_at_retry == [False, False]
