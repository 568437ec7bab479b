"""Names of systems for readers: ``vectors > maxsim:minilm`` is "Qdrant + MaxSim reranker (minilm)". Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from qembed.evaluation.systems.system import BASELINE


def display_names(document: Mapping[str, Any]) -> dict[str, str]:
    """Name of each system of a ``bench.json`` -> its name on the page; no two are the same."""
    two = any(map(is_baseline, document["systems"]))
    exact = any(side["index"] == "exact" for side in document["sides"][:1])
    search = "Vector search" if exact else "Qdrant"
    bases = {"vectors": "New embeddings" if two else search, BASELINE: "Existing embeddings"}
    found = {system["name"]: _name(system["name"], system["kind"], bases) for system in document["systems"]}
    counts = Counter(found.values())
    return {name: shown if counts[shown] == 1 else name for name, shown in found.items()}


def is_baseline(system: Mapping[str, Any]) -> bool:
    """Whether a system of a ``bench.json`` is existing embeddings; a run may be called so too."""
    return bool(system["name"] == BASELINE and system["kind"] == "vectors")


def _name(name: str, kind: str, bases: Mapping[str, str]) -> str:
    match kind:
        case "run":
            return name
        case "reranked":
            base, _, reranker = name.partition(" > ")
            return f"{bases.get(base, _combined(base, bases))} + {reranker_name(reranker)}"
        case "bm25":
            variant = name.partition(":")[2]
            return f"BM25 keyword search{f' ({variant})' if variant else ''}"
        case "fusion":
            return _combined(name, bases)
    return bases.get(name, name)


def _combined(name: str, bases: Mapping[str, str]) -> str:
    return " + ".join(bases.get(part, part.replace("bm25", "BM25")) for part in name.split(" + "))


def reranker_name(spec: str) -> str:
    """``maxsim:minilm`` is "MaxSim reranker (minilm)"; a cross-encoder is named by its model alone."""
    kind, _, model = spec.partition(":")
    return f"MaxSim reranker ({model})" if kind == "maxsim" else f"{spec.rpartition('/')[2]} reranker"
