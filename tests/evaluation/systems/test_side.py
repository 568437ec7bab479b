"""One side of a bench: reading, encoding queries, searching, timing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_folders import Item, write_embeddings, write_query_vectors
from tiny_models import edit_json

from qembed.commands.embed.embed import EmbedOptions, embed
from qembed.errors import DimensionMismatch, InputNotFound, Mismatch, UsageError
from qembed.evaluation.systems.query_vectors import encode_queries, read_query_vectors
from qembed.evaluation.systems.side import (
    Side,
    SideOptions,
    build_index,
    describe_side,
    open_side,
    search_run,
    time_side,
)
from qembed.models import EncoderOptions
from qembed.progress import Progress

CPU = EncoderOptions(device="cpu", precision="fp32")
PAGES = {
    "docs/intro": ["home docs search", "a vector and a point", "index"],
    "docs/usage": [
        "home docs search",
        "text of a model",
        "filter the chunks of an index by their text and 1 2 3 4",
    ],
}
QUERIES = {"q1": "vector", "q2": "a much longer question about filters", "q3": "index"}


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    write_chunks: Callable[..., Path],
    tiny_models: Callable[[str], Path],
) -> Path:
    root = tmp_path_factory.mktemp("side")
    chunks = write_chunks(root / "docs", PAGES)
    embed(chunks, root / "out", EmbedOptions(model=str(tiny_models("prompted")), encoder=CPU))
    return root / "out"


@pytest.fixture(scope="module")
def side(folder: Path) -> Side:
    return open_side(SideOptions(folder, encoder=CPU), QUERIES, "chunk", results=2)


class TestOpen:
    def test_what_the_manifest_says(self, side: Side) -> None:
        assert side.encoder is not None
        assert side.manifest is not None
        assert side.encoder.info.query_prompt == "query: "
        assert (side.max_tokens, len(side.collection), side.collection.records) == (24, 5, 6)
        assert side.queries.shape == (3, 32)
        assert side.queries.dtype == np.float32
        assert (side.index.name, side.index.exact) == ("memory", True)
        assert side.exact_run is side.run

    def test_the_run_is_that_of_plain_cosines(self, side: Side) -> None:
        documents = side.collection.vectors / np.linalg.norm(side.collection.vectors, axis=1, keepdims=True)
        for row, query in zip(side.queries, QUERIES, strict=True):
            scores = documents @ (row / np.linalg.norm(row))
            best = np.argsort(-scores)[:3].tolist()
            assert side.run[query] == pytest.approx(
                {side.collection.ids[at]: float(scores[at]) for at in best}, abs=1e-5
            )

    def test_the_payload_has_the_text_as_a_reranker_needs_it(self, side: Side) -> None:
        (hit,) = side.index.search(side.queries[0], depth=1)
        at = side.collection.ids.index(hit.chunk_id)
        assert hit.payload["text"] == side.collection.texts[at]

    def test_names_of_another_side(self, tmp_path: Path, side: Side) -> None:
        items = [
            Item(f"old:{at}", text, vector.tolist())
            for at, (text, vector) in enumerate(
                zip(side.collection.texts, side.collection.vectors, strict=True)
            )
        ]
        old = SideOptions(
            write_embeddings(tmp_path / "old", items),
            query_vectors=write_query_vectors(
                tmp_path / "asked", dict(zip(QUERIES, side.queries.tolist(), strict=True))
            ),
        )
        other = open_side(old, QUERIES, "chunk", results=2, like=side)
        assert set(other.run["q1"]) <= {item.id for item in items}
        assert other.units.run(other.run) == {
            query: pytest.approx(scores, abs=1e-6) for query, scores in side.units.run(side.run).items()
        }
        assert (other.manifest, other.encoder, other.max_tokens) == (None, None, None)

    def test_model_errors_name_the_option_of_the_side(self, tmp_path: Path, side: Side) -> None:
        options = SideOptions(write_embeddings(tmp_path, [Item("c:0", "x", [1, 0])]))
        for like, option in ((None, "name it with --model"), (side, "name it with --baseline-model")):
            with pytest.raises(UsageError) as caught:
                open_side(options, QUERIES, "chunk", results=2, like=like)
            assert caught.value.remedy == option

    def test_pages_that_nobody_knows(self, tmp_path: Path) -> None:
        folder = write_embeddings(tmp_path, [Item("c:0", "x", [1, 0])])
        with pytest.raises(UsageError, match="'c:0' has no page") as caught:
            open_side(SideOptions(folder), QUERIES, "page", results=2)
        assert caught.value.where == str(folder / "c_embeddings.jsonl")

    def test_progress(self, folder: Path) -> None:
        class Told(Progress):
            def __init__(self) -> None:
                self.phases: list[tuple[str, int | None]] = []
                self.done = 0

            def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
                self.phases.append((name, total))

            def advance(self, amount: int, *, texts: int = 0) -> None:
                self.done += amount

        told = Told()
        open_side(SideOptions(folder, encoder=CPU), QUERIES, "chunk", results=2, progress=told)
        assert told.phases == [
            ("reading vectors", 6),
            ("loading the model", None),
            ("encoding queries", 3),
            ("building the index", 5),
            ("searching", 3),
        ]
        assert told.done == 9

    def test_other_weights(self, folder: Path, tmp_path: Path, tiny_models: Callable[[str], Path]) -> None:
        options = SideOptions(folder, model=str(tiny_models("other")), encoder=CPU)
        with pytest.raises(Mismatch, match="other weights"):
            open_side(options, QUERIES, "chunk", results=2)


class TestQueries:
    def test_each_as_if_alone_whatever_the_batches(self, side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
        assert side.encoder is not None
        monkeypatch.setattr("qembed.evaluation.systems.query_vectors._QUERY_BATCH", 2)
        texts = [f"{'vector ' * (n % 5)}query {n}" for n in range(9)]
        found = encode_queries(side.encoder, texts)
        for at, text in enumerate(texts):
            np.testing.assert_allclose(found[at], side.encoder.encode([text], "query")[0], atol=1e-5)

    def test_no_query(self, side: Side) -> None:
        assert side.encoder is not None
        assert encode_queries(side.encoder, []).shape == (0, 32)

    @pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
    def test_a_vector_that_no_search_can_use(
        self, side: Side, monkeypatch: pytest.MonkeyPatch, value: float
    ) -> None:
        class Broken:
            info = side.encoder.info if side.encoder else None

            def count(self, texts: list[str], kind: str) -> Any:
                return np.arange(len(texts))

            def encode(self, texts: list[str], kind: str) -> Any:
                rows = np.ones((len(texts), 32), dtype=np.float32)
                rows[[at for at, text in enumerate(texts) if text == "bad"]] = value
                return rows

        encoder: Any = Broken()
        assert isinstance(encoder, Broken)
        with pytest.raises(Mismatch, match="no usable vector for the query 'bad'") as caught:
            encode_queries(encoder, ["good", "bad", "good too"])
        assert "--precision fp32" in str(caught.value.remedy)

    def test_from_a_file_in_the_order_asked(self, tmp_path: Path) -> None:
        folder = write_query_vectors(tmp_path, {"b": [3, 4], "unasked": [5, 6], "a": [1, 2]})
        assert read_query_vectors(folder, ["a", "b"], 2).tolist() == [[1, 2], [3, 4]]

    @pytest.mark.parametrize(
        ("vectors", "error", "message", "where"),
        [
            ({"a": [1, 2]}, Mismatch, "1 of 2 queries have no vector, 'b' first", ""),
            ({"a": [1, 2], "b": [1, 2, 3]}, DimensionMismatch, "'b' has 3 dimensions", "line 2"),
            ({"a": [1, 2], "b": [0, 0]}, Mismatch, "'b' is zero or not finite", "line 2"),
            ({"a": [1, 2], "b": [1e39, 0]}, Mismatch, "'b' is zero or not finite", "line 2"),
        ],
    )
    def test_bad_files(
        self, tmp_path: Path, vectors: dict[str, list[float]], error: type[Mismatch], message: str, where: str
    ) -> None:
        with pytest.raises(error, match=message) as caught:
            read_query_vectors(write_query_vectors(tmp_path, vectors), ["a", "b"], 2)
        assert where in str(caught.value.where)

    def test_a_broken_line_and_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound):
            read_query_vectors(tmp_path / "none", ["a"], 2)
        (tmp_path / "q_embeddings.jsonl").write_text('{"id": "a"}\n')
        with pytest.raises(Mismatch) as caught:
            read_query_vectors(tmp_path, ["a"], 2)
        assert "line 1" in str(caught.value.where)


class TestSearch:
    def test_as_deep_as_asked_and_no_deeper_than_there_is(self, side: Side) -> None:
        index = build_index(side.collection, "exact")
        assert index.name == "exact"
        for depth, found in ((1, 1), (4, 4), (50, 5)):
            run = search_run(index, list(QUERIES), side.queries, depth)
            assert {query: len(scores) for query, scores in run.items()} == dict.fromkeys(QUERIES, found)
        index.close()

    def test_an_approximate_index_is_held_against_exact_search(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from qembed.index import ExactIndex

        class Half(ExactIndex):
            exact = False

            def search_many(self, vectors: Any, *, depth: int) -> Any:
                return [hits[::2] for hits in super().search_many(vectors, depth=depth)]

        monkeypatch.setattr(
            "qembed.evaluation.systems.side.make_index",
            lambda name, *form: (Half if name == "memory" else ExactIndex)(*form),
        )
        found = open_side(SideOptions(folder, encoder=CPU), QUERIES, "chunk", results=2)
        assert {query: len(scores) for query, scores in found.run.items()} == dict.fromkeys(QUERIES, 2)
        assert {query: len(scores) for query, scores in found.exact_run.items()} == dict.fromkeys(QUERIES, 3)
        assert found.ann_recall(1) == 1
        assert found.ann_recall(3) == pytest.approx(2 / 3)
        assert describe_side(found)["ann_recall"] == pytest.approx({"1": 1, "10": 2 / 3, "100": 2 / 3})

    @pytest.mark.parametrize(
        ("hnsw", "texts", "exact"), [(True, 5, True), (True, 60, False), (False, 60, True)]
    )
    def test_a_graph_where_there_is_more_than_a_handful(
        self, tmp_path: Path, hnsw: bool, texts: int, exact: bool
    ) -> None:
        pytest.importorskip("qdrant_edge")
        vectors = np.random.default_rng(0).normal(size=(texts + 1, 16)).tolist()
        items = [Item(f"c:{at:02d}", f"text {at}", vector) for at, vector in enumerate(vectors[1:])]
        options = SideOptions(
            write_embeddings(tmp_path / "out", items),
            query_vectors=write_query_vectors(tmp_path / "asked", {"q": vectors[0]}),
            index="edge",
            hnsw=hnsw,
        )
        found = open_side(options, {"q": "x"}, "chunk", results=9)
        assert (found.index.name, found.index.exact) == ("edge", exact)
        assert (found.exact_run is found.run) == exact
        assert found.ann_recall(3) >= 2 / 3

    def test_times_of_the_sample_only(self, side: Side) -> None:
        stages = time_side(side, list(QUERIES.values()), [0, 2], 3)
        assert {stage: len(times) for stage, times in stages.items()} == {"encode": 2, "retrieve": 2}
        given = replace(side, encoder=None)
        assert list(time_side(given, list(QUERIES.values()), [1], 3)) == ["retrieve"]


class TestDescription:
    def test_with_a_manifest(self, side: Side, tiny_models: Callable[[str], Path]) -> None:
        described = describe_side(side)
        assert described["model"] == str(tiny_models("prompted"))
        assert (described["chunks"], described["texts"], described["dimension"]) == (6, 5, 32)
        assert (described["index"], described["exact"], described["dtype"]) == ("memory", True, "fp32")
        assert described["ann_recall"] is None
        assert described["max_tokens"] == 24
        cut = sum(tokens > 24 for tokens in side.collection.tokens.tolist())
        assert 0 < cut < 5
        assert described["texts_cut"] == cut
        assert described["query_encoder"]["prompt"] == "query: "
        assert len(described["weights_sha256"]) == 64
        assert side.manifest is not None
        assert described["embeddings_sha256"] == side.manifest.output.sha256

    def test_without_anything(self, tmp_path: Path) -> None:
        options = SideOptions(
            write_embeddings(tmp_path / "new", [Item("c:0", "x", [1, 0]), Item("c:1", "x", [0, 1])]),
            query_vectors=write_query_vectors(tmp_path / "asked", {"q1": [1, 1]}),
        )
        described = describe_side(open_side(options, {"q1": "x"}, "chunk", results=2))
        assert described["texts_with_two_vectors"] == 1
        unknown = ("model", "revision", "weights_sha256", "dtype", "max_tokens", "query_encoder")
        assert [described[key] for key in unknown] == [None] * 6
        assert described["texts_cut"] == 0
        assert described["embeddings_sha256"] is None

    def test_what_the_manifest_says_of_the_limit(self, folder: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(folder, tmp_path / "out")
        manifest = copy / "docs_embedding_manifest.json"
        made = json.loads(manifest.read_text())["model"]
        edit_json(manifest, model={**made, "max_tokens": 7})
        options = SideOptions(copy, query_vectors=write_query_vectors(tmp_path / "asked", {"q1": [1.0] * 32}))
        assert open_side(options, {"q1": "x"}, "chunk", results=2).max_tokens == 7
