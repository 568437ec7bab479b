"""Wheels that carry a small model as real ones do: BERT as int8 ONNX, or as safetensors with old names.

The ONNX bytes are written here by the rules of protobuf's wire format, not by what reads them.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np
from tiny_models import DIMENSION, MAX_TOKENS, POSITIONS, _tokenizer, _vocabulary

from qembed.models.catalog import Architecture, ModelCard, find_model, weight_bytes_by_rule
from qembed.models.packaged.pins import Known, Packaged

ALIASES = {"embedder": "bge-small", "reranker": "msmarco", "sparse": "splade-tiny"}
PACKAGE, VERSION, FOLDER = "tiny-models", "1.0", "tiny_models/data/model"
PAIRS = (("filter points", "search a point by text"), ("vector index", "model of a chunk"))


class TinyWheel(NamedTuple):
    """A wheel and what is in it."""

    path: Path
    card: ModelCard
    network: Any


def tiny_wheel(folder: Path, kind: str, *, per_column: bool = False) -> TinyWheel:
    """A wheel with a model of a kind, and the card that pins it.

    The card is that of the real model of that kind, with the small one's sizes, files and scores.

    Args:
        folder: Where the wheel lies then.
        kind: ``embedder`` or ``reranker`` (ONNX), ``sparse`` (safetensors).
        per_column: One scale for each column of a matrix, not one for all of it.
    """
    import torch

    torch.manual_seed(11)
    network = _network(kind).eval()
    files = folder / f"files-{kind}"
    files.mkdir(parents=True)
    _tokenizer(files).save_pretrained(files)
    if kind == "sparse":
        _write_safetensors(network, files / "model.safetensors")
    else:
        (files / "model.onnx").write_bytes(_onnx(network, per_column))
    names = [
        "model.safetensors" if kind == "sparse" else "model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    card = _card(
        kind, {name: sha256((files / name).read_bytes()).hexdigest() for name in names}, network, files
    )
    return TinyWheel(_write_wheel(folder, files, names), card, network)


def with_packaged(card: ModelCard, **changes: Any) -> ModelCard:
    """The card with other pins."""
    assert card.packaged is not None
    return dataclasses.replace(card, packaged=dataclasses.replace(card.packaged, **changes))


def _network(kind: str) -> Any:
    from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel

    config = BertConfig(
        vocab_size=len(_vocabulary()),
        hidden_size=DIMENSION,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        initializer_range=0.3,
        num_labels=1,
    )
    if kind == "embedder":
        return BertModel(config, add_pooling_layer=False)
    return BertForMaskedLM(config) if kind == "sparse" else BertForSequenceClassification(config)


def _card(kind: str, files: dict[str, str], network: Any, folder: Path) -> ModelCard:
    real = find_model(ALIASES[kind])
    assert real is not None
    shape = Architecture("bert", 2, DIMENSION, 4, 4, DIMENSION // 4, 64, False, len(_vocabulary()), POSITIONS)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if kind == "embedder":  # the catalog counts the pooler, which the files leave out
        parameters += DIMENSION**2 + DIMENSION
    form = "safetensors" if kind == "sparse" else "onnx-int8"
    known = tuple(
        Known(*pair, score) for pair, score in zip(PAIRS, _scores(kind, network, folder, real), strict=True)
    )
    return dataclasses.replace(
        real,
        parameters=parameters,
        linear_parameters=shape.linear_parameters,
        weight_bytes=weight_bytes_by_rule(parameters, shape.linear_parameters),
        architecture=shape,
        max_tokens=MAX_TOKENS,
        dimensions=DIMENSION if kind == "embedder" else None,
        packaged=Packaged(PACKAGE, VERSION, FOLDER, form, files, known),  # type: ignore[arg-type]
    )


def _scores(kind: str, network: Any, folder: Path, card: ModelCard) -> list[float]:
    """What the network gives for the known pairs, by transformers alone."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)

    def outputs(*texts: str) -> Any:
        with torch.inference_mode():
            return network(**tokenizer(*texts, return_tensors="pt", truncation=True, max_length=MAX_TOKENS))

    def vector(text: str) -> Any:
        if kind == "sparse":
            return torch.log1p(torch.relu(outputs(text).logits)).amax(dim=1)[0]
        return torch.nn.functional.normalize(outputs(text).last_hidden_state[0, 0], dim=0)

    if kind == "reranker":
        return [float(outputs(*pair).logits[0, 0]) for pair in PAIRS]
    return [float(vector(card.query_prompt + query) @ vector(text)) for query, text in PAIRS]


def _write_safetensors(network: Any, path: Path) -> None:
    """With the names that TensorFlow gave a norm's parameters, and without what is tied."""
    from safetensors.torch import save_file

    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    state = {}
    for name, tensor in network.state_dict().items():
        if not name.startswith("cls.predictions.decoder."):
            for modern, former in old.items():
                name = name.replace(modern, former)
            state[name] = tensor.clone()
    save_file(state, path, metadata={"format": "pt"})


def _onnx(network: Any, per_column: bool) -> bytes:
    """The network's weights, quantised; the network keeps what is left of them."""
    import torch

    nodes, tensors = [], []
    modules = dict(network.named_modules())
    for name, parameter in network.named_parameters():
        module = modules[name.rpartition(".")[0]]
        values = parameter.detach().numpy()
        if isinstance(module, torch.nn.Linear) and name.endswith(".weight"):
            path = "/" + re.sub(r"\.(?!\d)", "/", name.removesuffix(".weight"))
            base = f"onnx::MatMul_{1000 + len(nodes)}"
            quantised, restored = _quantised(base, values.T, np.int8, per_column)
            nodes.append(_node("MatMulInteger", f"{path}/MatMul_quant", ["x", f"{base}_quantized", "z"]))
            restored = restored.T
        elif isinstance(module, torch.nn.Embedding):
            quantised, restored = _quantised(name, values, np.uint8, False)
            nodes.append(_node("Gather", f"/{name}/Gather", [f"{name}_quantized", "ids"]))
        else:
            quantised, restored = [_tensor(name, values)], values
        tensors += quantised
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(restored)))
    graph = b"".join(_field(1, node) for node in nodes) + b"".join(_field(5, each) for each in tensors)
    return _varint(1 << 3) + _varint(8) + _field(7, graph)  # ir_version, graph


def _quantised(name: str, values: Any, dtype: type, per_column: bool) -> tuple[list[bytes], Any]:
    axis = 0 if per_column else None
    low, high = values.min(axis=axis), values.max(axis=axis)
    scale = ((high - low) / 255).astype(np.float32)
    info = np.iinfo(dtype)
    zero = np.clip(np.round(info.min - low / scale), info.min, info.max).astype(dtype)
    stored = np.clip(np.round(values / scale + zero.astype(np.float32)), info.min, info.max).astype(dtype)
    restored = (stored.astype(np.float32) - zero.astype(np.float32)) * scale
    parts = (("quantized", stored), ("scale", np.asarray(scale)), ("zero_point", np.asarray(zero)))
    return [_tensor(f"{name}_{part}", array, raw=part == "quantized") for part, array in parts], restored


def _tensor(name: str, array: Any, *, raw: bool = True) -> bytes:
    kinds: dict[str, int] = {"float32": 1, "uint8": 2, "int8": 3}
    head = b"".join(_varint(1 << 3) + _varint(size) for size in array.shape)
    head += _varint(2 << 3) + _varint(kinds[array.dtype.name]) + _field(8, name.encode())
    if raw:
        return head + _field(9, np.ascontiguousarray(array).tobytes())
    if array.dtype == np.float32:
        return head + _field(4, struct.pack(f"<{array.size}f", *array.ravel().tolist()))
    return head + _field(5, b"".join(_varint(value % (1 << 64)) for value in array.ravel().tolist()))


def _node(kind: str, name: str, inputs: Iterable[str]) -> bytes:
    texts = [*((1, text) for text in inputs), (2, name + "_out"), (3, name), (4, kind)]
    return b"".join(_field(number, text.encode()) for number, text in texts)


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _write_wheel(folder: Path, files: Path, names: list[str]) -> Path:
    """A wheel that pip accepts; its module fails when it is imported."""
    module = PACKAGE.replace("-", "_")
    path, info = folder / f"{module}-{VERSION}-py3-none-any.whl", f"{module}-{VERSION}.dist-info"
    content = {
        f"{module}/__init__.py": b"raise SystemExit('the package was imported')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {VERSION}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with ZipFile(path, "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
        for name in names:
            archive.write(files / name, f"{FOLDER}/{name}")
    return path
