"""Small random models of every kind that people publish, built from configurations: a few hundred kB each.

``KINDS`` names them; ``build`` makes a folder of one, as ``SentenceTransformer.save_pretrained`` writes it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tiny_models
from tiny_models import DIMENSION, MAX_TOKENS, POSITIONS, edit_json

Change = Callable[[Path], None]


@dataclass(frozen=True)
class Kind:
    """One kind of model.

    Attributes:
        network: Class of transformers and the changes to its usual configuration; None without one.
        modules: Makes the modules from the folder of the network; Transformer and mean pooling when None.
        pooling: Mode of the pooling.
        padding: Side on which rows are filled.
        config: Changes to ``config_sentence_transformers.json``.
        change: Done to the finished folder.
        needs: A package without which the kind cannot be built or loaded.
        max_length: What the user has to give, where the files do not say it.
    """

    network: tuple[str, dict[str, Any]] | None = ("Bert", {})
    modules: Callable[[Path], list[Any]] | None = None
    pooling: Any = "mean"
    padding: str = "right"
    config: dict[str, Any] = field(default_factory=dict)
    change: Change | None = None
    needs: str | None = None
    max_length: int | None = None


def _network(name: str, changes: dict[str, Any]) -> Any:
    import torch
    import transformers

    sizes = {
        "vocab_size": len(tiny_models._vocabulary()),
        "hidden_size": DIMENSION,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS,
        "initializer_range": 0.5,
        "pad_token_id": 0,
    }
    torch.manual_seed(sum(map(ord, name)))
    settings = {key: value for key, value in {**sizes, **changes}.items() if value is not None}
    config = getattr(transformers, f"{name}Config")(**settings)
    model = getattr(transformers, f"{name}Model", None) or getattr(transformers, f"{name}EncoderModel")
    return (transformers.T5EncoderModel if name == "T5" else model)(config)


def _transformer(raw: Path, kind: Kind) -> Any:
    from sentence_transformers.sentence_transformer.modules import Transformer

    assert kind.network is not None
    raw.mkdir(parents=True, exist_ok=True)
    _network(*kind.network).save_pretrained(raw)
    tokenizer = tiny_models._tokenizer(raw)
    tokenizer.padding_side = kind.padding
    tokenizer.save_pretrained(raw)
    return Transformer(str(raw), max_seq_length=MAX_TOKENS)


def _static() -> Any:
    import torch
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    torch.manual_seed(5)
    tokenizer = tiny_models._tokenizer(Path()).backend_tokenizer
    return StaticEmbedding(tokenizer, embedding_dim=DIMENSION)


def _words(_: Path) -> list[Any]:
    import numpy as np
    from sentence_transformers.sentence_transformer.modules import Pooling, WordEmbeddings
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    words = tiny_models._vocabulary()[-10:]
    weights = np.random.default_rng(1).standard_normal((len(words), DIMENSION)).astype(np.float32)
    return [WordEmbeddings(WhitespaceTokenizer(words), weights), Pooling(DIMENSION, pooling_mode="mean")]


def _bag(_: Path) -> list[Any]:
    from sentence_transformers.sentence_transformer.modules import BoW

    return [BoW(tiny_models._vocabulary()[-10:])]


def _router(raw: Path) -> list[Any]:
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Router

    document = _transformer(raw, Kind())
    routes = {
        "query": [_static()],
        "document": [document, Pooling(DIMENSION), Dense(DIMENSION, DIMENSION, bias=True)],
    }
    return [Router(routes, default_route="document")]


def _tail(raw: Path) -> list[Any]:
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm, Normalize, Pooling

    torch.manual_seed(9)
    tail = [Pooling(DIMENSION), Dense(DIMENSION, 16, bias=True), LayerNorm(16), Normalize()]
    return [_transformer(raw, Kind()), *tail]


def _routed_tail(raw: Path) -> list[Any]:
    """Both roles share the transformer; each has a Dense of its own."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Router

    torch.manual_seed(11)
    sides = {role: [Dense(DIMENSION, 16, bias=True)] for role in ("query", "document")}
    return [_transformer(raw, Kind()), Pooling(DIMENSION), Router(sides)]


def _shard(folder: Path) -> None:
    from transformers import AutoModel

    network = AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    network.save_pretrained(folder, max_shard_size="40KB")


def edit_weights(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    """Change the tensors of the first module."""

    def changed(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        file = folder / "model.safetensors"
        save_file(change(load_file(file)), file, metadata={"format": "pt"})

    return changed


def _without(part: str) -> Change:
    return edit_weights(lambda tensors: {key: value for key, value in tensors.items() if part not in key})


def _with_position_ids(tensors: dict[str, Any]) -> dict[str, Any]:
    import torch

    return {**tensors, "embeddings.position_ids": torch.arange(POSITIONS)[None]}


def _as_asym(folder: Path) -> None:
    """Older files call the router Asym."""
    modules = json.loads((folder / "modules.json").read_text())
    for module in modules:
        if module["type"].endswith(".Router"):
            module["type"] = "sentence_transformers.models.Asym"
    (folder / "modules.json").write_text(json.dumps(modules))


def _old_pooling_file(folder: Path) -> None:
    flags = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": DIMENSION, **flags})
    )


def _without_length(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", model_max_length=10**30)
    (folder / "sentence_bert_config.json").write_text("{}")


_KEYS = {"num_key_value_heads": 2, "head_dim": 8}
_ROBERTA = {"pad_token_id": 1, "max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1}
_T5 = {
    **{"d_model": DIMENSION, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4},
    **{"initializer_factor": 1.0, "max_position_embeddings": None},
}
_NO_IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}

KINDS: dict[str, Kind] = {
    "bert": Kind(),
    "roberta": Kind(("Roberta", _ROBERTA)),
    "xlm-roberta": Kind(("XLMRoberta", _ROBERTA)),
    "mpnet": Kind(("MPNet", {"pad_token_id": 1, "max_position_embeddings": POSITIONS + 2})),
    "distilbert": Kind(("DistilBert", {"dim": DIMENSION, "n_layers": 2, "n_heads": 4, "hidden_dim": 64})),
    "modernbert": Kind(("ModernBert", {**_NO_IDS, "local_attention": 8})),
    "nomic-bert": Kind(("NomicBert", {})),
    "gemma3": Kind(("Gemma3Text", {**_KEYS, **_NO_IDS, "sliding_window": 8})),
    "qwen2-left": Kind(("Qwen2", _KEYS), pooling="lasttoken", padding="left"),
    "qwen2-right": Kind(("Qwen2", _KEYS), pooling="lasttoken"),
    "qwen3-left": Kind(("Qwen3", _KEYS), pooling="lasttoken", padding="left"),
    "gpt2": Kind(("GPT2", {"n_embd": DIMENSION, "n_layer": 2, "n_head": 4}), pooling="weightedmean"),
    "t5": Kind(("T5", _T5)),
    "t5-without-length": Kind(("T5", _T5), change=_without_length, max_length=MAX_TOKENS),
    "cls": Kind(pooling="cls"),
    "max": Kind(pooling="max"),
    "last": Kind(pooling="lasttoken"),
    "weighted": Kind(pooling="weightedmean"),
    "sqrt": Kind(pooling="mean_sqrt_len_tokens"),
    "cls-and-mean": Kind(pooling=("cls", "mean")),
    "old-pooling-file": Kind(pooling="cls", change=_old_pooling_file),
    "left-padding": Kind(padding="left"),
    "tail": Kind(modules=_tail),
    "static": Kind(None, modules=lambda _: [_static()]),
    "words": Kind(None, modules=_words),
    "bag": Kind(None, modules=_bag),
    "router": Kind(modules=_router),
    "routed-tail": Kind(modules=_routed_tail),
    "asym": Kind(modules=_router, change=_as_asym),
    "matryoshka": Kind(config={"truncate_dim": 16}),
    "prompts": Kind(config={"prompts": {"query": "query: ", "document": "passage: "}}),
    "prompts-by-other-names": Kind(config={"prompts": {"query": "query: ", "passage": "passage: "}}),
    "default-prompt": Kind(config={"prompts": {"query": "query: "}, "default_prompt_name": "query"}),
    "dot": Kind(config={"similarity_fn_name": "dot"}),
    "sharded": Kind(change=_shard),
    "unused-pooler-missing": Kind(change=_without("pooler")),
    "position-ids": Kind(change=edit_weights(_with_position_ids)),
    "peft": Kind(needs="peft"),
    "model2vec": Kind(None, needs="model2vec"),
}


def build(base: Path, name: str) -> Path:
    """The folder of a kind; skips where transformers or a package is missing."""
    import pytest
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    kind = KINDS[name]
    if kind.needs:
        pytest.importorskip(kind.needs)
    if kind.network and not hasattr(transformers, f"{kind.network[0]}Config"):
        pytest.skip(f"transformers {transformers.__version__} has no {kind.network[0]}")
    folder = base / name
    if kind.needs:
        return _OPTIONAL[name](folder)
    raw = base / f"{name}-raw"
    if kind.modules is not None:
        modules = kind.modules(raw)
    else:
        modules = [_transformer(raw, kind), Pooling(DIMENSION, pooling_mode=kind.pooling)]
    _save(SentenceTransformer(modules=modules, device="cpu"), folder)
    if kind.config:
        edit_json(folder / "config_sentence_transformers.json", **kind.config)
    if kind.change:
        kind.change(folder)
    return folder


def _save(model: Any, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(str(folder), create_model_card=False)


def _build_peft(folder: Path) -> Path:
    from peft import LoraConfig, TaskType
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    base = folder.parent / "peft-base"
    modules = [_transformer(base, Kind()), Pooling(DIMENSION)]
    model = SentenceTransformer(modules=modules, device="cpu")
    model.add_adapter(LoraConfig(task_type=TaskType.FEATURE_EXTRACTION, r=4, init_lora_weights=False))
    _save(model, folder)
    return folder


def _build_model2vec(folder: Path) -> Path:
    """As ``StaticModel.save_pretrained`` writes it, which sentence-transformers loads by its modules.json."""
    import numpy as np
    from model2vec import StaticModel

    tokenizer = tiny_models._tokenizer(Path()).backend_tokenizer
    vectors = np.random.default_rng(2).standard_normal((tokenizer.get_vocab_size(), DIMENSION))
    StaticModel(vectors.astype(np.float32), tokenizer).save_pretrained(folder)
    return folder


_OPTIONAL: dict[str, Callable[[Path], Path]] = {"peft": _build_peft, "model2vec": _build_model2vec}
