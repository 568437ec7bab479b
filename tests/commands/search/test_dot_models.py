"""A model made for the dot product: vectors keep their length, and all that compares them goes by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from models.conformance.kinds import build

from qembed.commands.embed.embed import EmbedOptions, embed
from qembed.commands.search.search import open_index
from qembed.evaluation.systems.side import SideOptions, open_side
from qembed.index import IndexName
from qembed.models import EncoderOptions
from qembed.store import read_manifest

WriteChunks = Callable[[Path, Mapping[str, Sequence[Any]]], Path]
CPU = EncoderOptions(device="cpu", precision="fp32")
TEXTS = ["vector search", "a point", "filter the chunk by a passage and more text", "index 1 2 3", "x"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dot"), "dot")


@pytest.fixture(scope="module")
def folder(model: Path, tmp_path_factory: pytest.TempPathFactory, write_chunks: WriteChunks) -> Path:
    root = tmp_path_factory.mktemp("embedded")
    chunks = write_chunks(root / "docs", {"docs/page": TEXTS})
    embed(chunks, root / "out", EmbedOptions(model=str(model), encoder=CPU))
    return root / "out"


@pytest.fixture(scope="module")
def expected(model: Path) -> np.ndarray:
    """Scores of the library for one query."""
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(str(model), device="cpu")
    query, texts = library.encode_query(["filter"]), library.encode_document(TEXTS)
    scores: np.ndarray = library.similarity(query, texts).numpy()[0]
    return scores


def test_the_manifest_says_so_and_vectors_keep_their_length(folder: Path) -> None:
    manifest = read_manifest(folder / "docs_embedding_manifest.json")
    assert manifest is not None
    assert (manifest.model["similarity"], manifest.model["normalized"]) == ("dot", False)
    records = [json.loads(line) for line in (folder / "docs_embeddings.jsonl").read_text().splitlines()]
    assert len({round(float(np.linalg.norm(one["embedding"])), 2) for one in records}) > 1


@pytest.mark.parametrize("index", get_args(IndexName))
def test_search_ranks_as_the_library(folder: Path, expected: np.ndarray, index: Any) -> None:
    if index == "edge":
        pytest.importorskip("qdrant_edge")
    found = open_index(folder, options=CPU, index=index).ask("filter", k=len(TEXTS))
    assert [result.text for result in found] == [TEXTS[at] for at in np.argsort(-expected)]
    assert np.allclose([result.score for result in found], np.sort(expected)[::-1], rtol=1e-4)


def test_without_a_manifest_the_model_says_it(folder: Path, model: Path, expected: np.ndarray) -> None:
    bare = folder.parent / "bare"
    bare.mkdir()
    (bare / "docs_embeddings.jsonl").write_bytes((folder / "docs_embeddings.jsonl").read_bytes())
    found = open_index(bare, model=str(model), options=CPU).ask("filter", k=1)
    assert found[0].text == TEXTS[int(expected.argmax())]


def test_a_bench_retrieves_by_it(folder: Path, expected: np.ndarray) -> None:
    side = open_side(SideOptions(folder, encoder=CPU), {"q": "filter"}, "chunk", results=5)
    texts = dict(zip(side.collection.ids, side.collection.texts, strict=True))
    best = sorted(side.run["q"].items(), key=lambda one: -one[1])
    assert [texts[name] for name, _ in best] == [TEXTS[at] for at in np.argsort(-expected)]


def test_normalised_when_asked(model: Path, tmp_path: Path, write_chunks: WriteChunks) -> None:
    chunks = write_chunks(tmp_path / "docs", {"docs/page": TEXTS})
    options = EncoderOptions(device="cpu", precision="fp32", normalize=True)
    embed(chunks, tmp_path / "out", EmbedOptions(model=str(model), encoder=options))
    manifest = read_manifest(tmp_path / "out" / "docs_embedding_manifest.json")
    assert manifest is not None
    assert (manifest.model["similarity"], manifest.model["normalized"]) == ("cosine", True)


def test_the_audit_is_sound(folder: Path, run_cli: Any) -> None:
    ran = run_cli(["audit", folder])
    assert ran.code == 0, ran.out + ran.err
