"""Small rerankers with random weights, built on the spot like ``tiny_models``; a kind once a session."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from tiny_models import DIMENSION, MAX_TOKENS, POSITIONS, _tokenizer, _transformer, _vocabulary

_built: dict[str, Path] = {}


def tiny_cross_encoder(base: Path, kind: str = "plain") -> Path:
    """Folder of a cross-encoder that ``CrossEncoder.save_pretrained`` wrote.

    Kinds: ``plain`` (BERT, one label, 24 tokens; its files ask for a sigmoid), ``two-labels``, ``no-types``
    (DistilBERT, which marks no segments), ``last-token`` (Qwen2), ``prompted`` (a default prompt).
    """
    if kind not in _built:
        _built[kind] = _build(base / f"tiny-pairs-{kind}", kind)
    return _built[kind]


def tiny_multi_vector(base: Path) -> Path:
    """Folder of a ``MultiVectorEncoder``: BERT, 8 dimensions, prompts, punctuation of texts not matched."""
    if "multi-vector" in _built:
        return _built["multi-vector"]
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    torch.manual_seed(5)
    folder, raw = base / "tiny-multi-vector", base / "raw-multi-vector"
    _transformer("plain", DIMENSION).save_pretrained(raw)
    _tokenizer(raw).save_pretrained(raw)
    modules = [
        Transformer(str(raw), max_seq_length=MAX_TOKENS),
        Dense(
            DIMENSION,
            8,
            bias=False,
            activation_function=torch.nn.Identity(),
            module_input_name="token_embeddings",
        ),
        MultiVectorMask(skiplist_words=[".", ",", "?"]),
        Normalize(module_input_name="token_embeddings"),
    ]
    prompts = {"query": "query: ", "document": "passage: "}
    _save(MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu"), folder)
    return _built.setdefault("multi-vector", folder)


def _build(folder: Path, kind: str) -> Path:
    import torch
    from sentence_transformers import CrossEncoder

    torch.manual_seed(sum(map(ord, kind)))
    raw = folder.parent / f"raw-{folder.name}"
    network = _network(kind)
    network.save_pretrained(raw)
    tokenizer = _tokenizer(raw)
    if kind == "no-types":
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(raw)
    options: dict[str, Any] = {"max_length": MAX_TOKENS, "device": "cpu"}
    if kind == "prompted":
        options |= {"prompts": {"rank": "rank this: "}, "default_prompt_name": "rank"}
    _save(CrossEncoder(str(raw), **options), folder)
    return folder


def _save(model: Any, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(str(folder), create_model_card=False)


def _network(kind: str) -> Any:
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        DistilBertConfig,
        DistilBertForSequenceClassification,
        Qwen2Config,
        Qwen2ForSequenceClassification,
    )

    labels, vocabulary = 2 if kind == "two-labels" else 1, len(_vocabulary())
    if kind == "no-types":
        small = DistilBertConfig(
            vocab_size=vocabulary,
            dim=DIMENSION,
            n_layers=2,
            n_heads=4,
            hidden_dim=64,
            max_position_embeddings=POSITIONS,
            num_labels=labels,
            initializer_range=0.5,
        )
        return DistilBertForSequenceClassification(small)
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": DIMENSION,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS,
        "num_labels": labels,
        "pad_token_id": 0,
    }
    if kind == "last-token":
        return Qwen2ForSequenceClassification(
            Qwen2Config(**sizes, num_key_value_heads=2, initializer_range=0.5)
        )
    return BertForSequenceClassification(BertConfig(**sizes, initializer_range=0.5))
