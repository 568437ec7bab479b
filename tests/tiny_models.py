"""Small models with random weights, built on the spot: no hub, no download, milliseconds a batch.

Loaded by path from the ``conftest.py`` files that need it; a kind is built once a session.
"""

from __future__ import annotations

import json
import string
import warnings
from pathlib import Path
from typing import Any

DIMENSION = 32
MAX_TOKENS = 24
POSITIONS = 64
PROMPTS = {"query": "query: ", "document": "passage: "}

_built: dict[str, Path] = {}


def tiny_model(base: Path, kind: str = "plain") -> Path:
    """Folder of a model that ``SentenceTransformer.save_pretrained`` wrote.

    Kinds: ``plain`` (BERT, mean pooling), ``other`` (the same with other weights), ``wide`` (48 dimensions),
    ``prompted`` (prompts for queries and documents), ``prompt-excluded`` (the prompt is not pooled),
    ``last-token`` (Qwen2 with last-token pooling), ``dense`` (a linear layer behind the pooling, Normalize).
    """
    if kind not in _built:
        _built[kind] = _build(base / f"tiny-{kind}", kind)
    return _built[kind]


def _build(folder: Path, kind: str) -> Path:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

    torch.manual_seed(sum(map(ord, kind)))
    raw = folder.parent / f"raw-{folder.name}"
    width = 48 if kind == "wide" else DIMENSION
    _transformer(kind, width).save_pretrained(raw)
    _tokenizer(raw).save_pretrained(raw)
    modules: list[Any] = [Transformer(str(raw), max_seq_length=MAX_TOKENS)]
    mode = "lasttoken" if kind == "last-token" else "mean"
    modules.append(Pooling(width, pooling_mode=mode, include_prompt=kind != "prompt-excluded"))
    if kind == "dense":
        modules += [Dense(width, 16, bias=True), Normalize()]
    prompts = PROMPTS if kind in ("prompted", "prompt-excluded") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save_pretrained(
            str(folder), create_model_card=False
        )
    return folder


def _transformer(kind: str, width: int) -> Any:
    from transformers import BertConfig, BertModel, Qwen2Config, Qwen2Model

    sizes: dict[str, Any] = {
        "vocab_size": len(_vocabulary()),
        "hidden_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS,
    }
    if kind == "last-token":
        return Qwen2Model(Qwen2Config(**sizes, num_key_value_heads=2))
    # The usual 0.02 makes all vectors of so small a model alike.
    return BertModel(BertConfig(**sizes, initializer_range=0.5))


def _tokenizer(raw: Path) -> Any:
    from tokenizers import BertWordPieceTokenizer
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate(_vocabulary())}
    fast = BertWordPieceTokenizer(vocab=vocabulary, lowercase=True)
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=fast._tokenizer, model_max_length=POSITIONS, **special)


def _vocabulary() -> list[str]:
    characters = string.ascii_lowercase + string.digits
    words = ("vector", "search", "point", "index", "query", "passage", "model", "chunk", "text", "filter")
    return [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        *characters,
        *(f"##{character}" for character in characters),
        *string.punctuation,
        *words,
    ]


def edit_json(file: Path, **changes: Any) -> None:
    """Set keys of a JSON object on disk."""
    content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    file.write_text(json.dumps({**content, **changes}), encoding="utf-8")
