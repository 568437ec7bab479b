"""The token path against ``SentenceTransformer.preprocess``: the same features, or none at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import edit_json

from qembed.models import Encoder, EncoderOptions, load_tokenizer
from qembed.models.features import FeatureLayout, layout_of

PLAIN = EncoderOptions(device="cpu", precision="fp32", kernels="plain")
TEXTS = [
    "vector search",
    "x",
    "a point is a vector and a payload " * 9,
    "日本語 ﬁ ½",
    "",
    "[SEP] [PAD] filter",
]
KINDS = ["plain", "prompted", "prompt-excluded", "last-token", "dense"]


def vectors_by_both_ways(folder: Path, options: EncoderOptions = PLAIN) -> tuple[np.ndarray, np.ndarray]:
    encoder = Encoder.load(str(folder), options)
    assert encoder.reads_tokens
    tokens = load_tokenizer(str(folder)).encode(TEXTS, encoder.info.max_tokens, encoder.info.document_prompt)
    ids = [tokens[text] for text in range(len(tokens))]
    return encoder.submit(ids).result(), encoder.submit_texts(TEXTS).result()


@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_texts_give_the_same_vectors(tiny_models: Callable[[str], Path], kind: str) -> None:
    by_ids, by_texts = vectors_by_both_ways(tiny_models(kind))
    assert np.array_equal(by_ids, by_texts)
    assert by_ids.dtype == np.float32
    assert by_ids.flags.c_contiguous


def test_the_bundled_model(minilm: Path) -> None:
    by_ids, by_texts = vectors_by_both_ways(minilm)
    assert np.array_equal(by_ids, by_texts)


def test_with_options_of_the_user(tiny_models: Callable[[str], Path]) -> None:
    options = EncoderOptions(device="cpu", max_length=9, document_prompt="chunk: ", truncate_dim=7)
    by_ids, by_texts = vectors_by_both_ways(tiny_models("prompt-excluded"), options)
    assert np.array_equal(by_ids, by_texts)
    assert by_ids.shape == (len(TEXTS), 7)


def test_left_padding(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "model")
    edit_json(folder / "tokenizer_config.json", padding_side="left")
    by_ids, by_texts = vectors_by_both_ways(folder)
    assert np.array_equal(by_ids, by_texts)
    encoder = Encoder.load(str(folder), PLAIN)
    assert encoder._layout is not None
    assert encoder._layout.left


@pytest.mark.parametrize(
    ("left", "ids", "mask"),
    [
        (False, [[7, 8, 9], [5, 0, 0]], [[1, 1, 1], [1, 0, 0]]),
        (True, [[7, 8, 9], [0, 0, 5]], [[1, 1, 1], [0, 0, 1]]),
    ],
)
def test_layout(left: bool, ids: list[list[int]], mask: list[list[int]]) -> None:
    layout = FeatureLayout(("input_ids", "token_type_ids", "attention_mask"), 0, left, {"modality": "text"})
    found = layout.features([np.array([7, 8, 9], np.int32), np.array([5], np.int32)])
    assert list(found) == ["input_ids", "token_type_ids", "attention_mask", "modality"]
    assert found["input_ids"].tolist() == ids
    assert found["attention_mask"].tolist() == mask
    assert found["token_type_ids"].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert found["modality"] == "text"
    assert found["input_ids"].dtype == found["attention_mask"].dtype == torch.int64


class TestRefused:
    """Where the comparison finds a difference, texts go to the model's own tokenizer."""

    @pytest.fixture
    def model(self, tiny: Path) -> Any:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(tiny), device="cpu")

    def layout(self, model: Any, tiny: Path) -> FeatureLayout | None:
        return layout_of(model, load_tokenizer(str(tiny)), 24, "")

    def test_no_difference(self, model: Any, tiny: Path) -> None:
        assert self.layout(model, tiny) is not None

    @pytest.mark.parametrize(
        "change",
        [
            lambda features: features.update(extra=torch.ones(1)),
            lambda features: features.pop("attention_mask"),
            lambda features: features["input_ids"][0, :1].add_(1),
            lambda features: features["attention_mask"][1, :1].zero_(),
            lambda features: features.update(
                input_ids=torch.nn.functional.pad(features["input_ids"], (0, 1))
            ),
            lambda features: features.update(input_ids=features["input_ids"].int()),
        ],
    )
    def test_any_difference(
        self, model: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]
    ) -> None:
        original, calls = model.preprocess, []

        def preprocess(texts: list[str], **options: Any) -> Any:
            features = original(texts, **options)
            calls.append(texts)
            if len(calls) > 1:  # the first says which features there are
                change(features)
            return features

        monkeypatch.setattr(model, "preprocess", preprocess)
        assert self.layout(model, tiny) is None

    def test_a_prompt_that_is_not_the_models(self, model: Any, tiny: Path) -> None:
        model.preprocess = lambda texts, prompt=None: type(model).preprocess(model, texts, prompt="other: ")
        assert self.layout(model, tiny) is None

    def test_truncation_in_front(self, tiny: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(tiny, tmp_path / "model")
        edit_json(folder / "tokenizer_config.json", truncation_side="left")
        encoder = Encoder.load(str(folder), PLAIN)
        assert not encoder.reads_tokens
        assert encoder.encode(TEXTS).shape == (len(TEXTS), 32)
        assert encoder.count(TEXTS).tolist() == load_tokenizer(str(tiny)).count(TEXTS).tolist()

    def test_a_model_without_attention_masks(self, tmp_path: Path, tiny: Path) -> None:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
        from tokenizers import Tokenizer

        static = StaticEmbedding(Tokenizer.from_file(str(tiny / "tokenizer.json")), embedding_dim=8)
        model = SentenceTransformer(modules=[static], device="cpu")
        assert layout_of(model, load_tokenizer(str(tiny)), 24, "") is None


class TestOnAGpu:
    def test_one_pass_waits_for_its_own_event_only(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The order of calls, with a CPU tensor that says it lies on a GPU."""
        order: list[str] = []

        class Event:
            def record(self, stream: str) -> None:
                order.append(f"record on {stream}")

            def synchronize(self) -> None:
                order.append("synchronize")

        class OnGpu(torch.Tensor):
            is_cuda = True

        class Host:
            def copy_(self, vectors: torch.Tensor, *, non_blocking: bool) -> None:
                assert non_blocking
                order.append("copy")
                self.vectors = vectors

            def numpy(self) -> Any:
                return self.vectors.as_subclass(torch.Tensor).numpy()

        def empty(shape: Any, *, dtype: torch.dtype, pin_memory: bool) -> Host:
            assert (tuple(shape), dtype, pin_memory) == ((2, 32), torch.float32, True)
            return Host()

        encoder = Encoder.load(str(tiny), PLAIN)
        tokens = load_tokenizer(str(tiny)).encode(["vector", "search index"])
        ids = [tokens[0], tokens[1]]
        expected = encoder.submit(ids).result()
        layer = torch.nn.functional.normalize
        monkeypatch.setattr("torch.cuda.Event", Event)
        monkeypatch.setattr("torch.cuda.current_stream", lambda device: "the stream")
        monkeypatch.setattr("torch.cuda.synchronize", lambda *_: pytest.fail("waited for the whole device"))
        # The last step on the device: what it returns lies there, and what follows is the way back.
        monkeypatch.setattr(
            "torch.nn.functional.normalize",
            lambda *args, **how: _last(layer(*args, **how), OnGpu, empty, monkeypatch),
        )
        pending = encoder.submit(ids)
        assert order == ["copy", "record on the stream"]
        assert np.array_equal(pending.result(), expected)
        assert order == ["copy", "record on the stream", "synchronize"]


def _last(vectors: Any, kind: Any, empty: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("torch.empty", empty)
    return vectors.as_subclass(kind)
