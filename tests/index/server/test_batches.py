"""Batches: every point once, in order, within the bounds."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.corpus import point_id
from qembed.errors import Mismatch
from qembed.index import Point
from qembed.index.server.batches import Batch, Encoded, batches, encode

POINTS = st.lists(st.tuples(st.integers(2, 60), st.booleans()), max_size=40)


def points_of(sizes: list[tuple[int, bool]]) -> list[Encoded]:
    return [
        Encoded(number, f"c:{number}", number, "", b"x" * size, compare)
        for number, (size, compare) in enumerate(sizes)
    ]


@given(POINTS, st.integers(1, 10), st.integers(20, 200))
def test_every_point_once_within_the_bounds(
    sizes: list[tuple[int, bool]], max_points: int, max_bytes: int
) -> None:
    points = points_of(sizes)
    made = list(batches(points, max_points=max_points, max_bytes=max_bytes))
    assert [point for batch in made for point in batch.points] == points
    for batch in made:
        assert 1 <= len(batch.points) <= max_points
        assert len(batch.body()) <= max_bytes or len(batch.points) == 1
        assert len({point.compare for point in batch.points}) == 1
        assert batch.last - batch.first + 1 == len(batch.points)


@given(POINTS.filter(bool))
def test_batches_are_as_large_as_they_can_be(sizes: list[tuple[int, bool]]) -> None:
    points = [Encoded(p.number, p.chunk_id, p.id, "", p.json) for p in points_of(sizes)]
    made = list(batches(points, max_points=1000, max_bytes=150))
    for batch, following in pairwise(made):
        assert len(Batch((*batch.points, following.points[0])).body()) > 150


@given(POINTS.filter(lambda sizes: len(sizes) > 1))
def test_halves_hold_all(sizes: list[tuple[int, bool]]) -> None:
    whole = Batch(tuple(points_of(sizes)))
    first, second = whole.halves()
    assert first.points + second.points == whole.points
    assert first.points
    assert second.points


def test_without() -> None:
    batch = Batch(tuple(points_of([(2, True)] * 3)))
    rest = batch.without([1])
    assert rest is not None
    assert [point.id for point in rest.points] == [0, 2]
    assert batch.without([0, 1, 2]) is None


@pytest.mark.parametrize("vector", ["", "text"])
def test_a_point_as_the_server_takes_it(vector: str) -> None:
    values = np.array([0.1, -1e-30], dtype=np.float32)
    payload = {"chunk_id": "c:x", "point_sha256": "ab", "n": 2**53 + 1, "text": "é\n"}
    made = encode(7, Point("c:x", values, payload), vector)
    document = json.loads(Batch((made,)).body())
    (point,) = document["points"]
    assert point["id"] == point_id("c:x") == made.id
    assert point["payload"] == payload
    sent = point["vector"][vector] if vector else point["vector"]
    assert np.array_equal(np.array(sent, dtype=np.float32), values)  # to the last bit
    assert (made.number, made.sha256) == (7, "ab")


def test_a_point_beyond_the_servers_limit_is_named() -> None:
    with pytest.raises(Mismatch, match=r"'c:big' takes 33\.0 MiB"):
        list(batches([Encoded(0, "c:big", 0, "", b"x" * (33 * 2**20))]))


def test_a_large_point_that_fits_travels_alone() -> None:
    large = Encoded(1, "c:large", 1, "", b"x" * (20 * 2**20))
    made = list(batches([Encoded(0, "a", 0, "", b"x"), large, Encoded(2, "b", 2, "", b"x")]))
    assert [len(batch.points) for batch in made] == [1, 1, 1]
