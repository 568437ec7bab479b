"""Every index against brute force in numpy: same ranking, same filters, same refusals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qembed.errors import DimensionMismatch, Mismatch, QembedError
from qembed.index import Condition, Index, IndexName, Point, make_index, parse_condition

KINDS: tuple[IndexName, ...] = ("memory", "edge", "exact")
each_kind = pytest.mark.parametrize("kind", KINDS)


def empty(kind: IndexName, dimension: int) -> Index:
    if kind == "edge":
        pytest.importorskip("qdrant_edge")
    return make_index(kind, dimension)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def cosines(vectors: np.ndarray, query: np.ndarray) -> list[float]:
    """Brute force in float64."""
    return (unit(vectors.astype(np.float64)) @ unit(query.astype(np.float64))).tolist()


@st.composite
def collections(draw: st.DrawFn) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Points and queries on a coarse grid: many ties, many identical vectors, no zero vector."""
    dimension = draw(st.integers(2, 5))
    cells = st.lists(st.integers(-1, 1), min_size=dimension, max_size=dimension).filter(any)
    rows = draw(st.lists(cells, min_size=1, max_size=16))
    queries = draw(st.lists(cells, min_size=1, max_size=4))
    ids = draw(st.permutations([f"c:{number:03d}" for number in range(len(rows))]))
    return list(ids), np.array(rows, dtype=np.float32), np.array(queries, dtype=np.float32)


@each_kind
@settings(max_examples=30)
@given(collection=collections(), depth=st.integers(1, 20))
def test_the_ranking_is_that_of_brute_force_with_ties_by_id(
    kind: IndexName, collection: tuple[list[str], np.ndarray, np.ndarray], depth: int
) -> None:
    ids, vectors, queries = collection
    with closing(empty(kind, vectors.shape[1])) as index:
        assert index.add(Point(name, row, {}) for name, row in zip(ids, vectors, strict=True)) == len(ids)
        answers = index.search_many(queries, depth=depth)
        assert [index.search(query, depth=depth) for query in queries] == answers
    same = {name: row.tolist() for name, row in zip(ids, vectors, strict=True)}
    for query, hits in zip(queries, answers, strict=True):
        scores = dict(zip(ids, cosines(vectors, query), strict=True))
        found = [hit.chunk_id for hit in hits]
        assert len(set(found)) == len(found) == min(depth, len(ids))
        assert [hit.score for hit in hits] == pytest.approx([scores[name] for name in found], abs=1e-6)
        assert hits == sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))
        for name in set(ids) - set(found):  # whatever is left out is worse, or is a copy with a later id
            assert scores[name] < scores[found[-1]] + 1e-6
            assert all(name > other for other in found if same[other] == same[name])


@each_kind
def test_thousands_of_real_looking_vectors(kind: IndexName) -> None:
    random = np.random.default_rng(1)
    vectors = unit(random.normal(size=(2500, 64))).astype(np.float32)  # more than two blocks of 1,000
    queries = unit(random.normal(size=(120, 64))).astype(np.float32)
    ids = [f"c:{number}" for number in random.permutation(2500)]
    with closing(empty(kind, 64)) as index:
        index.add(Point(name, row, {}) for name, row in zip(ids, vectors, strict=True))
        assert len(index) == 2500
        answers = index.search_many(queries, depth=40)
    for query, hits in zip(queries, answers, strict=True):
        expected = np.argsort(-(vectors @ query))[:40]
        assert {hit.chunk_id for hit in hits} == {ids[position] for position in expected}
        assert [hit.score for hit in hits] == pytest.approx((vectors @ query)[expected].tolist(), abs=1e-6)


@each_kind
@pytest.mark.parametrize("dimension", [16, 384, 768])
def test_copies_of_one_vector_have_one_score(kind: IndexName, dimension: int) -> None:
    """BLAS sums rows in different orders at the edges of its blocks: the last digits differ."""
    random = np.random.default_rng(0)
    vector = unit(random.normal(size=dimension)).astype(np.float32)
    ids = [f"c:{number:04d}" for number in range(1003)]
    with closing(empty(kind, dimension)) as index:
        index.add(Point(name, vector, {}) for name in random.permutation(ids).tolist())
        for hits in index.search_many(random.normal(size=(5, dimension)).astype(np.float32), depth=100):
            assert len({hit.score for hit in hits}) == 1
            assert [hit.chunk_id for hit in hits] == ids[:100]


@each_kind
@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e18])
def test_the_length_of_a_vector_does_not_matter(kind: IndexName, scale: float) -> None:
    random = np.random.default_rng(2)
    vectors, query = random.normal(size=(50, 8)), random.normal(size=8)
    with closing(empty(kind, 8)) as index:
        index.add(Point(f"{n:02d}", row.astype(np.float32), {}) for n, row in enumerate(vectors * scale))
        hits = index.search((query * scale).astype(np.float32), depth=50)
    expected = np.argsort(-np.array(cosines(vectors, query)))
    assert [int(hit.chunk_id) for hit in hits] == expected.tolist()


@each_kind
class TestPoints:
    def test_one_id_twice_keeps_the_later(self, kind: IndexName) -> None:
        east, north = np.eye(2, dtype=np.float32)
        with closing(empty(kind, 2)) as index:
            assert index.add([Point("a", east, {"n": 1}), Point("b", east, {})]) == 2
            assert index.search(east, depth=1)[0].payload["n"] == 1
            assert index.add([Point("a", north, {"n": 2})]) == 1
            assert len(index) == 2
            (hit,) = index.search(north, depth=1)
            assert (hit.chunk_id, hit.payload["n"], hit.score) == ("a", 2, 1)
            assert [hit.chunk_id for hit in index.search(east, depth=5)] == ["b", "a"]

    def test_one_id_twice_in_one_block(self, kind: IndexName) -> None:
        east, north = np.eye(2, dtype=np.float32)
        with closing(empty(kind, 2)) as index:
            index.add([Point("a", east, {"n": 1}), Point("b", east, {}), Point("a", north, {"n": 2})])
            assert len(index) == 2
            assert [(hit.chunk_id, hit.payload.get("n")) for hit in index.search(north, depth=5)] == [
                ("a", 2),
                ("b", None),
            ]

    def test_payload_comes_back_with_the_chunk_id(self, kind: IndexName) -> None:
        payload = {"text": "größe\0", "original": {"a": [1, None, {"b": 2.5}]}, "flag": True, "n": 2**60}
        with closing(empty(kind, 2)) as index:
            index.add([Point("a", np.array([1, 1], dtype=np.float32), payload)])
            (hit,) = index.search(np.array([1, 1], dtype=np.float32), depth=10)
            assert hit.payload == {**payload, "chunk_id": "a"}
        assert "chunk_id" not in payload

    def test_empty(self, kind: IndexName) -> None:
        with closing(empty(kind, 3)) as index:
            assert len(index) == 0
            assert index.add([]) == 0
            query = np.array([1, 0, 0], dtype=np.float32)
            assert index.search(query, depth=5) == []
            assert index.search(query, depth=5, where=[Condition("n", "=", 1)]) == []
            assert index.search_many(np.array([query, query]), depth=5) == [[], []]
            assert index.search_many(np.empty((0, 3), dtype=np.float32), depth=5) == []
            assert (index.name, index.exact, index.dimension) == (kind, True, 3)

    @pytest.mark.parametrize(
        ("vector", "error", "words"),
        [
            ([1, 0], DimensionMismatch, "'bad' has the shape \\(2,\\), the index holds 3"),
            ([0, 0, 0], Mismatch, "'bad' is zero or not finite"),
            ([1, np.nan, 0], Mismatch, "'bad' is zero or not finite"),
            ([1, 0, -np.inf], Mismatch, "'bad' is zero or not finite"),
        ],
    )
    def test_vectors_that_no_search_can_use(
        self, kind: IndexName, vector: list[float], error: type[QembedError], words: str
    ) -> None:
        good = Point("good", np.ones(3, dtype=np.float32), {})
        with closing(empty(kind, 3)) as index:
            with pytest.raises(error, match=words) as caught:
                index.add([good, Point("bad", np.array(vector, dtype=np.float32), {})])
            assert "qembed audit" in str(caught.value.remedy)

    @pytest.mark.parametrize(
        ("queries", "error", "words"),
        [
            ([[1, 0]], DimensionMismatch, "shape \\(1, 2\\), the index holds 3"),
            ([1, 0, 0], DimensionMismatch, "shape \\(3,\\)"),
            ([[1, 0, 0], [0, 0, 0]], Mismatch, "query 1 "),
            ([[np.nan, 0, 0]], Mismatch, "query 0 "),
        ],
    )
    def test_queries_that_no_search_can_use(
        self, kind: IndexName, queries: Any, error: type[QembedError], words: str
    ) -> None:
        with closing(empty(kind, 3)) as index:
            index.add([Point("a", np.ones(3, dtype=np.float32), {})])
            vectors = np.array(queries, dtype=np.float32)
            with pytest.raises(error, match=words):
                index.search_many(vectors, depth=1)
            with pytest.raises(error):
                index.search(vectors[-1], depth=1)


PAYLOADS: list[dict[str, Any]] = [
    {"n": 1, "f": 0.5, "kind": "class", "flag": True, "original": {"deep": {"x": 1}}, "tags": ["a", "b"]},
    {"n": 2, "f": 1.0, "kind": "function", "flag": False, "original": {"deep": {"x": 2}}, "tags": ["b"]},
    {"n": 3, "f": 1.5, "kind": "class", "flag": True, "original": {"deep": {"x": 3}}, "tags": []},
    {"n": -4, "f": -1e-3, "kind": "two words", "number": "3", "true": "true"},
    {"kind": ""},
    {
        "Header 1": "Intro",
        "dc:title": "T",
        "@timestamp": "2024",
        "a.b": 1,
        "pdf/Producer": "x",
        "größe 1": 2,
        "nested": {"x y": {"z": 3}},
        "big": 9007199254740993,
        "huge": "123456789012345678901234567890",
    },
]


@pytest.fixture(scope="module", params=KINDS)
def filtered(request: pytest.FixtureRequest) -> Iterator[Index]:
    with closing(empty(request.param, 2)) as index:
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
        (["kind!=class"], "1345"),  # a chunk without the field meets it too
        (["kind=two words"], "3"),
        (["kind='two words'"], "3"),
        (["kind=''"], "4"),
        (["n=2"], "1"),
        (["n!=2"], "02345"),
        (["n=2.0"], "1"),
        (["f=1"], ""),  # an integer equals no fraction
        (["n='2'"], ""),
        (["flag=1"], ""),
        (["flag>0"], ""),
        (["original=1"], ""),
        (["original.deep.x.y=1"], ""),
        (["tags.b=1"], ""),
        (["n>1"], "12"),
        (["n>=1"], "012"),
        (["n<2"], "03"),
        (["n<=-4"], "3"),
        (["n=-4"], "3"),
        (["f=0.5"], "0"),
        (["f=1.0"], "1"),
        (["f!=0.5"], "12345"),
        (["f=-1e-3"], "3"),
        (["f>0.4", "f<1.2"], "01"),
        (["flag=true"], "02"),
        (["flag=FALSE"], "1"),
        (["flag!=true"], "1345"),
        (["number='3'"], "3"),
        (["true='true'"], "3"),
        (["original.deep.x=2"], "1"),
        (["original.deep.x>=2"], "12"),
        (["original.deep.x!=2"], "02345"),
        (["tags=b"], "01"),  # one of several values is enough
        (["kind=class", "n>1"], "2"),
        (["kind=class", "n!=3", "flag=true"], "0"),
        (["n=1", "n=true"], ""),  # equal to Python, not to Qdrant
        (["absent=1"], ""),
        (["absent!=1"], "012345"),
        (["absent>1"], ""),
        (['"Header 1"=Intro'], "5"),
        (["dc:title=T"], "5"),
        (["@timestamp='2024'"], "5"),
        (['"a.b"=1'], "5"),
        (["a.b=1"], ""),
        (["pdf/Producer=x"], "5"),
        (['"größe 1">1'], "5"),
        (['nested."x y".z=3'], "5"),
        (["big=9007199254740993"], "5"),
        (["big=9007199254740992"], ""),
        (["big>9007199254740992"], "5"),
        (["big>=9007199254740993"], "5"),
        (["big>9007199254740993"], ""),
        (["big<9007199254740994"], "5"),
        (["huge=123456789012345678901234567890"], "5"),
        (["n<123456789012345678901234567890"], "0123"),
    ],
)
def test_conditions(filtered: Index, conditions: list[str], found: str) -> None:
    where = [parse_condition(text) for text in conditions]
    hits = filtered.search(np.array([1, 0], dtype=np.float32), depth=10, where=where)
    assert sorted(hit.chunk_id for hit in hits) == list(found)


@given(n=st.integers(-3, 3), operator=st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_operators_are_those_of_python(filtered: Index, n: int, operator: Any) -> None:
    import operator as python

    test = {"=": python.eq, "!=": python.ne, "<": python.lt, "<=": python.le, ">": python.gt, ">=": python.ge}
    hits = filtered.search(np.array([1, 0], dtype=np.float32), depth=9, where=[Condition("n", operator, n)])
    expected = {
        str(number)
        for number, payload in enumerate(PAYLOADS)
        if ("n" in payload and test[operator](payload["n"], n)) or ("n" not in payload and operator == "!=")
    }
    assert {hit.chunk_id for hit in hits} == expected


@each_kind
def test_a_filter_does_not_shorten_the_answer(kind: IndexName) -> None:
    """The depth counts what meets the conditions, not what was looked at."""
    vectors = np.stack([np.ones(50), np.arange(50)], axis=1).astype(np.float32)
    with closing(empty(kind, 2)) as index:
        index.add(Point(f"{n:02d}", vectors[n], {"late": n >= 40}) for n in range(50))
        hits = index.search(np.array([1, 0], dtype=np.float32), depth=5, where=[Condition("late", "=", True)])
    assert [hit.chunk_id for hit in hits] == ["40", "41", "42", "43", "44"]
