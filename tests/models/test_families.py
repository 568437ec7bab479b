"""The faster kernels on small models of every family that people embed with: right, or left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from qembed.models import Encoder, EncoderOptions
from qembed.models.cpu import kernels
from qembed.models.cpu.accelerate import CompiledEncoder, _least_cosine

WIDTH, HEADS = 32, 4
SIZES = {"num_hidden_layers": 2, "max_position_embeddings": 64}
USUAL = {**SIZES, "hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 50}
DISTILLED = {"n_layers": 2, "n_heads": HEADS, "dim": WIDTH, "hidden_dim": 50, "max_position_embeddings": 64}

IN_ONE_CALL: dict[str, dict[str, Any]] = {
    "Bert": USUAL,
    "Roberta": {**USUAL, "pad_token_id": 0},
    "XLMRoberta": {**USUAL, "pad_token_id": 0},
    "Camembert": {**USUAL, "pad_token_id": 0},
    "Electra": {**USUAL, "embedding_size": WIDTH},
}
BY_PARTS: dict[str, dict[str, Any]] = {
    "Bert with another activation": {**USUAL, "hidden_act": "gelu_new"},
    "DistilBert": DISTILLED,
    "MPNet": USUAL,
    "ModernBert": {
        **USUAL,
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0),
        "global_attn_every_n_layers": 2,
        "local_attention": 16,
    },
    "NomicBert": USUAL,
    "Qwen2": {**USUAL, "num_key_value_heads": 2},
    "Qwen3": {**USUAL, "num_key_value_heads": 2, "head_dim": 8},
}
TEXTS = ["vector search", "a point is a vector " * 9, "x", "filter: the index of a chunk"]

pytestmark = pytest.mark.skipif(bool(kernels.unavailable(True)), reason=kernels.unavailable(True))


@pytest.fixture
def build(tiny: Path, tmp_path: Path) -> Callable[[str, dict[str, Any]], Path]:
    """A folder with a model of a family, the tokenizer of the other small models, and mean pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoTokenizer

    def make(family: str, sizes: dict[str, Any]) -> Path:
        name = family.partition(" ")[0]
        if not hasattr(transformers, f"{name}Config"):
            pytest.skip(f"this transformers does not know {name}")
        tokenizer = AutoTokenizer.from_pretrained(str(tiny))
        config = getattr(transformers, f"{name}Config")(**sizes, vocab_size=len(tokenizer))
        torch.manual_seed(1)
        model = transformers.AutoModel.from_config(config)
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape)
        model.save_pretrained(tmp_path / "raw")
        tokenizer.save_pretrained(tmp_path / "raw")
        modules = [Transformer(str(tmp_path / "raw"), max_seq_length=48), Pooling(WIDTH, pooling_mode="mean")]
        SentenceTransformer(modules=modules, device="cpu").save_pretrained(
            str(tmp_path / "model"), create_model_card=False
        )
        return tmp_path / "model"

    return make


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("family", [*IN_ONE_CALL, *BY_PARTS])
def test_same_vectors(family: str, build: Callable[[str, dict[str, Any]], Path]) -> None:
    folder = build(family, {**IN_ONE_CALL, **BY_PARTS}[family])
    expected = Encoder.load(str(folder), EncoderOptions(device="cpu", precision="fp32", kernels="plain"))
    for precision, least in (("fp32", 0.999999), ("int16", 0.99999)):
        encoder = Encoder.load(str(folder), EncoderOptions(device="cpu", precision=precision))  # type: ignore[arg-type]
        modules = list(encoder._model.modules())
        assert (encoder.info.dtype, encoder.info.kernels) == (precision, "compiled")
        assert any(isinstance(module, CompiledEncoder) for module in modules) == (family in IN_ONE_CALL)
        assert not any(type(module) is nn.Linear for module in modules)
        assert _least_cosine(expected.encode(TEXTS), encoder.encode(TEXTS)) > least
