"""MaxSim over batches against the definition, text by text and token by token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tiny_rerankers import tiny_multi_vector

from qembed.models import EncoderOptions, resolve_model
from qembed.models.rerank import maxsim
from qembed.models.rerank.maxsim import MaxSimModel, NumberedTokens, Wanted, numbered
from qembed.models.rerank.token_states import TokenModel, load_token_model

PLAIN = EncoderOptions(device="cpu", precision="fp32", kernels="plain")
QUERIES = ("vector search", "how do I filter a point?", "x", "")
TEXTS = ["a point is a vector and a payload", "filter: the index of a chunk", "x", "search " * 30, ""]


@pytest.fixture(scope="module")
def model(tiny: Path) -> TokenModel:
    return load_token_model(resolve_model(str(tiny)), PLAIN)


def unit(states: np.ndarray) -> np.ndarray:
    return states / np.linalg.norm(states, axis=1, keepdims=True)


def states(model: TokenModel, texts: Sequence[str], role: str) -> list[np.ndarray]:
    """Each text alone in its batch."""
    made = [model.states_of_texts([text], role) for text in texts]  # type: ignore[arg-type]
    return [unit(one.states[0][one.matched[0]].numpy()) for one in made]


def by_definition(model: TokenModel) -> np.ndarray:
    """(texts, queries)"""
    queries, documents = states(model, QUERIES, "query"), states(model, TEXTS, "document")
    return np.array([[(query @ text.T).max(axis=1).sum() for query in queries] for text in documents])


def all_of_all() -> Wanted:
    count = len(QUERIES)
    return Wanted(QUERIES, np.arange(len(TEXTS) + 1) * count, np.tile(np.arange(count), len(TEXTS)))


def ids_of(model: TokenModel) -> list[np.ndarray]:
    tokens = NumberedTokens(model.tokens).encode([numbered(*item) for item in enumerate(TEXTS)], 24)
    return [tokens[number] for number in range(len(TEXTS))]


@pytest.mark.parametrize("similarities", [1 << 24, 1, 300])
def test_every_query_with_every_text(
    model: TokenModel, monkeypatch: pytest.MonkeyPatch, similarities: int
) -> None:
    monkeypatch.setattr(maxsim, "_SIMILARITIES", similarities)
    scorer = MaxSimModel(model, all_of_all())
    assert scorer.info.dimension == len(QUERIES)
    assert scorer.reads_tokens
    by_ids = scorer.submit(ids_of(model)).result()
    assert by_ids.dtype == np.float32
    assert np.allclose(by_ids, by_definition(model), atol=1e-4)
    by_texts = scorer.submit_texts([numbered(*item) for item in enumerate(TEXTS)]).result()
    assert np.array_equal(by_ids, by_texts)


def test_only_what_is_wanted_in_any_order(model: TokenModel) -> None:
    wanted = Wanted(QUERIES, np.array([0, 1, 4, 4, 6, 7]), np.array([2, 3, 0, 1, 1, 2, 0]))
    scorer = MaxSimModel(model, wanted)
    assert scorer.info.dimension == wanted.most == 3
    order = [3, 0, 4, 1]
    found = scorer.submit([ids_of(model)[text] for text in order]).result()
    expected = by_definition(model)
    for row, text in zip(found, order, strict=True):
        queries = wanted.of(text)
        assert np.allclose(row[: len(queries)], expected[text, queries], atol=1e-4)
        assert not row[len(queries) :].any()


def test_many_queries_in_several_passes(model: TokenModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maxsim, "_QUERIES", 3)
    found = MaxSimModel(model, all_of_all()).submit(ids_of(model)).result()
    assert np.allclose(found, by_definition(model), atol=1e-4)


def test_the_library_scores_alike(tmp_path_factory: pytest.TempPathFactory) -> None:
    library = pytest.importorskip("sentence_transformers.multi_vector_encoder")
    folder = tiny_multi_vector(tmp_path_factory.mktemp("multi-vector"))
    scorer = MaxSimModel(load_token_model(resolve_model(str(folder)), PLAIN), all_of_all())
    assert not scorer.reads_tokens
    theirs = library.MultiVectorEncoder(str(folder), device="cpu")
    expected = theirs.similarity(theirs.encode_query(list(QUERIES)), theirs.encode_document(TEXTS))
    found = scorer.submit_texts([numbered(*item) for item in enumerate(TEXTS)]).result()
    assert np.allclose(found.T, expected.numpy(), atol=1e-4)


def test_numbers_go_before_the_ids(model: TokenModel) -> None:
    tokens = NumberedTokens(model.tokens)
    texts = [numbered(70_000, "vector search"), numbered(3, ""), numbered(5, "7\nx " + "index " * 40)]
    made, bare = (
        tokens.encode(texts, 24),
        model.tokens.encode(["vector search", "", "7\nx " + "index " * 40], 24),
    )
    assert [int(made[number][0]) for number in range(3)] == [70_000, 3, 5]
    assert all(np.array_equal(made[number][1:], bare[number]) for number in range(3))
    assert made.lengths.tolist() == bare.lengths.tolist() == tokens.count(texts).tolist()
