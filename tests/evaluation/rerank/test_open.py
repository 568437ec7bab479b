"""Rerankers from outside: alignment, every pair and text once, defined values for odd input, errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import oom
from hypothesis import given
from hypothesis import strategies as st
from tiny_rerankers import tiny_cross_encoder, tiny_multi_vector

from qembed.errors import ModelUnreachable, QembedError, UsageError
from qembed.evaluation.rerank.engine import apart, distinct, flat
from qembed.evaluation.rerank.maxsim import _wanted
from qembed.evaluation.rerank.open import DEFAULT_RERANKER, open_reranker
from qembed.evaluation.rerank.reranker import Reranked, Reranker
from qembed.models import EncoderOptions
from qembed.models.rerank.cross_encoder import PairEncoder
from qembed.models.rerank.maxsim import MaxSimModel
from qembed.progress import Progress

PLAIN = EncoderOptions(device="cpu", precision="fp32", kernels="plain")
QUERIES = ["vector search", "how do I filter a point?", "vector search"]
TEXTS = [
    "a point is a vector and a payload",
    "filter: the index of a chunk",
    "x",
    "a point is a vector and a payload",
    "search " * 40,
]
CANDIDATES = [np.array([2, 0, 3, 1]), np.array([4, 1]), np.array([0, 2, 2])]
KINDS = ("cross-encoder", "maxsim", "multi-vector")

Open = Callable[[str], Reranker]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Callable[[str], str]:
    base = tmp_path_factory.mktemp("rerankers")

    def of(kind: str) -> str:
        if kind == "cross-encoder":
            return str(tiny_cross_encoder(base))
        return f"maxsim:{tiny if kind == 'maxsim' else tiny_multi_vector(base)}"

    return of


@pytest.fixture(scope="module")
def opened(spec: Callable[[str], str]) -> Open:
    """Each kind opened once; a token budget that makes several batches."""
    return cache(lambda kind: open_reranker(spec(kind), options=PLAIN, token_budget=40))


def alone(reranker: Reranker, query: str, text: str) -> float:
    return float(reranker.score_one(query, [text])[0])


@pytest.mark.parametrize("kind", KINDS)
class TestScores:
    def test_each_stands_where_its_candidate_stood(self, opened: Open, kind: str) -> None:
        reranker = opened(kind)
        found = reranker.rerank(QUERIES, TEXTS, CANDIDATES)
        for query, positions, scores in zip(QUERIES, CANDIDATES, found.scores, strict=True):
            expected = [alone(reranker, query, TEXTS[position]) for position in positions]
            assert scores.dtype == np.float64
            assert np.allclose(scores, expected, atol=1e-4)
        assert np.ptp(found.scores[0]) > 0.01

    def test_the_account(self, opened: Open, kind: str) -> None:
        found = opened(kind).rerank(QUERIES, TEXTS, CANDIDATES)
        # Query 0 and 2 are one, text 0 and 3 too: (vector search) x (0, 1, 2), (filter) x (4, 1).
        assert (found.pairs, found.unique_pairs) == (9, 5)
        assert found.truncated_pairs == 1
        assert 0 < found.tokens <= found.padded_tokens
        assert (found.splits, found.retried, found.failures) == (0, 0, ())
        assert found.seconds > 0

    def test_equal_pairs_have_equal_scores(self, opened: Open, kind: str) -> None:
        first, _, last = opened(kind).rerank(QUERIES, TEXTS, CANDIDATES).scores
        assert first[1] == first[2] == last[0]
        assert first[0] == last[1] == last[2]

    def test_one_query(self, opened: Open, kind: str) -> None:
        reranker = opened(kind)
        found = reranker.score_one(QUERIES[1], TEXTS)
        assert found.shape == (len(TEXTS),)
        assert found[0] == found[3]
        assert np.allclose(found, [alone(reranker, QUERIES[1], text) for text in TEXTS], atol=1e-4)

    @pytest.mark.parametrize(
        ("queries", "texts", "candidates"),
        [([], [], []), (["x"], [], [[]]), (["x", "y"], TEXTS, [[], []]), ([], TEXTS, [])],
    )
    def test_nothing_to_do(
        self, opened: Open, kind: str, queries: list[str], texts: list[str], candidates: list[list[int]]
    ) -> None:
        arrays = [np.array(positions, dtype=np.int64) for positions in candidates]
        found = opened(kind).rerank(queries, texts, arrays)
        assert [scores.tolist() for scores in found.scores] == candidates
        assert (found.pairs, found.unique_pairs, found.tokens) == (0, 0, 0)
        assert opened(kind).score_one("x", []).shape == (0,)

    def test_a_query_without_candidates_among_others(self, opened: Open, kind: str) -> None:
        found = opened(kind).rerank(["x", "y"], TEXTS, [np.array([], dtype=np.int64), np.array([1])])
        assert [len(scores) for scores in found.scores] == [0, 1]

    @pytest.mark.parametrize("odd", ["", " ", "\n12\n", "日本語", "[SEP]", "\x00"])
    def test_odd_texts(self, opened: Open, kind: str, odd: str) -> None:
        reranker = opened(kind)
        assert np.isfinite(reranker.score_one(odd, [*TEXTS, odd])).all()
        assert np.isfinite(reranker.score_one("x", [odd])).all()

    def test_progress(self, opened: Open, kind: str) -> None:
        class Counting(Progress):
            tokens = texts = 0

            def advance(self, amount: int, *, texts: int = 0) -> None:
                self.tokens += amount
                self.texts += texts

        progress = Counting()
        found = opened(kind).rerank(QUERIES, TEXTS, CANDIDATES, progress=progress)
        assert progress.tokens == found.tokens
        assert progress.texts == (5 if kind == "cross-encoder" else 4)

    def test_provenance(self, spec: Callable[[str], str], opened: Open, kind: str) -> None:
        reranker = opened(kind)
        assert reranker.name == spec(kind)
        known = reranker.provenance
        assert known["kind"] == ("cross-encoder" if kind == "cross-encoder" else "maxsim")
        assert known["activation"] == ("identity" if kind == "cross-encoder" else "none")
        assert (known["dtype"], known["device"], known["max_tokens"]) == ("fp32", "cpu", 24)
        assert len(known["weights_sha256"]) == 64


@pytest.mark.parametrize("kind", [pytest.param("cross-encoder", marks=pytest.mark.slow), "maxsim"])
def test_by_processes(spec: Callable[[str], str], opened: Open, kind: str) -> None:
    options = EncoderOptions(device="cpu*2", precision="fp32", kernels="plain")
    reranker = open_reranker(spec(kind), options=options, token_budget=40)
    found = reranker.rerank(QUERIES, TEXTS, CANDIDATES)
    expected = opened(kind).rerank(QUERIES, TEXTS, CANDIDATES)
    assert np.allclose(np.concatenate(found.scores), np.concatenate(expected.scores), atol=1e-5)
    assert (found.unique_pairs, found.tokens) == (expected.unique_pairs, expected.tokens)
    assert np.allclose(reranker.score_one(QUERIES[0], TEXTS[:1]), expected.scores[0][2], atol=1e-5)


def test_maxsim_reads_each_text_once_whatever_the_number_of_queries(opened: Open) -> None:
    reranker, everything = opened("maxsim"), np.arange(len(TEXTS))
    one = reranker.rerank(["x"], TEXTS, [everything])
    many = reranker.rerank([f"query {number}" for number in range(50)], TEXTS, [everything] * 50)
    assert many.tokens == one.tokens
    assert many.unique_pairs == 50 * one.unique_pairs


def test_the_bundled_model(minilm: Path) -> None:
    assert minilm.is_dir()
    reranker = open_reranker("maxsim:minilm")
    texts = [
        "Berlin is well known for its museums.",
        "A lock file keeps two processes apart.",
        "Berlin had a population of 3,520,031 in 2016.",
    ]
    assert reranker.score_one("How many people live in Berlin?", texts).argsort().tolist() == [1, 0, 2]


class TestTrouble:
    """A device without memory, and numbers that are none."""

    @pytest.fixture(params=["cross-encoder", "maxsim"])
    def kind(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def misbehave(
        self, monkeypatch: pytest.MonkeyPatch, kind: str, change: Callable[[Any, Sequence[Any], Any], Any]
    ) -> None:
        """``change(model, ids, call)`` stands in for ``submit``; ``call`` is the right one."""
        cls = PairEncoder if kind == "cross-encoder" else MaxSimModel
        right = cls.submit
        monkeypatch.setattr(
            cls, "submit", lambda self, ids: change(self, ids, lambda: right(self, ids)), raising=True
        )

    def test_a_batch_that_does_not_fit_is_halved(
        self, opened: Open, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = opened(kind).rerank(QUERIES, TEXTS, CANDIDATES)

        def small(_: Any, ids: Sequence[Any], call: Callable[[], Any]) -> Any:
            if len(ids) > 1:
                raise oom("OutOfMemoryError")
            return call()

        self.misbehave(monkeypatch, kind, small)
        found = opened(kind).rerank(QUERIES, TEXTS, CANDIDATES)
        assert found.splits > 0
        assert np.allclose(np.concatenate(found.scores), np.concatenate(expected.scores), atol=1e-4)

    def test_what_never_fits_goes_last(
        self, opened: Open, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_long_ones(_: Any, ids: Sequence[Any], call: Callable[[], Any]) -> Any:
            if max(map(len, ids)) >= 24:
                raise oom("cublas")
            return call()

        self.misbehave(monkeypatch, kind, no_long_ones)
        found = opened(kind).rerank(QUERIES[:1], TEXTS, [np.array([4, 1])])
        assert found.scores[0][0] == -np.inf
        assert np.isfinite(found.scores[0][1])
        assert len(found.failures) == 1
        assert "search search" in found.failures[0]
        assert "CUBLAS" in found.failures[0]

    def test_nothing_fits(self, opened: Open, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def never(*_: Any) -> Any:
            raise oom("OutOfMemoryError")

        self.misbehave(monkeypatch, kind, never)
        with pytest.raises(QembedError, match="has no score for") as caught:
            opened(kind).rerank(QUERIES, TEXTS, CANDIDATES)
        assert "do not fit" in str(caught.value.where)

    def test_a_score_that_is_not_a_number(
        self, opened: Open, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class NotANumber:
            def __init__(self, pending: Any) -> None:
                self._pending = pending

            def result(self) -> np.ndarray:
                found = np.array(self._pending.result())
                found[0] = np.nan  # the longest of the batch
                return found

        self.misbehave(monkeypatch, kind, lambda _, __, call: NotANumber(call()))
        with pytest.raises(QembedError, match="has no score for") as caught:
            opened(kind).rerank(["vector search"], TEXTS, [np.array([2, 1])])
        assert "vector search" in caught.value.message
        assert "filter: the index" in caught.value.message
        assert "its score is not finite in fp32" in str(caught.value.where)

    def test_a_score_that_is_one_in_fp32_only(
        self, spec: Callable[[str], str], opened: Open, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def overflows(model: Any, ids: Sequence[Any], call: Callable[[], Any]) -> Any:
            made = call()
            if model.info.dtype != "fp32":
                result = np.array(made.result())
                result[0] = np.inf
                return type("Done", (), {"result": lambda self: result})()
            return made

        reranker = open_reranker(
            spec(kind), options=EncoderOptions(device="cpu", precision="fp16"), token_budget=40
        )
        expected = opened(kind).rerank(QUERIES[:2], TEXTS, CANDIDATES[:2])
        self.misbehave(monkeypatch, kind, overflows)
        found = reranker.rerank(QUERIES[:2], TEXTS, CANDIDATES[:2])
        assert found.retried > 0
        assert np.allclose(np.concatenate(found.scores), np.concatenate(expected.scores), atol=0.3)


class TestOpening:
    @pytest.mark.parametrize("name", [DEFAULT_RERANKER, "ms-marco-minilm", "maxsim:someone/some-model"])
    def test_a_model_that_cannot_be_had(self, name: str) -> None:
        with pytest.raises(ModelUnreachable) as caught:
            open_reranker(name)
        assert caught.value.exit_code == 4
        assert "--reranker maxsim:minilm" in str(caught.value.remedy)
        assert "--reranker PATH" in str(caught.value.remedy)

    @pytest.mark.parametrize("name", ["./no-such-folder", "maxsim:./no-such-folder"])
    def test_a_folder_that_is_not_there(self, name: str) -> None:
        with pytest.raises(ModelUnreachable, match="no model folder"):
            open_reranker(name)

    @pytest.mark.parametrize("name", ["minilm", "nomic-ai/nomic-embed-code"])
    def test_an_embedder_is_named_with_what_it_can_do(self, name: str) -> None:
        with pytest.raises(UsageError, match="makes vectors") as caught:
            open_reranker(name)
        assert f"maxsim:{name}" in str(caught.value.remedy)

    @pytest.mark.parametrize("name", ["", "maxsim:", "maxsim: "])
    def test_no_name(self, name: str) -> None:
        with pytest.raises(UsageError, match="names no model"):
            open_reranker(name)

    def test_a_cross_encoder_of_the_catalog_has_no_maxsim(self) -> None:
        with pytest.raises(UsageError, match="is a reranker"):
            open_reranker(f"maxsim:{DEFAULT_RERANKER}")


texts = st.lists(st.sampled_from("abcde"), max_size=6)


@given(items=texts)
def test_distinct(items: list[str]) -> None:
    different, places = distinct(items)
    assert [different[place] for place in places] == items
    assert len(set(different)) == len(different)


candidate_lists = st.lists(st.lists(st.integers(0, 7), max_size=6), max_size=6)


@given(lists=candidate_lists)
def test_flat_and_apart(lists: list[list[int]]) -> None:
    candidates = [np.array(positions, dtype=np.int64) for positions in lists]
    queries, positions = flat(candidates)
    assert queries.tolist() == [number for number, some in enumerate(lists) for _ in some]
    assert [part.tolist() for part in apart(positions.astype(np.float64), candidates)] == lists


@given(lists=candidate_lists.filter(lambda lists: any(lists)))
def test_wanted(lists: list[list[int]]) -> None:
    queries, of_text = flat([np.array(positions, dtype=np.int64) for positions in lists])
    wanted, row, column = _wanted([str(number) for number in range(len(lists))], 8, queries, of_text)
    assert [wanted.of(text)[place] for text, place in zip(row, column, strict=True)] == queries.tolist()
    assert row.tolist() == of_text.tolist()
    assert len(wanted.numbers) == len(set(zip(queries.tolist(), of_text.tolist(), strict=True)))
    assert column.max() < wanted.most


def test_reranked_is_frozen() -> None:
    found = Reranked([], 0, 0, 0, 0, 0, 0, 0.0, 0, ())
    with pytest.raises(AttributeError):
        found.pairs = 1  # type: ignore[misc]
