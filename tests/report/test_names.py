"""Names of systems for readers."""

from __future__ import annotations

from typing import Any

import pytest

from qembed.report.names import display_names

KINDS = {"vectors": "vectors", "baseline": "vectors", "bm25": "bm25", "bm25:plain": "bm25"}


def document(*names: str, index: str = "memory") -> dict[str, Any]:
    def kind(name: str) -> str:
        return "reranked" if " > " in name else "fusion" if " + " in name else KINDS[name]

    return {"sides": [{"index": index}], "systems": [{"name": name, "kind": kind(name)} for name in names]}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("vectors", "Qdrant"),
        ("bm25", "BM25 keyword search"),
        ("bm25:plain", "BM25 keyword search (plain)"),
        ("vectors + bm25", "Qdrant + BM25"),
        ("vectors > maxsim:minilm", "Qdrant + MaxSim reranker (minilm)"),
        ("vectors > cross-encoder/ms-marco-MiniLM-L6-v2", "Qdrant + ms-marco-MiniLM-L6-v2 reranker"),
        ("vectors + bm25 > x", "Qdrant + BM25 + x reranker"),
    ],
)
def test_one_side(name: str, shown: str) -> None:
    assert display_names(document("vectors", name))[name] == shown


def test_two_sides() -> None:
    names = ("vectors", "vectors > a", "baseline", "baseline > a", "baseline + bm25")
    assert list(display_names(document(*names)).values()) == [
        "New embeddings",
        "New embeddings + a reranker",
        "Existing embeddings",
        "Existing embeddings + a reranker",
        "Existing embeddings + BM25",
    ]


def test_exact_search_is_not_called_qdrant() -> None:
    assert display_names(document("vectors", index="exact"))["vectors"] == "Vector search"


def test_no_two_are_the_same() -> None:
    found = display_names(document("vectors", "vectors > a/x", "vectors > b/x"))
    assert list(found.values()) == ["Qdrant", "vectors > a/x", "vectors > b/x"]
