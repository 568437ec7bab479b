"""The encoder against sentence-transformers itself: same vectors, same counts; what differs is said."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import edit_json

from qembed.errors import QembedError, UsageError
from qembed.models import Encoder, EncoderOptions, ModelSource, load_tokenizer, resolve_model

FP32 = EncoderOptions(device="cpu", precision="fp32")

TRICKY = [
    "how do I filter by payload?",
    "a",
    ".",
    "​",  # one zero-width space
    "  leading and trailing white space \n\t ",
    "Größe, naïve café, Ångström: ﬁ ligature, ½, Ⅷ",
    "日本語のテキストとemoji 👩‍👩‍👧‍👦🏳️‍🌈 mixed",
    "عربى עברית हिन्दी ไทย",
    "e" + "\u0301" * 50,
    "\x00\x01 control \ufffd \ufeff bom",
    "[CLS] [SEP] [PAD] [MASK] [UNK]",
    "def f(x):\n    return {k: v for k, v in x.items()}\n" * 40,
    "x" * 5000,
    "word " * 3000,
]


@pytest.fixture(scope="session")
def bundled(minilm: Path) -> Encoder:
    return Encoder.load("minilm", EncoderOptions(device="cpu", precision="fp32"))


@pytest.fixture(scope="session")
def reference(minilm: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(minilm), device="cpu")


@pytest.fixture
def card_of_tiny(tiny: Path) -> Callable[..., ModelSource]:
    """The small model with the catalog's card of minilm, changed as asked."""
    card = resolve_model("sentence-transformers/all-MiniLM-L6-v2").card
    assert card is not None

    def make(**changes: Any) -> ModelSource:
        return ModelSource("x", "owner/x", "hub", tiny, None, dataclasses.replace(card, **changes))

    return make


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


class TestBundledModel:
    def test_vectors_are_those_of_sentence_transformers(self, bundled: Encoder, reference: Any) -> None:
        expected = reference.encode(TRICKY, normalize_embeddings=True)
        together = bundled.encode(TRICKY)
        alone = np.concatenate([bundled.encode([text]) for text in TRICKY])
        assert together.dtype == np.float32
        assert together.shape == (len(TRICKY), 384)
        assert cosines(together, expected).min() >= 0.99999
        assert cosines(alone, expected).min() >= 0.99999
        assert np.abs(np.linalg.norm(together, axis=1) - 1).max() < 1e-5

    def test_token_counts_are_those_of_the_models_own_tokenizer(self, bundled: Encoder, minilm: Path) -> None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(minilm), local_files_only=True)
        expected = [len(tokenizer(text, truncation=False, verbose=False)["input_ids"]) for text in TRICKY]
        assert max(expected) > 2 * bundled.info.max_tokens  # truncation would show
        assert bundled.count(TRICKY).tolist() == expected
        assert load_tokenizer("minilm").count(TRICKY).tolist() == expected
        assert bundled.count(TRICKY).dtype == np.int64

    def test_counting_does_not_change_what_the_model_reads(self, bundled: Encoder) -> None:
        before = bundled.encode(TRICKY[-1:])
        bundled.count(TRICKY)
        assert np.array_equal(before, bundled.encode(TRICKY[-1:]))

    def test_info_says_what_was_loaded(self, bundled: Encoder) -> None:
        info = bundled.info
        assert (info.name, info.id) == ("minilm", "sentence-transformers/all-MiniLM-L6-v2")
        assert (info.dimension, info.full_dimension, info.max_tokens) == (384, 384, 256)
        assert (info.dtype, info.device, info.normalized) == ("fp32", "cpu", True)
        assert (info.query_prompt, info.document_prompt) == ("", "")
        assert info.device_name
        assert info.differences == ()
        assert load_tokenizer("minilm").max_tokens == 256

    def test_weights_hash_is_that_of_the_file(self, bundled: Encoder, minilm: Path) -> None:
        from hashlib import sha256

        digest = sha256((minilm / "model.safetensors").read_bytes()).hexdigest()
        assert bundled.info.weights_sha256 == digest

    def test_max_length_reaches_to_512_and_no_further(self, minilm: Path) -> None:
        encoder = Encoder.load("minilm", EncoderOptions(device="cpu", max_length=512))
        assert encoder.info.max_tokens == 512
        assert encoder.info.differences == ()  # the user asked for it
        start, end = "word " * 280, "quite another subject " * 40
        same_start = encoder.encode([start, start + end])
        assert cosines(same_start[:1], same_start[1:])[0] < 0.999  # what stands beyond 256 tokens is read
        with pytest.raises(UsageError, match="513") as caught:
            Encoder.load("minilm", EncoderOptions(device="cpu", max_length=513))
        assert "4 to 512" in str(caught.value)

    def test_text_beyond_the_limit_is_not_read(self, bundled: Encoder) -> None:
        start = "word " * 280
        vectors = bundled.encode([start, start + "quite another subject"])
        assert cosines(vectors[:1], vectors[1:])[0] > 0.999999

    def test_truncate_dim_cuts_and_normalises_again(self, bundled: Encoder, minilm: Path) -> None:
        encoder = Encoder.load("minilm", dataclasses.replace(FP32, truncate_dim=64))
        assert (encoder.info.dimension, encoder.info.full_dimension) == (64, 384)
        cut = bundled.encode(TRICKY[:9])[:, :64]
        assert np.linalg.norm(cut, axis=1).max() < 0.9
        expected = cut / np.linalg.norm(cut, axis=1, keepdims=True)
        assert np.allclose(encoder.encode(TRICKY[:9]), expected, atol=1e-6)
        assert any("truncate_dim 64" in difference for difference in encoder.info.differences)

    @pytest.mark.parametrize("precision", ["fp16", "bf16"])
    def test_half_precision_still_gives_float32(self, bundled: Encoder, minilm: Path, precision: Any) -> None:
        encoder = Encoder.load("minilm", EncoderOptions(device="cpu", precision=precision))
        texts = TRICKY[:6]
        vectors = encoder.encode(texts)
        assert encoder.info.dtype == precision
        assert vectors.dtype == np.float32
        assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-6  # normalised in float32
        found = cosines(vectors, bundled.encode(texts)).min()
        assert 0.999 < found < 0.9999999  # close, but the weights are really rounded


class TestSmallModels:
    @pytest.mark.parametrize("kind", ["plain", "wide", "prompted", "prompt-excluded", "last-token", "dense"])
    def test_vectors_and_counts_by_role(self, tiny_models: Callable[[str], Path], kind: str) -> None:
        from sentence_transformers import SentenceTransformer

        folder = tiny_models(kind)
        encoder = Encoder.load(str(folder), FP32)
        model = SentenceTransformer(str(folder), device="cpu")
        texts = [
            "vector search",
            "a point is a vector and a payload " * 6,
            "x",
            "filter: the index of a chunk",
        ]
        for role, prompt in (
            ("query", encoder.info.query_prompt),
            ("document", encoder.info.document_prompt),
        ):
            expected = model.encode(texts, prompt=prompt, normalize_embeddings=True)
            assert cosines(encoder.encode(texts, role), expected).min() >= 0.99999
            ids = [len(model.tokenizer(prompt + text, truncation=False)["input_ids"]) for text in texts]
            assert encoder.count(texts, role).tolist() == ids
        assert np.array_equal(load_tokenizer(str(folder)).count(texts), encoder.count(texts))
        assert load_tokenizer(str(folder)).max_tokens == encoder.info.max_tokens == 24

    @pytest.mark.parametrize("kind", ["prompted", "prompt-excluded"])
    def test_prompts_of_the_models_files_change_the_vectors(
        self, tiny_models: Callable[[str], Path], kind: str
    ) -> None:
        encoder = Encoder.load(str(tiny_models(kind)), EncoderOptions(device="cpu"))
        assert (encoder.info.query_prompt, encoder.info.document_prompt) == ("query: ", "passage: ")
        query, document = encoder.encode(["vector"], "query"), encoder.encode(["vector"], "document")
        assert cosines(query, document)[0] < 0.999
        assert encoder.count(["vector"], "query")[0] == 5  # [CLS] query : vector [SEP]

    def test_prompts_given_by_the_user_win(self, tiny_models: Callable[[str], Path]) -> None:
        options = EncoderOptions(device="cpu", query_prompt="", document_prompt="text: ")
        encoder = Encoder.load(str(tiny_models("prompted")), options)
        plain = Encoder.load(
            str(tiny_models("prompted")), EncoderOptions(device="cpu", document_prompt="", query_prompt="")
        )
        assert (encoder.info.query_prompt, encoder.info.document_prompt) == ("", "text: ")
        assert np.allclose(encoder.encode(["vector"], "query"), plain.encode(["vector"], "query"))
        expected = plain.encode(["text: vector"])
        assert np.allclose(encoder.encode(["vector"], "document"), expected, atol=1e-6)

    def test_without_normalisation_the_lengths_are_the_models(self, tiny: Path) -> None:
        raw = Encoder.load(str(tiny), EncoderOptions(device="cpu", normalize=False))
        unit = Encoder.load(str(tiny), EncoderOptions(device="cpu"))
        assert not raw.info.normalized
        lengths = np.linalg.norm(raw.encode(["vector", "x"]), axis=1)
        assert np.abs(lengths - 1).min() > 0.01
        assert np.allclose(raw.encode(["x"])[0] / lengths[1], unit.encode(["x"])[0], atol=1e-6)

    def test_a_model_that_normalises_itself_says_so(self, tiny_models: Callable[[str], Path]) -> None:
        encoder = Encoder.load(str(tiny_models("dense")), EncoderOptions(device="cpu", normalize=False))
        assert encoder.info.normalized

    @pytest.mark.parametrize("precision", ["fp16", "bf16"])
    def test_modules_behind_the_transformer_take_the_precision(
        self, tiny_models: Callable[[str], Path], precision: Any
    ) -> None:
        encoder = Encoder.load(str(tiny_models("dense")), EncoderOptions(device="cpu", precision=precision))
        assert encoder.encode(["vector search"]).dtype == np.float32

    def test_no_texts(self, tiny: Path) -> None:
        encoder = Encoder.load(str(tiny), EncoderOptions(device="cpu"))
        assert encoder.encode([]).shape == (0, 32)
        assert encoder.encode([]).dtype == np.float32
        assert encoder.count([]).tolist() == []

    def test_truncate_dim_beyond_the_model(self, tiny: Path) -> None:
        with pytest.raises(UsageError, match="the model has 32 dimensions"):
            Encoder.load(str(tiny), EncoderOptions(device="cpu", truncate_dim=33))

    @pytest.mark.parametrize("max_length", [3, 65])
    def test_max_length_that_does_not_fit(self, tiny: Path, max_length: int) -> None:
        with pytest.raises(UsageError, match=f"{max_length} does not fit"):
            Encoder.load(str(tiny), EncoderOptions(device="cpu", max_length=max_length))

    def test_shorter_max_length_cuts(self, tiny: Path) -> None:
        encoder = Encoder.load(str(tiny), EncoderOptions(device="cpu", max_length=4))
        a, b = encoder.encode(["vector search point"]), encoder.encode(["vector search index filter"])
        assert encoder.info.max_tokens == 4
        assert np.allclose(a, b)
        assert encoder.count(["vector search point"])[0] == 5  # counted before it is cut


class TestDifferences:
    def test_what_the_loaded_model_says_wins_and_is_reported(
        self, card_of_tiny: Callable[..., ModelSource]
    ) -> None:
        source = card_of_tiny(dimensions=768, max_tokens=512, query_prompt="q: ", parameters=5)
        info = Encoder.load(source, EncoderOptions(device="cpu")).info
        assert (info.dimension, info.max_tokens) == (32, 24)
        text = "\n".join(info.differences)
        assert "dimensions: the catalog says 768, the model 32" in text
        assert "max tokens: the catalog says 512, the model 24" in text
        assert "parameters: the catalog says 5, the model " in text

    def test_a_prompt_that_only_the_catalog_knows_is_used(
        self, card_of_tiny: Callable[..., ModelSource], tmp_path: Path
    ) -> None:
        source = card_of_tiny(query_prompt="q: ")
        assert source.path is not None
        folder = shutil.copytree(source.path, tmp_path / "model")
        (folder / "config_sentence_transformers.json").unlink()
        info = Encoder.load(dataclasses.replace(source, path=folder), EncoderOptions(device="cpu")).info
        assert info.query_prompt == "q: "
        assert not [difference for difference in info.differences if "prompt" in difference]

    def test_a_prompt_of_the_files_wins_over_the_catalog(
        self, tiny_models: Callable[[str], Path], card_of_tiny: Callable[..., ModelSource]
    ) -> None:
        source = dataclasses.replace(card_of_tiny(query_prompt="q: "), path=tiny_models("prompted"))
        info = Encoder.load(source, EncoderOptions(device="cpu")).info
        assert info.query_prompt == "query: "
        assert "query prompt: the catalog says 'q: ', the model 'query: '" in info.differences

    def test_matryoshka_dimension_of_the_catalog_is_no_difference(
        self, card_of_tiny: Callable[..., ModelSource]
    ) -> None:
        source = card_of_tiny(matryoshka=(32, 8), dimensions=32)
        for cut, wanted in ((8, False), (9, True)):
            info = Encoder.load(source, EncoderOptions(device="cpu", truncate_dim=cut)).info
            assert any("truncate_dim" in difference for difference in info.differences) is wanted


class TestCannotLoad:
    def test_pickled_weights_are_refused_before_they_are_read(self, tiny: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(tiny, tmp_path / "model")
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n")
        with pytest.raises(UsageError, match="pickle") as caught:
            Encoder.load(str(folder))
        assert "pytorch_model.bin" in str(caught.value)

    def test_cut_off_weights_are_no_defect_of_qembed(self, tiny: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(tiny, tmp_path / "model")
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        with pytest.raises(QembedError, match="cannot be loaded") as caught:
            Encoder.load(str(folder), EncoderOptions(device="cpu"))
        assert str(folder) in str(caught.value)
        assert caught.value.remedy

    def test_without_a_vocabulary_nothing_is_made_up(self, tiny: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(tiny, tmp_path / "model")
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()
        with pytest.raises(UsageError, match="no tokenizer"):
            Encoder.load(str(folder), EncoderOptions(device="cpu"))

    def test_unknown_architecture(self, tiny: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(tiny, tmp_path / "model")
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "model_type": "no-such-model"}))
        with pytest.raises(QembedError, match="cannot be loaded"):
            Encoder.load(str(folder), EncoderOptions(device="cpu"))


class TestSimilarity:
    def load(self, tiny: Path, tmp_path: Path, name: str | None, **options: Any) -> Encoder:
        copy = shutil.copytree(tiny, tmp_path / "model")
        edit_json(copy / "config_sentence_transformers.json", similarity_fn_name=name)
        return Encoder.load(str(copy), EncoderOptions(device="cpu", precision="fp32", **options))

    @pytest.mark.parametrize(
        ("name", "normalize", "expected"),
        [
            (None, None, ("cosine", True)),
            ("cosine", False, ("cosine", False)),
            ("dot", None, ("dot", False)),
            ("dot", True, ("cosine", True)),
            ("euclidean", True, ("cosine", True)),
        ],
    )
    def test_as_the_files_and_the_user_say(
        self, tiny: Path, tmp_path: Path, name: str | None, normalize: bool | None, expected: tuple[str, bool]
    ) -> None:
        info = self.load(tiny, tmp_path, name, normalize=normalize).info
        assert (info.similarity, info.normalized) == expected

    @pytest.mark.parametrize(
        ("name", "normalize"), [("euclidean", None), ("manhattan", None), ("manhattan", True)]
    )
    def test_distances_that_no_index_measures(
        self, tiny: Path, tmp_path: Path, name: str, normalize: bool | None
    ) -> None:
        with pytest.raises(UsageError, match=f"by their {name} distance") as caught:
            self.load(tiny, tmp_path, name, normalize=normalize)
        assert ("--normalize" in str(caught.value.remedy)) is (name == "euclidean")
