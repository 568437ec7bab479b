"""Overlap and rank-biased overlap, against their definitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.evaluation.diagnose.agreement import overlap, rank_biased_overlap

LISTS = st.permutations(list("abcdefgh")).flatmap(
    lambda items: st.integers(0, 8).map(lambda n: list(items)[:n])
)


def by_definition(one: list[str], other: list[str], p: float) -> float:
    """RBO of lists that go on for ever with the agreement that they end with: the sum, to 2,000 ranks."""
    k = len(one)
    shared = [len(set(one[:d]) & set(other[:d])) for d in range(1, k + 1)]
    agreements = [x / d for d, x in enumerate(shared, start=1)]
    agreements += [agreements[-1]] * 2000
    return (1 - p) * sum(a * p**d for d, a in enumerate(agreements))


@given(one=st.permutations(list("abcdefgh")), other=st.permutations(list("cdefghij")), k=st.integers(1, 8))
def test_lists_of_one_length(one: list[str], other: list[str], k: int) -> None:
    assert rank_biased_overlap(one[:k], other[:k]) == pytest.approx(by_definition(one[:k], other[:k], 0.9))


@given(one=LISTS, other=LISTS)
def test_bounds_and_symmetry(one: list[str], other: list[str]) -> None:
    value = rank_biased_overlap(one, other)
    assert value == pytest.approx(rank_biased_overlap(other, one))
    assert -1e-12 <= value <= 1 + 1e-12
    assert rank_biased_overlap(one, one) == pytest.approx(1)


def test_known_values() -> None:
    # Webber et al., section 4.1: the prefix <a b c d> against <d c b a> agrees in 0, 0, 2 and 4 items.
    expected = (1 - 0.9) * (0 + 0 + 2 / 3 * 0.9**2 + 0.9**3 / (1 - 0.9))
    assert rank_biased_overlap(list("abcd"), list("dcba")) == pytest.approx(expected)
    assert rank_biased_overlap(list("ab"), list("cd")) == 0
    assert rank_biased_overlap([], []) == 1
    assert rank_biased_overlap([], ["a"]) == 0


def test_lists_of_two_lengths() -> None:
    # The short list is a prefix of the long one: all that is known agrees.
    assert rank_biased_overlap(list("abc"), list("abcdef")) == pytest.approx(1)


@pytest.mark.parametrize("p", [0, 1, -1])
def test_p(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        rank_biased_overlap(["a"], ["a"], p)


def test_overlap() -> None:
    assert overlap(list("abcd"), list("bcaz"), 3) == 1
    assert overlap(list("abcd"), list("bxyz"), 2) == 0.5
    assert overlap(["a"], ["a", "b"], 10) == 0.5
    assert overlap([], [], 10) == 1
