"""What kind of model a folder holds: embedder, cross-encoder, sparse, multi-vector."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, TypeAlias

from qembed.errors import UsageError
from qembed.models.as_published import class_name, modules_of
from qembed.models.files import read_json
from qembed.models.resolve import ModelSource
from qembed.shell import shell_line

Kind: TypeAlias = Literal["embedder", "cross-encoder", "sparse", "multi-vector", "transformer"]
"""``transformer``: weights without a word on how to pool them (no ``modules.json``)."""

_DECLARED: Final[dict[str, Kind]] = {
    "CrossEncoder": "cross-encoder",
    "SparseEncoder": "sparse",
    "MultiVectorEncoder": "multi-vector",
    "ColBERT": "multi-vector",
}
_SPARSE: Final = {
    "SpladePooling",
    "MLMTransformer",
    "SparseAutoEncoder",
    "CSRSparsity",
    "SparseStaticEmbedding",
}
_HEADS: Final = ("ForSequenceClassification", "ForCausalLM")
_WORDS: Final[dict[Kind, str]] = {
    "embedder": "an embedding model",
    "cross-encoder": "a cross-encoder, which scores pairs of query and text and makes no vectors",
    "sparse": "a sparse encoder, whose vectors have a dimension for every word of its vocabulary",
    "multi-vector": "a late-interaction model, which makes a vector for every token",
    "transformer": "a transformer without a pooling",
}


def kind_of(folder: Path) -> Kind:
    """What the files of a model say that it is."""
    declared = str(read_json(folder / "config_sentence_transformers.json").get("model_type"))
    architectures = read_json(folder / "config.json").get("architectures") or [""]
    modules = {class_name(module["type"]) for module in modules_of(folder)}
    if declared in _DECLARED:
        return _DECLARED[declared]
    if modules & _SPARSE:
        return "sparse"
    if "HF_ColBERT" in architectures:
        return "multi-vector"
    if modules:
        return "embedder"
    return "cross-encoder" if str(architectures[0]).endswith("ForSequenceClassification") else "transformer"


def require_embedder(source: ModelSource) -> None:
    """Refuse what makes no vector of a text.

    Raises:
        UsageError: It is a model of another kind.
    """
    assert source.path is not None
    kind = kind_of(source.path)
    if kind in ("embedder", "transformer"):
        return
    bench = ("qembed", "bench", "out/", "-e", "EVAL_SET", "-r")
    remedy = {
        "cross-encoder": f"rerank with it: {shell_line(*bench, source.name)}",
        "multi-vector": f"rerank with it: {shell_line(*bench, f'maxsim:{source.name}')}",
    }.get(kind, "qembed embed takes dense embedding models; qembed models lists some")
    raise UsageError(f"{source.id} is {_WORDS[kind]}", where=str(source.path), remedy=remedy)


def require_cross_encoder(source: ModelSource) -> None:
    """Refuse a model without a head: transformers would make one up, with random weights.

    Raises:
        UsageError: It is a model of another kind, or has no head.
    """
    assert source.path is not None
    kind = kind_of(source.path)
    architectures = read_json(source.path / "config.json").get("architectures") or [""]
    if kind == "cross-encoder" or (kind == "transformer" and str(architectures[0]).endswith(_HEADS)):
        return
    what = f": it is {_WORDS[kind]}" if kind in ("sparse", "multi-vector") else ""
    remedy = f"--reranker maxsim:{source.name} reranks with its token vectors"
    raise UsageError(
        f"{source.id} is no cross-encoder{what or ': it has no head that gives a score'}",
        where=str(source.path),
        remedy="take a cross-encoder" if kind == "sparse" else remedy,
    )
