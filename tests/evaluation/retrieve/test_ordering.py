"""One order for every run."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.errors import Mismatch
from qembed.evaluation.retrieve.ordering import ranked

SCORES = st.dictionaries(
    st.text(max_size=3), st.sampled_from([-1.0, 0.0, 0.5, 0.5 + 1e-12, 3.0]), max_size=12
)


def test_score_descending_then_id() -> None:
    assert ranked({"b": 1.0, "a": 1.0, "c": 2.0, "d": 0.5}) == ["c", "a", "b", "d"]


@given(scores=SCORES)
def test_every_item_once_and_no_later_one_is_better(scores: dict[str, float]) -> None:
    order = ranked(scores)
    assert sorted(order) == sorted(scores)
    for one, other in pairwise(order):
        assert scores[one] > scores[other] or (scores[one] == scores[other] and one < other)


@given(scores=SCORES)
def test_the_order_of_insertion_does_not_matter(scores: dict[str, float]) -> None:
    assert ranked(dict(reversed(scores.items()))) == ranked(scores)


def test_not_a_number() -> None:
    with pytest.raises(Mismatch, match="'x' is not a number"):
        ranked({"a": 1.0, "x": float("nan")})
    assert ranked({"a": float("-inf"), "b": float("inf")}) == ["b", "a"]
