"""Cheaper forms of vectors: what each keeps, what an exact search in them finds, what rescoring mends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qembed.evaluation.diagnose import variants
from qembed.evaluation.diagnose.variants import KINDS, Form, as_asked, as_stored, cut, forms, nearest, search
from qembed.index import Point, make_index
from qembed.records import Vectors

NUMBERS = st.floats(-1, 1, width=32, allow_subnormal=False)


SIZES = st.integers(1, 12)


def matrices(rows: Any = SIZES, dimension: Any = SIZES) -> Any:
    """Random ones, with many equal numbers and rows."""
    return st.tuples(rows, dimension).flatmap(
        lambda shape: hnp.arrays(np.float32, shape, elements=NUMBERS | st.sampled_from([0.0, 0.5, -0.5]))
    )


def normal(rows: int, dimension: int, seed: int = 0) -> Vectors:
    return np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)


class TestForms:
    def test_the_full_one_is_first_and_each_is_there_once(self) -> None:
        found = forms(384, [384, 64, 128, 64], ["int8", "int8", "float32", "fp16"], oversample=4)
        assert [form.name for form in found] == [
            "384 float32",
            "128 float32",
            "64 float32",
            "384 int8",
            "384 int8 +rescore",
            "384 fp16",
        ]

    def test_combined(self) -> None:
        found = forms(8, [4], ["binary"], oversample=0, combine=True)
        assert found == [Form(8), Form(4), Form(8, "binary"), Form(4, "binary")]

    @pytest.mark.parametrize(
        ("form", "size"),
        [
            (Form(384), 1536),
            (Form(384, "fp16"), 768),
            (Form(384, "int8"), 384),
            (Form(384, "binary"), 48),
            (Form(9, "binary-asym"), 2),
        ],
    )
    def test_bytes(self, form: Form, size: int) -> None:
        assert (form.bytes, form.rescoring_bytes) == (size, 0)

    def test_bytes_of_rescoring(self) -> None:
        assert (Form(384, "binary", 4).bytes, Form(384, "binary", 4).rescoring_bytes) == (48, 1536)

    @given(
        dimension=st.integers(2, 64),
        dims=st.lists(st.integers(1, 64)),
        kinds=st.lists(st.sampled_from(KINDS)),
        oversample=st.integers(0, 5),
        combine=st.booleans(),
    )
    def test_names_tell_them_apart(self, dimension: int, dims: list[int], **more: Any) -> None:
        found = forms(dimension, [size for size in dims if size <= dimension], more.pop("kinds"), **more)
        assert len({form.name for form in found}) == len(set(found)) == len(found)
        assert all(form.bytes <= found[0].bytes for form in found)


class TestCut:
    @given(vectors=matrices(), size=st.integers(1, 9))
    def test_length_1_and_the_same_direction(self, vectors: Vectors, size: int) -> None:
        found = cut(vectors, size)
        kept = vectors[:, :size].astype(np.float64)
        lengths = np.linalg.norm(kept, axis=1)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found * lengths[:, None], kept, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), lengths > 0, atol=1e-6)

    def test_what_is_zero_stays_zero(self) -> None:
        assert cut(np.array([[0, 0, 1]], dtype=np.float32), 2).tolist() == [[0, 0]]


class TestAsStored:
    @given(vectors=matrices())
    def test_float32_is_as_it_is(self, vectors: Vectors) -> None:
        assert as_stored(vectors, "float32") is vectors

    @given(vectors=matrices())
    def test_fp16_is_off_by_half_a_unit_in_the_last_place(self, vectors: Vectors) -> None:
        np.testing.assert_allclose(as_stored(vectors, "fp16"), vectors, rtol=2.0**-11, atol=2.0**-25)

    @given(vectors=matrices(rows=st.integers(2, 40)))
    def test_int8_is_off_by_half_a_step_where_it_is_not_clipped(self, vectors: Vectors) -> None:
        found = as_stored(vectors, "int8")
        low, high = np.quantile(vectors, [0.005, 0.995], axis=0)
        step = (high - low) / 255
        clipped = np.clip(vectors, low, high)
        assert (np.abs(found - clipped) <= step / 2 + 1e-5).all()
        assert found.dtype == np.float32

    def test_int8_has_256_values_a_dimension(self) -> None:
        even = np.linspace(-1, 1, 5001, dtype=np.float32)
        found = as_stored(np.stack([even, 9 * even], axis=1), "int8")
        assert [len(np.unique(column)) for column in found.T] == [256, 256]

    def test_int8_of_equal_numbers(self) -> None:
        vectors = np.full((4, 2), 0.3, dtype=np.float32)
        np.testing.assert_array_equal(as_stored(vectors, "int8"), vectors)

    def test_each_dimension_has_its_own_steps(self) -> None:
        """An outlying dimension, as many models have one, does not cost the others their resolution."""
        vectors = normal(1000, 2) * np.array([1, 1000], dtype=np.float32)
        found = as_stored(vectors, "int8")
        low, high = np.quantile(vectors[:, 0], [0.005, 0.995])
        inside = (vectors[:, 0] > low) & (vectors[:, 0] < high)
        assert np.abs(found[inside, 0] - vectors[inside, 0]).max() < 0.02

    @given(vectors=matrices())
    def test_binary_is_the_sign_and_zero_is_not_above_zero(self, vectors: Vectors) -> None:
        signs = as_stored(vectors, "binary")
        assert ((signs == 1) == (vectors > 0)).all()
        assert set(signs.ravel().tolist()) <= {1.0, -1.0}

    @given(queries=matrices())
    def test_the_query_is_whole_but_for_binary(self, queries: Vectors) -> None:
        for kind in KINDS:
            found = as_asked(queries, kind)
            assert (found is queries) == (kind != "binary")
        np.testing.assert_array_equal(as_asked(queries, "binary"), as_stored(queries, "binary"))


class TestNearest:
    @given(
        both=st.integers(1, 9).flatmap(
            lambda dimension: st.tuples(
                matrices(dimension=st.just(dimension)), matrices(dimension=st.just(dimension))
            )
        ),
        depth=st.integers(1, 15),
    )
    def test_score_descending_then_row(self, both: tuple[Vectors, Vectors], depth: int) -> None:
        documents, queries = both
        found = nearest(documents, queries, depth)
        assert found.shape == (len(queries), min(depth, len(documents)))
        scores = (queries.astype(np.float64) @ documents.astype(np.float64).T).round(7)
        for row, numbers in zip(found.tolist(), scores, strict=True):
            order = sorted(range(len(documents)), key=lambda at: (-numbers[at], at))
            assert row == order[:depth]

    def test_blocks_do_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        documents, queries = normal(100, 6), normal(20, 6, seed=1)
        whole = nearest(documents, queries, 7)
        monkeypatch.setattr(variants, "_BLOCK_BYTES", 8 * 100 * 3)
        monkeypatch.setattr(variants, "_ROWS", 13)
        np.testing.assert_array_equal(nearest(documents, queries, 7), whole)

    def test_copies_tie_wherever_they_stand(self) -> None:
        documents = np.tile(normal(1, 384), (10_000, 1))
        assert nearest(documents, normal(3, 384, seed=1), 5).tolist() == [[0, 1, 2, 3, 4]] * 3

    def test_what_differs_by_rounding_ties(self) -> None:
        documents = np.array([[1, 0], [1, 1e-9]], dtype=np.float32)
        assert nearest(documents, np.array([[0.6, 0.8]], dtype=np.float32), 2).tolist() == [[0, 1]]


class TestSearch:
    def test_the_full_form_finds_what_the_exact_index_finds(self) -> None:
        documents, queries = normal(300, 24) * 3, normal(10, 24, seed=1)
        index = make_index("exact", 24)
        index.add(Point(f"{row:03d}", vector, {}) for row, vector in enumerate(documents))
        wanted = [[int(hit.chunk_id) for hit in hits] for hits in index.search_many(queries, depth=20)]
        assert search(documents, queries, Form(24), depth=20, k=10).tolist() == wanted

    def test_binary_orders_by_hamming_distance(self) -> None:
        documents, queries = normal(200, 32), normal(5, 32, seed=1)
        found = search(documents, queries, Form(32, "binary"), depth=200, k=10)
        for row, query in zip(found, queries, strict=True):
            distances = ((documents > 0) != (query > 0)).sum(axis=1)[row].tolist()
            assert distances == sorted(distances)

    def test_cut_and_rounded_at_once(self) -> None:
        documents, queries = normal(50, 16), normal(4, 16, seed=1)
        both = search(documents, queries, Form(8, "binary"), depth=10, k=10)
        first = search(documents[:, :8].copy(), queries[:, :8].copy(), Form(8, "binary"), depth=10, k=10)
        np.testing.assert_array_equal(both, first)

    @pytest.mark.parametrize("kind", ["int8", "binary", "binary-asym"])
    def test_rescoring_orders_its_pool_by_the_whole_vectors(self, kind: Any) -> None:
        documents, queries = normal(300, 16), normal(8, 16, seed=1)
        plain = search(documents, queries, Form(16, kind), depth=100, k=10)
        found = search(documents, queries, Form(16, kind, 3), depth=100, k=10)
        full = search(documents, queries, Form(16), depth=300, k=10)
        np.testing.assert_array_equal(found[:, 30:], plain[:, 30:])
        for one, before, whole in zip(found.tolist(), plain.tolist(), full.tolist(), strict=True):
            pool = set(before[:30])
            assert one[:30] == [row for row in whole if row in pool]

    def test_rescoring_everything_gives_the_full_order(self) -> None:
        documents, queries = normal(40, 8), normal(6, 8, seed=1)
        np.testing.assert_array_equal(
            search(documents, queries, Form(8, "binary", 4), depth=40, k=10),
            search(documents, queries, Form(8), depth=40, k=10),
        )

    def test_a_query_whose_first_dimensions_are_zero(self) -> None:
        queries = np.array([[0, 0, 1]], dtype=np.float32)
        assert search(normal(5, 3), queries, Form(2), depth=3, k=3).tolist() == [[0, 1, 2]]
