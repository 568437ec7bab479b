"""States of tokens: those of the library, without the prompt's."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import edit_json
from tiny_rerankers import tiny_multi_vector

from qembed.errors import UsageError
from qembed.models import EncoderOptions, resolve_model
from qembed.models.rerank.token_states import (
    MultiVectorTokens,
    TokenEncoder,
    TokenModel,
    TokenStates,
    _never_none,
    load_token_model,
)

PLAIN = EncoderOptions(device="cpu", precision="fp32", kernels="plain")
TEXTS = ["vector search", "a point, a vector and more.", "x"]


def load(folder: Path, options: EncoderOptions = PLAIN) -> TokenModel:
    return load_token_model(resolve_model(str(folder)), options)


def rows(made: TokenStates) -> list[np.ndarray]:
    return [states[keep].numpy() for states, keep in zip(made.states, made.matched, strict=True)]


def of_the_library(folder: Path, texts: list[str]) -> list[np.ndarray]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    # One by one: in a batch the library keeps padding on the left.
    made = [model.encode([text], output_value="token_embeddings", prompt="")[0] for text in texts]
    return [states.numpy() for states in made]


def close(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return all(
        a.shape == b.shape and np.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("kind", ["plain", "dense", "last-token"])
def test_the_librarys_states_special_tokens_included(tiny_models: Callable[[str], Path], kind: str) -> None:
    model = load(tiny_models(kind))
    assert isinstance(model, TokenEncoder)
    expected = of_the_library(tiny_models(kind), TEXTS)
    assert close(rows(model.states_of_texts(TEXTS)), expected)
    assert model.reads_tokens
    tokens = model.tokens.encode(TEXTS)
    assert close(rows(model.states([tokens[number] for number in range(len(TEXTS))])), expected)


@pytest.mark.parametrize("role", ["query", "document"])
def test_the_prompt_is_read_but_not_matched(tiny_models: Callable[[str], Path], role: str) -> None:
    folder = tiny_models("prompted")
    model = load(folder)
    prompt = {"query": "query: ", "document": "passage: "}[role]
    expected = of_the_library(folder, [prompt + text for text in TEXTS])
    # [CLS], the prompt's word and its colon, the text, [SEP].
    without = [np.concatenate([states[:1], states[3:]]) for states in expected]
    assert close(rows(model.states_of_texts(TEXTS, role)), without)  # type: ignore[arg-type]


def test_the_prompt_behind_padding(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_models("prompted"), tmp_path / "model")
    edit_json(folder / "tokenizer_config.json", padding_side="left")
    made = load(folder).states_of_texts(["vector search", "x"], "query")
    assert made.matched.int().tolist() == [[1, 0, 0, 1, 1, 1], [0, 1, 0, 0, 1, 1]]


def test_never_none() -> None:
    import torch

    matched = torch.tensor([[True, False, False], [False, False, False]])
    real = torch.tensor([[True, True, False], [True, True, False]])
    assert _never_none(matched, real).tolist() == [[True, False, False], [True, True, False]]


def test_a_model_without_states_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sentence_transformers.sentence_transformer.modules import Transformer

    right = Transformer.forward

    def forward(self: Transformer, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        made = right(self, features, **options)
        return {"sentence_embedding": made["token_embeddings"].mean(dim=1)}

    model = TokenEncoder.load(resolve_model(str(tiny)), PLAIN)
    monkeypatch.setattr(Transformer, "forward", forward)
    assert isinstance(model, TokenEncoder)
    with pytest.raises(UsageError, match="no token vectors"):
        model.states_of_texts(TEXTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sentence_transformers.multi_vector_encoder")
    return tiny_multi_vector(tmp_path_factory.mktemp("multi-vector"))


class TestMultiVectorEncoder:
    @pytest.mark.parametrize("kernels", ["plain", "auto"])
    def test_the_librarys_vectors(self, folder: Path, kernels: str) -> None:
        from sentence_transformers import MultiVectorEncoder

        model = load(folder, EncoderOptions(device="cpu", precision="fp32", kernels=kernels))  # type: ignore[arg-type]
        assert isinstance(model, MultiVectorTokens)
        assert (model.info.dimension, model.info.max_tokens) == (8, 24)
        library = MultiVectorEncoder(str(folder), device="cpu")
        documents = library.encode_document(TEXTS, convert_to_numpy=True)
        assert close(rows(model.states_of_texts(TEXTS)), documents)
        queries = library.encode_query(TEXTS, convert_to_numpy=True)
        assert close(rows(model.states_of_texts(TEXTS, "query")), queries)
        # The comma and the full stop of the second text are not matched; its prompt is.
        assert len(queries[1]) == len(documents[1]) + 2

    def test_a_sentence_transformers_without_them(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import sentence_transformers

        monkeypatch.delattr(sentence_transformers, "MultiVectorEncoder")
        with pytest.raises(UsageError, match="has no MultiVectorEncoder"):
            load(folder)


class TestQueryExpansion:
    """Queries are filled with mask tokens that are matched, though no token attends to them (ColBERT)."""

    @pytest.fixture
    def expanded(self, folder: Path, tmp_path: Path) -> Path:
        copy = shutil.copytree(folder, tmp_path / "expanded")
        expansion = {"strategy": "fixed", "attend": False, "length": 16}
        edit_json(copy / "sentence_bert_config.json", query_expansion=expansion)
        return copy

    def test_kernels_that_leave_masked_tokens_out_are_not_used(self, expanded: Path) -> None:
        source = resolve_model(str(expanded))
        plain = MultiVectorTokens.load(source, PLAIN)
        fast = MultiVectorTokens.load(source, replace(PLAIN, kernels="auto"))
        expected, found = (model.states_of_texts(TEXTS, "query") for model in (plain, fast))
        assert expected.matched.sum(dim=1).tolist() == [16] * len(TEXTS)
        assert torch.equal(expected.matched, found.matched)
        cosines = torch.nn.functional.cosine_similarity(expected.states, found.states, dim=2)
        assert cosines[expected.matched].min() > 0.99999
        assert fast.info.kernels.startswith("plain")

    def test_as_the_library(self, expanded: Path) -> None:
        from sentence_transformers import MultiVectorEncoder

        model = MultiVectorEncoder(str(expanded), device="cpu")
        expected = model.encode_query(TEXTS, convert_to_numpy=True)
        made = MultiVectorTokens.load(resolve_model(str(expanded)), PLAIN).states_of_texts(TEXTS, "query")
        for one, states, matched in zip(expected, made.states, made.matched, strict=True):
            mine = states[matched].float().numpy()
            assert np.allclose(mine, np.asarray(one), atol=1e-5)


def test_a_pylate_folder_needs_no_foreign_code(folder: Path, tmp_path: Path) -> None:
    """PyLate names its own Dense in modules.json; sentence-transformers has the same module itself."""
    copy = shutil.copytree(folder, tmp_path / "pylate")
    modules = json.loads((copy / "modules.json").read_text())[:2]
    modules[1]["type"] = "pylate.models.Dense.Dense"
    (copy / "modules.json").write_text(json.dumps(modules))
    config = {"model_type": "ColBERT", "query_prefix": "[CLS] ", "document_prefix": "[SEP] "}
    (copy / "config_sentence_transformers.json").write_text(json.dumps(config))
    model = load_token_model(resolve_model(str(copy)), PLAIN)
    assert isinstance(model, MultiVectorTokens)
    states = model.states_of_texts(TEXTS, "query")
    assert torch.isfinite(states.states).all()
    assert "pylate" not in sys.modules
