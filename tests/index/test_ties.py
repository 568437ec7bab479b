"""Deepening: the true best, whatever engine cuts by rough scores and ties anywhere."""

from __future__ import annotations

from unittest import mock

from hypothesis import example, given
from hypothesis import strategies as st

from qembed.index import Hit, ties

ERROR = 1.75


@given(
    scores=st.lists(st.integers(0, 6), max_size=40),
    noise=st.lists(st.floats(-ERROR, ERROR), min_size=40, max_size=40),
    depth=st.integers(1, 45),
    spare=st.sampled_from([1, 3, 16]),
    kept=st.sets(st.integers(0, 39)) | st.none(),
    asked_before=st.booleans(),
)
@example(
    # The first is hidden twice: its own score is rough, and so is that of the last one seen.
    scores=[3, 3, 0],
    noise=[-ERROR, 0, ERROR] + [0] * 37,
    depth=1,
    spare=1,
    kept=None,
    asked_before=False,
)
@example(scores=[6, 6, 6, 6, 0], noise=[0] * 40, depth=1, spare=1, kept={4}, asked_before=True)
def test_it_is_the_truth(
    scores: list[int],
    noise: list[float],
    depth: int,
    spare: int,
    kept: set[int] | None,
    asked_before: bool,
) -> None:
    hits = [Hit(f"c:{number:02d}", float(score), {"n": number}) for number, score in enumerate(scores)]
    by_rough = sorted(hits, key=lambda hit: -(hit.score + noise[hit.payload["n"]]))

    def nearest(limit: int) -> list[Hit]:
        return ties.in_order(by_rough[:limit])

    keep = None if kept is None else lambda hit: hit.payload["n"] in kept
    first = nearest(depth + spare) if asked_before else None
    with mock.patch.object(ties, "SPARE", spare):
        found = ties.deepen(nearest, depth, error=ERROR, keep=keep, first=first)
    wanted = [hit for hit in hits if kept is None or hit.payload["n"] in kept]
    assert found == sorted(wanted, key=lambda hit: (-hit.score, hit.chunk_id))[:depth]


def test_it_stops_where_it_can() -> None:
    asked = []

    def nearest(limit: int) -> list[Hit]:
        asked.append(limit)
        return [Hit(f"c:{number:04d}", 1 - number / 1000, {}) for number in range(limit)]

    assert len(ties.deepen(nearest, 10, error=0.001)) == 10
    assert asked == [10 + ties.SPARE]
