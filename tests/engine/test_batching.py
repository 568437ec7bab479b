"""Batches: every text once, within the budget, longest first. Held against arithmetic done another way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.engine import clip, make_batches, padded_tokens, padding_waste

TEXTS = st.integers(1, 8) | st.integers(1, 400)  # short ones make large batches, on which the limits bear
LENGTHS = st.lists(TEXTS, max_size=120).map(lambda values: np.asarray(values, dtype=np.int64))
BUDGETS = st.integers(1, 2000)
LIMITS = st.none() | st.integers(1, 6)


@given(lengths=LENGTHS, budget=BUDGETS, limit=LIMITS)
def test_every_position_once_longest_first_and_stable(
    lengths: np.ndarray, budget: int, limit: int | None
) -> None:
    batches = make_batches(lengths, token_budget=budget, max_batch=limit)
    order = [int(position) for batch in batches for position in batch]
    assert order == sorted(range(len(lengths)), key=lambda position: (-lengths[position], position))
    assert all(batch.dtype == np.int64 and len(batch) for batch in batches)


@given(lengths=LENGTHS, budget=BUDGETS, limit=LIMITS)
def test_within_the_budget_unless_alone_and_never_smaller_than_need_be(
    lengths: np.ndarray, budget: int, limit: int | None
) -> None:
    batches = make_batches(lengths, token_budget=budget, max_batch=limit)
    for number, batch in enumerate(batches):
        longest = max(int(lengths[position]) for position in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget
        assert limit is None or len(batch) <= limit
        last = number == len(batches) - 1
        one_more_fits = longest * (len(batch) + 1) <= budget and (limit is None or len(batch) < limit)
        assert last or not one_more_fits


@given(lengths=LENGTHS, budget=BUDGETS, limit=LIMITS)
def test_padding_waste_counts_what_a_padded_matrix_would_hold(
    lengths: np.ndarray, budget: int, limit: int | None
) -> None:
    batches = make_batches(lengths, token_budget=budget, max_batch=limit)
    cells = real = 0
    for batch in batches:
        rows = [[1] * int(lengths[position]) for position in batch]
        width = max(map(len, rows))
        padded = [row + [0] * (width - len(row)) for row in rows]
        cells += sum(map(len, padded))
        real += sum(map(sum, padded))
        assert padded_tokens(lengths, batch) == width * len(rows)
    assert padding_waste(lengths, batches) == pytest.approx(1 - real / cells if cells else 0)
    assert 0 <= padding_waste(lengths, batches) < 1


@given(lengths=LENGTHS, limit=st.integers(1, 500))
def test_clip(lengths: np.ndarray, limit: int) -> None:
    assert clip(lengths, limit).tolist() == [min(length, limit) for length in lengths.tolist()]


def test_an_example_by_hand() -> None:
    lengths = np.array([3, 9, 1, 3, 20, 2])
    batches = make_batches(lengths, token_budget=9)
    assert [batch.tolist() for batch in batches] == [[4], [1], [0, 3, 5], [2]]
    assert padding_waste(lengths, batches) == pytest.approx(1 - 38 / 39)


@pytest.mark.parametrize(("limit", "sizes"), [(None, [5]), (9, [5]), (5, [5]), (2, [2, 2, 1]), (1, [1] * 5)])
def test_the_limit_on_texts(limit: int | None, sizes: list[int]) -> None:
    batches = make_batches(np.array([2, 2, 2, 2, 2]), token_budget=100, max_batch=limit)
    assert [len(batch) for batch in batches] == sizes


def test_texts_without_tokens_are_batched_too() -> None:
    lengths = np.array([0, 0, 5])
    assert sorted(np.concatenate(make_batches(lengths, token_budget=5)).tolist()) == [0, 1, 2]
    assert padding_waste(np.array([0]), make_batches(np.array([0]), token_budget=5)) == 0


def test_nothing_to_batch() -> None:
    assert make_batches(np.empty(0, dtype=np.int64), token_budget=10) == []
    assert padding_waste(np.empty(0, dtype=np.int64), []) == 0


@pytest.mark.parametrize(("budget", "limit"), [(0, None), (-5, None), (10, 0), (10, -1)])
def test_budgets_below_one(budget: int, limit: int | None) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make_batches(np.array([1, 2]), token_budget=budget, max_batch=limit)
