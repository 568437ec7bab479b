"""The wrapper around CrossEncoder against the library's own ``predict``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import MAX_TOKENS, edit_json
from tiny_rerankers import tiny_cross_encoder

from qembed.errors import UsageError
from qembed.models import EncoderOptions, resolve_model
from qembed.models.cpu import accelerate, kernels
from qembed.models.device import cpu_has_bf16
from qembed.models.rerank.cross_encoder import PairEncoder
from qembed.models.rerank.pairs import join_pair

PLAIN = EncoderOptions(device="cpu", precision="fp32", kernels="plain")
PAIRS = [
    ("vector search", "a point is a vector and a payload"),
    ("vector search", "x"),
    ("how do I filter?", "filter: the index of a chunk " * 9),
    ("search " * 30, "vector " * 30),
    ("search " * 30, "x"),
    ("", "[SEP] text"),
]
JOINED = [join_pair(*pair) for pair in PAIRS]

Make = Callable[[str], Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    base = tmp_path_factory.mktemp("cross-encoders")
    return lambda kind: tiny_cross_encoder(base, kind)


def load(folder: Path, options: EncoderOptions = PLAIN) -> PairEncoder:
    return PairEncoder.load(resolve_model(str(folder), kind="reranker"), options)


def by_the_library(folder: Path) -> np.ndarray:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity())
    return model.predict(PAIRS, show_progress_bar=False)


def by_ids(encoder: PairEncoder) -> np.ndarray:
    tokens = encoder.tokens.encode(JOINED, encoder.info.max_tokens)
    return encoder.submit([tokens[number] for number in range(len(tokens))]).result()[:, 0]


@pytest.mark.parametrize("kind", ["plain", "no-types", "last-token"])
def test_raw_logits_by_ids_and_by_texts(make: Make, kind: str) -> None:
    encoder = load(make(kind))
    assert encoder.reads_tokens
    assert (encoder.info.dimension, encoder.info.max_tokens) == (1, MAX_TOKENS)
    expected = by_the_library(make(kind))
    assert np.ptp(expected) > 0.5
    assert np.allclose(by_ids(encoder), expected, atol=1e-5)
    assert np.array_equal(encoder.submit_texts(JOINED).result()[:, 0], by_ids(encoder))


def test_the_sigmoid_of_its_files_is_left_out(make: Make) -> None:
    assert "Sigmoid" in (make("plain") / "config_sentence_transformers.json").read_text(encoding="utf-8")
    assert by_ids(load(make("plain"))).min() < 0


def test_a_prompt_goes_the_models_own_way(make: Make) -> None:
    from sentence_transformers import CrossEncoder

    encoder = load(make("prompted"))
    assert not encoder.reads_tokens
    model = CrossEncoder(str(make("prompted")), device="cpu", activation_fn=torch.nn.Identity())
    with_prompt = model.predict(PAIRS, show_progress_bar=False)
    assert np.abs(with_prompt - model.predict(PAIRS, show_progress_bar=False, prompt="")).max() > 0.1
    assert np.allclose(encoder.submit_texts(JOINED).result()[:, 0], with_prompt, atol=1e-5)


def test_padding_changes_nothing(make: Make) -> None:
    encoder = load(make("plain"))
    alone = [float(encoder.submit_texts([pair]).result()[0, 0]) for pair in JOINED]
    assert np.allclose(by_ids(encoder), alone, atol=1e-5)


@pytest.mark.skipif(bool(accelerate.missing("fp32")), reason=accelerate.missing("fp32"))
class TestFasterKernels:
    def test_same_logits(self, make: Make) -> None:
        fast = load(make("plain"), EncoderOptions(device="cpu", precision="fp32"))
        assert fast.info.kernels in ("compiled", "packed")
        assert np.allclose(by_ids(fast), by_the_library(make("plain")), atol=1e-4)

    @pytest.mark.skipif(bool(accelerate.missing("int16")), reason=accelerate.missing("int16"))
    def test_in_16_bits(self, make: Make) -> None:
        fast = load(make("plain"), EncoderOptions(device="cpu", precision="int16"))
        assert (fast.info.dtype, fast.info.kernels) == ("int16", "compiled")
        assert np.allclose(by_ids(fast), by_the_library(make("plain")), atol=0.02)

    def test_wrong_ones_are_refused(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        for kind in (accelerate.PackedLinear, accelerate.CompiledLinear):
            right = kind.forward
            monkeypatch.setattr(kind, "forward", lambda self, states, right=right: right(self, states).abs())
        encode = kernels.Encoder.__call__
        monkeypatch.setattr(kernels.Encoder, "__call__", lambda *arguments: encode(*arguments).abs())
        encoder = load(make("plain"), EncoderOptions(device="cpu", precision="fp32"))
        assert encoder.info.kernels.startswith("plain: ")
        assert "gave cosine" in encoder.info.kernels
        assert np.allclose(by_ids(encoder), by_the_library(make("plain")), atol=1e-5)


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU only emulates bf16")
def test_the_head_stays_in_fp32(make: Make) -> None:
    scores = by_ids(load(make("plain"), EncoderOptions(device="cpu", precision="bf16")))
    assert np.allclose(scores, by_the_library(make("plain")), atol=0.3)
    rounded = torch.from_numpy(scores).bfloat16().float().numpy()
    assert not np.array_equal(rounded, scores)


class TestRefused:
    def test_two_labels(self, make: Make) -> None:
        with pytest.raises(UsageError, match="gives 2 numbers per pair") as caught:
            load(make("two-labels"))
        assert "one label" in str(caught.value.remedy)

    @pytest.mark.parametrize("kind", ["plain", "last-token"])
    def test_an_embedder_has_no_head(self, tiny_models: Callable[[str], Path], kind: str) -> None:
        with pytest.raises(UsageError, match="no cross-encoder") as caught:
            load(tiny_models(kind))
        assert "--reranker maxsim:" in str(caught.value.remedy)

    def test_pickled_weights(self, make: Make, tmp_path: Path) -> None:
        folder = shutil.copytree(make("plain"), tmp_path / "model")
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with pytest.raises(UsageError, match="pickle"):
            load(folder)

    def test_code_of_its_own(self, make: Make, tmp_path: Path) -> None:
        folder = shutil.copytree(make("plain"), tmp_path / "model")
        edit_json(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.Config"})
        with pytest.raises(UsageError, match="runs Python code"):
            load(folder)


def test_a_shorter_limit(make: Make) -> None:
    encoder = load(make("plain"), EncoderOptions(device="cpu", precision="fp32", max_length=12))
    assert encoder.info.max_tokens == 12
    assert np.array_equal(by_ids(encoder), encoder.submit_texts(JOINED).result()[:, 0])
    assert max(len(row) for row in _rows(encoder)) == 12


def _rows(encoder: PairEncoder) -> list[Any]:
    tokens = encoder.tokens.encode(JOINED, encoder.info.max_tokens)
    return [tokens[number] for number in range(len(tokens))]
