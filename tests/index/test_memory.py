"""In-memory Qdrant against brute force in numpy: same ranking, same filters, the contract's point ids."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qembed.errors import UsageError
from qembed.index import Condition, MemoryIndex, Point, parse_condition


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def cosines(vectors: np.ndarray, query: np.ndarray) -> list[float]:
    """Brute force in float64."""
    return (unit(vectors.astype(np.float64)) @ unit(query.astype(np.float64))).tolist()


@st.composite
def collections(draw: st.DrawFn) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Points on a coarse grid: many ties, many identical vectors, no zero vector."""
    dimension = draw(st.integers(2, 5))
    count = draw(st.integers(1, 16))
    cells = st.lists(st.integers(-1, 1), min_size=dimension, max_size=dimension).filter(any)
    rows = draw(st.lists(cells, min_size=count, max_size=count))
    ids = draw(st.permutations([f"c:{number:03d}" for number in range(count)]))
    return list(ids), np.array(rows, dtype=np.float32), np.array(draw(cells), dtype=np.float32)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(collection=collections(), depth=st.integers(1, 20))
def test_the_ranking_is_that_of_brute_force_with_ties_by_id(
    collection: tuple[list[str], np.ndarray, np.ndarray], depth: int
) -> None:
    ids, vectors, query = collection
    with closing(MemoryIndex(vectors.shape[1])) as index:
        assert index.add(Point(name, row, {}) for name, row in zip(ids, vectors, strict=True)) == len(ids)
        hits = index.search(query, depth=depth)
    scores = dict(zip(ids, cosines(vectors, query), strict=True))
    found = [hit.chunk_id for hit in hits]
    assert len(set(found)) == len(found) == min(depth, len(ids))
    assert [hit.score for hit in hits] == pytest.approx([scores[name] for name in found], abs=1e-6)
    assert hits == sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))
    same = {name: row.tolist() for name, row in zip(ids, vectors, strict=True)}
    for name in set(ids) - set(found):  # whatever is left out is worse, or is a copy with a later id
        assert scores[name] < scores[found[-1]] + 1e-6
        assert all(name > other for other in found if same[other] == same[name])


def test_thousands_of_real_looking_vectors() -> None:
    random = np.random.default_rng(1)
    vectors = unit(random.normal(size=(2500, 64))).astype(np.float32)  # more than two blocks of 1,000
    ids = [f"c:{number}" for number in random.permutation(2500)]
    with closing(MemoryIndex(64)) as index:
        index.add(Point(name, row, {}) for name, row in zip(ids, vectors, strict=True))
        assert len(index) == 2500
        for query in unit(random.normal(size=(5, 64))).astype(np.float32):
            hits = index.search(query, depth=40)
            expected = np.argsort(-(vectors @ query))[:40]
            assert [hit.chunk_id for hit in hits] == [ids[position] for position in expected]
            assert [hit.score for hit in hits] == pytest.approx(
                (vectors @ query)[expected].tolist(), abs=1e-6
            )


@pytest.mark.parametrize("dimension", [16, 384, 768])
def test_copies_of_one_vector_have_one_score(dimension: int) -> None:
    """BLAS sums rows in different orders at the edges of its blocks: the last digits differ."""
    random = np.random.default_rng(0)
    vector = unit(random.normal(size=dimension)).astype(np.float32)
    ids = [f"c:{number:04d}" for number in range(1003)]
    with closing(MemoryIndex(dimension)) as index:
        index.add(Point(name, vector, {}) for name in random.permutation(ids).tolist())
        for query in random.normal(size=(5, dimension)).astype(np.float32):
            hits = index.search(query, depth=100)
            assert len({hit.score for hit in hits}) == 1
            assert [hit.chunk_id for hit in hits] == ids[:100]


class TestPoints:
    def test_point_ids_are_the_contracts(self) -> None:
        with closing(MemoryIndex(2)) as index:
            index.add([Point("c:docs:a.md:chunk:0", np.array([1, 0], dtype=np.float32), {})])
            (point,), _ = index._client.scroll("qembed")
            digest = int(sha256(b"c:docs:a.md:chunk:0").hexdigest(), 16)
            assert point.id == digest % 2**63
            assert point.payload == {"chunk_id": "c:docs:a.md:chunk:0"}

    def test_one_id_twice_keeps_the_later(self) -> None:
        east, north = np.eye(2, dtype=np.float32)
        with closing(MemoryIndex(2)) as index:
            assert index.add([Point("a", east, {"n": 1}), Point("b", east, {})]) == 2
            assert index.add([Point("a", north, {"n": 2})]) == 1
            assert len(index) == 2
            (hit,) = index.search(north, depth=1)
            assert (hit.chunk_id, hit.payload["n"]) == ("a", 2)

    def test_payload_comes_back_with_the_chunk_id(self) -> None:
        payload = {"text": "größe", "original": {"a": [1, None, {"b": 2.5}]}, "flag": True}
        with closing(MemoryIndex(2)) as index:
            index.add([Point("a", np.array([1, 1], dtype=np.float32), payload)])
            (hit,) = index.search(np.array([1, 1], dtype=np.float32), depth=10)
            assert hit.payload == {**payload, "chunk_id": "a"}
        assert "chunk_id" not in payload

    def test_empty(self) -> None:
        with closing(MemoryIndex(3)) as index:
            assert len(index) == 0
            assert index.add([]) == 0
            assert index.search(np.array([1, 0, 0], dtype=np.float32), depth=5) == []
            assert (index.name, index.exact, index.dimension) == ("memory", True, 3)

    def test_no_advice_about_servers(self) -> None:
        """Qdrant warns beyond 20,000 points; warnings are errors here."""
        with closing(MemoryIndex(2)) as index:
            index.add(Point(str(n), np.array([1, n], dtype=np.float32), {}) for n in range(20_001))
            assert len(index) == 20_001


PAYLOADS: list[dict[str, Any]] = [
    {"n": 1, "f": 0.5, "kind": "class", "flag": True, "original": {"deep": {"x": 1}}, "tags": ["a", "b"]},
    {"n": 2, "f": 1.0, "kind": "function", "flag": False, "original": {"deep": {"x": 2}}, "tags": ["b"]},
    {"n": 3, "f": 1.5, "kind": "class", "flag": True, "original": {"deep": {"x": 3}}, "tags": []},
    {"n": -4, "f": -1e-3, "kind": "two words", "number": "3", "true": "true"},
    {"kind": ""},
]


@pytest.fixture(scope="module")
def filtered() -> Iterator[MemoryIndex]:
    with closing(MemoryIndex(2)) as index:
        index.add(
            Point(str(number), np.array([1, number], dtype=np.float32), payload)
            for number, payload in enumerate(PAYLOADS)
        )
        yield index


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (["kind=class"], "02"),
        (["kind = class "], "02"),
        (["kind!=class"], "134"),  # a chunk without the field meets it too
        (["kind=two words"], "3"),
        (["kind='two words'"], "3"),
        (["kind=''"], "4"),
        (["n=2"], "1"),
        (["n!=2"], "0234"),
        (["n>1"], "12"),
        (["n>=1"], "012"),
        (["n<2"], "03"),
        (["n<=-4"], "3"),
        (["n=-4"], "3"),
        (["f=0.5"], "0"),
        (["f=1.0"], "1"),
        (["f!=0.5"], "1234"),
        (["f=-1e-3"], "3"),
        (["f>0.4", "f<1.2"], "01"),
        (["flag=true"], "02"),
        (["flag=FALSE"], "1"),
        (["flag!=true"], "134"),
        (["number='3'"], "3"),
        (["true='true'"], "3"),
        (["original.deep.x=2"], "1"),
        (["original.deep.x>=2"], "12"),
        (["original.deep.x!=2"], "0234"),
        (["tags=b"], "01"),  # one of several values is enough
        (["kind=class", "n>1"], "2"),
        (["kind=class", "n!=3", "flag=true"], "0"),
        (["absent=1"], ""),
        (["absent!=1"], "01234"),
        (["absent>1"], ""),
    ],
)
def test_conditions(filtered: MemoryIndex, conditions: list[str], found: str) -> None:
    where = [parse_condition(text) for text in conditions]
    hits = filtered.search(np.array([1, 0], dtype=np.float32), depth=10, where=where)
    assert sorted(hit.chunk_id for hit in hits) == list(found)


@given(n=st.integers(-3, 3), operator=st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_operators_are_those_of_python(filtered: MemoryIndex, n: int, operator: Any) -> None:
    import operator as python

    test = {"=": python.eq, "!=": python.ne, "<": python.lt, "<=": python.le, ">": python.gt, ">=": python.ge}
    hits = filtered.search(np.array([1, 0], dtype=np.float32), depth=9, where=[Condition("n", operator, n)])
    expected = {
        str(number)
        for number, payload in enumerate(PAYLOADS)
        if ("n" in payload and test[operator](payload["n"], n)) or ("n" not in payload and operator == "!=")
    }
    assert {hit.chunk_id for hit in hits} == expected


def test_a_filter_does_not_shorten_the_answer() -> None:
    """The depth counts what meets the conditions, not what was looked at."""
    vectors = np.stack([np.ones(50), np.arange(50)], axis=1).astype(np.float32)
    with closing(MemoryIndex(2)) as index:
        index.add(Point(f"{n:02d}", vectors[n], {"late": n >= 40}) for n in range(50))
        hits = index.search(np.array([1, 0], dtype=np.float32), depth=5, where=[Condition("late", "=", True)])
    assert [hit.chunk_id for hit in hits] == ["40", "41", "42", "43", "44"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", Condition("a", "=", "b")),
        ("a.b-c_d != 'x=y'", Condition("a.b-c_d", "!=", "x=y")),
        ("a>=1.5", Condition("a", ">=", 1.5)),
        ("a=nan", Condition("a", "=", "nan")),
        ("a=inf", Condition("a", "=", "inf")),
        ("a=007", Condition("a", "=", "007")),
        ("a=b=c", Condition("a", "=", "b=c")),
        ("größe=ja", Condition("größe", "=", "ja")),
    ],
)
def test_parsing(text: str, expected: Condition) -> None:
    found = parse_condition(text)
    assert found == expected
    assert type(found.value) is type(expected.value)


@pytest.mark.parametrize("text", ["", "a", "=1", "a=", "a>b", "a<true", "a>=nan", "a b=1", "a>'3'"])
def test_no_condition(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_condition(text)
    assert repr(text) in caught.value.message
    assert caught.value.remedy
