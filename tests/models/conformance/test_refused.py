"""Models that would give wrong vectors are refused, with the reason and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from models.conformance.kinds import build, edit_weights
from tiny_models import edit_json
from tiny_rerankers import tiny_cross_encoder, tiny_multi_vector

from qembed.errors import ModelUnreachable, QembedError, UsageError
from qembed.models import Encoder, EncoderOptions, check_reachable, fetch, resolve_model
from qembed.models.rerank.cross_encoder import PairEncoder
from qembed.models.rerank.token_states import load_token_model

CPU = EncoderOptions(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("refused")


@pytest.fixture(scope="module")
def whole(base: Path) -> Path:
    return build(base, "bert")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "model")


def renamed(key: str) -> str:
    return key.replace("encoder.layer.1", "encoder.block.1")


class TestMissingWeights:
    @pytest.mark.parametrize(
        ("change", "lacking"),
        [
            (lambda tensors: {k: v for k, v in tensors.items() if "layer.1." not in k}, "encoder.layer.1."),
            (lambda tensors: {renamed(k): v for k, v in tensors.items()}, "instead"),
            (lambda tensors: {f"encoder.model.{k}": v for k, v in tensors.items()}, "instead"),
            (lambda tensors: {k: v for k, v in tensors.items() if "position" not in k}, "1 weight "),
        ],
    )
    def test_of_an_embedder(
        self, folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]], lacking: str
    ) -> None:
        edit_weights(change)(folder)
        with pytest.raises(QembedError, match=r"lack .* that the model needs") as caught:
            Encoder.load(str(folder), CPU)
        assert lacking in caught.value.message
        assert str(folder) in str(caught.value.where)
        with pytest.raises(QembedError, match="that the model needs"):
            load_token_model(resolve_model(str(folder)), CPU)

    def test_of_a_pooler_that_is_used(self, folder: Path) -> None:
        """Its files say that the vector is the pooler's output."""
        edit_weights(lambda tensors: {k: v for k, v in tensors.items() if "pooler" not in k})(folder)
        edit_json(
            folder / "sentence_bert_config.json",
            modality_config={"text": {"method": "forward", "method_output_name": "pooler_output"}},
            module_output_name="sentence_embedding",
        )
        modules = json.loads((folder / "modules.json").read_text())
        (folder / "modules.json").write_text(json.dumps(modules[:1]))
        with pytest.raises(QembedError, match=r"lack 2 weights .*pooler\.dense\.bias"):
            Encoder.load(str(folder), CPU)

    @pytest.mark.parametrize("part", ["classifier", "pooler", "layer.1."])
    def test_of_a_cross_encoder(self, base: Path, tmp_path: Path, part: str) -> None:
        copy = shutil.copytree(tiny_cross_encoder(base), tmp_path / "model")
        edit_weights(lambda tensors: {k: v for k, v in tensors.items() if part not in k})(copy)
        with pytest.raises(QembedError, match="that the model needs"):
            PairEncoder.load(resolve_model(str(copy)), CPU)

    def test_more_than_the_model_has_is_told(self, folder: Path) -> None:
        edit_json(folder / "config.json", num_hidden_layers=1)
        encoder = Encoder.load(str(folder), CPU)
        assert any("16 weights that the model does not use" in said for said in encoder.info.differences)

    def test_nothing_is_told_of_a_sound_model(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert Encoder.load(str(folder), CPU).info.differences == ()
        assert capfd.readouterr().err == ""


class TestModulesOtherThanTheFiles:
    def test_a_library_that_makes_up_modules(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As sentence-transformers 5.4 did for a subclass: Transformer and mean pooling in any case."""
        from sentence_transformers import SentenceTransformer

        edit_json(folder / "1_Pooling" / "config.json", pooling_mode="cls")
        monkeypatch.setattr(
            SentenceTransformer, "_load_modules", SentenceTransformer._load_default_modules, raising=True
        )
        with pytest.raises(QembedError, match=r"makes \('mean',\) pooling .* say \('cls',\) pooling"):
            Encoder.load(str(folder), CPU)

    def test_a_module_that_is_left_out(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from sentence_transformers import SentenceTransformer

        tail = build(base, "tail")
        monkeypatch.setattr(SentenceTransformer, "_load_modules", SentenceTransformer._load_default_modules)
        with pytest.raises(
            QembedError, match=r"Transformer \+ Pooling of .* Pooling \+ Dense \+ LayerNorm \+ Normalize"
        ):
            Encoder.load(str(tail), CPU)


class TestWrongKinds:
    def test_a_cross_encoder_makes_no_vectors(self, base: Path) -> None:
        with pytest.raises(UsageError, match="is a cross-encoder") as caught:
            Encoder.load(str(tiny_cross_encoder(base)), CPU)
        assert "qembed bench" in str(caught.value.remedy)

    @pytest.mark.parametrize("declared", ["SparseEncoder", "MultiVectorEncoder", "CrossEncoder"])
    def test_what_the_files_declare(self, folder: Path, declared: str) -> None:
        edit_json(folder / "config_sentence_transformers.json", model_type=declared)
        with pytest.raises(UsageError):
            Encoder.load(str(folder), CPU)

    def test_sparse_modules(self, folder: Path) -> None:
        modules = json.loads((folder / "modules.json").read_text())
        modules[1]["type"] = "sentence_transformers.sparse_encoder.models.SpladePooling"
        (folder / "modules.json").write_text(json.dumps(modules))
        with pytest.raises(UsageError, match="is a sparse encoder"):
            Encoder.load(str(folder), CPU)

    def test_an_embedder_reranks_by_its_tokens_only(self, base: Path, folder: Path) -> None:
        edit_json(folder / "config.json", architectures=["BertForSequenceClassification"])
        for one in (folder, build(base, "qwen2-left")):
            with pytest.raises(UsageError, match="is no cross-encoder") as caught:
                PairEncoder.load(resolve_model(str(one)), CPU)
            assert "maxsim:" in str(caught.value.remedy)

    def test_a_late_interaction_model_is_no_embedder(self, base: Path) -> None:
        pytest.importorskip("sentence_transformers.multi_vector_encoder")
        with pytest.raises(UsageError, match="late-interaction") as caught:
            Encoder.load(str(tiny_multi_vector(base)), CPU)
        assert "maxsim:" in str(caught.value.remedy)


class TestBareTransformers:
    @pytest.fixture
    def bare(self, folder: Path) -> Path:
        shutil.rmtree(folder / "1_Pooling")
        for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
            (folder / name).unlink()
        return folder

    def test_pooling_is_not_guessed(self, bare: Path) -> None:
        with pytest.raises(UsageError, match="nothing says how the states of its tokens") as caught:
            Encoder.load(str(bare), CPU)
        assert "--pooling" in str(caught.value.remedy)

    @pytest.mark.parametrize(
        ("pooling", "mode"), [("cls", "cls"), ("last-token", "lasttoken"), ("weighted-mean", "weightedmean")]
    )
    def test_the_users_choice(self, bare: Path, whole: Path, pooling: Any, mode: str) -> None:
        from sentence_transformers import SentenceTransformer

        options = EncoderOptions(device="cpu", precision="fp32", pooling=pooling)
        encoder = Encoder.load(str(bare), options)
        model = SentenceTransformer(str(whole), device="cpu")
        model[1].pooling_mode = mode
        texts = ["vector search", "a chunk of text"]
        expected = model.encode(texts, normalize_embeddings=True)
        assert (encoder.encode(texts) * expected).sum(1).min() > 0.99999
        assert encoder.info.pooling == pooling

    def test_late_interaction_needs_none(self, bare: Path) -> None:
        assert load_token_model(resolve_model(str(bare)), CPU).states_of_texts(["a"]).matched.any()

    def test_of_a_model_whose_files_say_it(self, folder: Path) -> None:
        with pytest.raises(UsageError, match="say how it pools"):
            Encoder.load(str(folder), EncoderOptions(device="cpu", pooling="cls"))


class TestFolders:
    """The message is about what is in the folder, and never about a hub."""

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            (["pytorch_model.bin"], "pickle"),
            (["onnx/model.onnx"], "for ONNX only"),
            (["openvino/openvino_model.xml", "openvino/openvino_model.bin"], "for OpenVINO only"),
            (["model.gguf"], r"for llama\.cpp only"),
            ([], "missing or incomplete"),
        ],
    )
    def test_no_safetensors(self, folder: Path, files: list[str], words: str) -> None:
        (folder / "model.safetensors").unlink()
        for file in files:
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_bytes(b"weights")
        source = resolve_model(str(folder))
        for step in (check_reachable, fetch, lambda _: Encoder.load(str(folder), CPU)):
            with pytest.raises(UsageError, match=words) as caught:
                step(source)
            assert "hub" not in str(caught.value).replace("hub's cache", "")

    def test_an_adapter_names_its_base(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/base"}')
        monkeypatch.setattr("qembed.models.resolve.find_spec", lambda _: None)
        with pytest.raises(UsageError, match="an adapter for 'owner/base'") as caught:
            resolve_model(str(folder))
        assert "pip install peft" in str(caught.value.remedy)
        monkeypatch.setattr("qembed.models.resolve.find_spec", lambda _: "there")
        with pytest.raises(ModelUnreachable, match="adapter for 'owner/base', which is not on this machine"):
            resolve_model(str(folder))
        (folder / "adapter_config.json").write_text("{}")
        with pytest.raises(UsageError, match="does not name its base"):
            resolve_model(str(folder))


class TestLengthsAndPadding:
    def test_positions_end_before_the_published_length(self, base: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(build(base, "roberta"), tmp_path / "model")
        edit_json(copy / "tokenizer_config.json", model_max_length=512)
        edit_json(copy / "sentence_bert_config.json", max_seq_length=512)
        encoder = Encoder.load(str(copy), CPU)
        assert encoder.info.max_tokens == 64  # 66 rows, of which two belong to padding
        assert any("64 positions" in said for said in encoder.info.differences)
        assert encoder.count(["text " * 100]).item() == 102
        assert encoder.encode(["text " * 100]).shape == (1, 32)

    def test_no_length(self, base: Path) -> None:
        t5 = build(base, "t5-without-length")
        with pytest.raises(UsageError, match="do not say how many tokens") as caught:
            Encoder.load(str(t5), CPU)
        assert "--max-length" in str(caught.value.remedy)

    def test_a_model_that_reads_whole_texts(self, base: Path) -> None:
        with pytest.raises(UsageError, match="reads whole texts"):
            Encoder.load(str(build(base, "static")), EncoderOptions(device="cpu", max_length=8))

    def test_no_padding_token(self, folder: Path) -> None:
        file = folder / "tokenizer_config.json"
        config = json.loads(file.read_text())
        config.pop("pad_token")
        file.write_text(json.dumps({**config, "eos_token": "[SEP]"}))
        vectors = Encoder.load(str(folder), CPU).encode(["a", "vector search and text"])
        assert vectors.shape == (2, 32)
        config.pop("eos_token", None)
        file.write_text(json.dumps(config))
        with pytest.raises(UsageError, match="neither a padding nor an end-of-sequence token"):
            Encoder.load(str(folder), CPU)
