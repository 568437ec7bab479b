"""``search``: the model and prompt of the manifest, copies as one result, refusals that name both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qembed.commands.embed.embed import EmbedOptions, embed
from qembed.commands.search.search import OpenIndex, distinct_results, open_index, search
from qembed.errors import DimensionMismatch, InputNotFound, Mismatch, ModelUnreachable, UsageError
from qembed.index import Condition, IndexKind, MemoryIndex, Point
from qembed.models import Encoder, EncoderOptions
from qembed.store import FORMATS, Format, open_writer, record_line

CPU = EncoderOptions(device="cpu", precision="fp32")
PAGES = {
    "docs/intro": ["home docs search", "a vector and a point", "search the index", "filter a chunk"],
    "docs/usage": ["home docs search", "model query", "filter a chunk"],
    "code/client": ["home docs search", "text of a model", "x y z"],
}
TEXTS = {text for texts in PAGES.values() for text in texts}

WriteChunks = Callable[[Path, Mapping[str, Sequence[Any]]], Path]


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, write_chunks: WriteChunks, tiny_models: Callable[[str], Path]
) -> Path:
    """Embeddings by the model with prompts."""
    root = tmp_path_factory.mktemp("search")
    write_chunks(root / "docs", PAGES)
    embed(root / "docs", root / "out", EmbedOptions(model=str(tiny_models("prompted")), encoder=CPU))
    return root / "out"


@pytest.fixture
def changed(folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(folder, tmp_path / "changed")


def write(folder: Path, *vectors: Sequence[float], **manifest: Any) -> Path:
    """Embeddings of another tool: no manifest."""
    folder.mkdir(exist_ok=True)
    file = folder / "x_embeddings.jsonl"
    file.write_bytes(
        b"".join(
            record_line(f"c:{n}", f"text {n}", np.array(vector, dtype=np.float32), {"subdirectory": "docs"})
            for n, vector in enumerate(vectors)
        )
    )
    return file


class TestRanking:
    def test_it_is_that_of_sentence_transformers(
        self, folder: Path, tiny_models: Callable[[str], Path]
    ) -> None:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(tiny_models("prompted")), device="cpu")
        texts = sorted(TEXTS)
        scores = (
            model.encode_query("vector search", normalize_embeddings=True)
            @ model.encode_document(texts, normalize_embeddings=True).T
        )
        expected = [texts[number] for number in np.argsort(-scores)]
        found = search(folder, "vector search", k=50, options=CPU)
        assert [result.text for result in found] == expected
        assert [result.score for result in found] == pytest.approx(
            sorted(scores.tolist(), reverse=True), abs=1e-5
        )
        assert [result.rank for result in found] == list(range(1, len(texts) + 1))

    def test_the_query_prompt_of_the_manifest_is_used(self, folder: Path, changed: Path) -> None:
        opened = open_index(folder, options=CPU)
        assert opened.encoder.info.query_prompt == "query: "
        manifest = json.loads((changed / "docs_embedding_manifest.json").read_text())
        manifest["model"]["query_prompt"] = "find: "
        manifest["model"]["probe"] = []  # it was made with the other prompt
        (changed / "docs_embedding_manifest.json").write_text(json.dumps(manifest))
        other = open_index(changed, options=CPU)
        assert other.encoder.info.query_prompt == "find: "
        assert opened.ask("vector")[0].score != other.ask("vector")[0].score

    def test_as_the_vectors_were_made(
        self, tmp_path: Path, write_chunks: WriteChunks, tiny_models: Callable[[str], Path]
    ) -> None:
        write_chunks(tmp_path / "docs", PAGES)
        made = replace(CPU, truncate_dim=8, max_length=12, normalize=False, query_prompt="q: ")
        embed(
            tmp_path / "docs", tmp_path / "out", EmbedOptions(model=str(tiny_models("plain")), encoder=made)
        )
        info = open_index(tmp_path / "out", options=CPU).encoder.info
        assert (info.dimension, info.max_tokens, info.normalized, info.query_prompt) == (8, 12, False, "q: ")

    def test_more_than_there_is(self, folder: Path) -> None:
        assert len(search(folder, "vector", k=1000, options=CPU)) == len(TEXTS)

    def test_payload(self, folder: Path) -> None:
        (result,) = search(folder, "vector point", k=1, options=CPU)
        assert "text" not in result.metadata
        assert result.metadata["chunk_id"] == result.chunk_id
        assert result.metadata["token_count"] > 0

    @pytest.mark.parametrize("question", ["", "  \n"])
    def test_an_empty_question(self, folder: Path, question: str) -> None:
        with pytest.raises(UsageError, match="the question is empty"):
            search(folder, question, options=CPU)

    def test_a_question_that_is_not_unicode(self, folder: Path) -> None:
        """As Python reads a broken byte on the command line."""
        with pytest.raises(UsageError, match="not valid Unicode"):
            search(folder, "vector \udcff", options=CPU)

    def test_conditions(self, folder: Path) -> None:
        opened = open_index(folder, options=CPU)
        for subdirectory in ("docs", "code"):
            found = opened.ask("search", where=[Condition("subdirectory", "=", subdirectory)])
            ids = [name for result in found for name in (result.chunk_id, *result.copies)]
            wanted = [n for page, texts in PAGES.items() if page.startswith(subdirectory) for n in texts]
            assert len(ids) == len(wanted)
            assert all(f":{subdirectory}:" in name for name in ids)
        assert opened.ask("search", where=[Condition("subdirectory", "=", "absent")]) == []
        assert {
            r.metadata["chunk_index"] for r in opened.ask("x", where=[Condition("chunk_index", "<", 1)])
        } == {0}


class TestCopies:
    def test_one_line_with_all_others(self, folder: Path) -> None:
        found = {result.text: result for result in search(folder, "home", k=20, options=CPU)}
        assert len(found) == len(TEXTS)
        navigation = found["home docs search"]
        assert navigation.chunk_id == "docs:code:client.md:chunk:0"  # the first by id
        assert navigation.copies == ("docs:docs:intro.md:chunk:0", "docs:docs:usage.md:chunk:0")
        assert found["filter a chunk"].copies == ("docs:docs:usage.md:chunk:2",)
        assert found["x y z"].copies == ()

    @settings(max_examples=40)
    @given(
        sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
        k=st.integers(1, 7),
        seed=st.integers(0, 99),
    )
    def test_counts_are_complete_however_large_a_group_is(self, sizes: list[int], k: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        vectors = random.normal(size=(len(sizes), 3)).astype(np.float32)
        points = [
            Point(f"c:{group}:{copy:02d}", vectors[group], {"text": f"text {group}"})
            for group, size in enumerate(sizes)
            for copy in range(size)
        ]
        query = random.normal(size=3).astype(np.float32)
        with closing(MemoryIndex(3)) as index:
            index.add(points[number] for number in random.permutation(len(points)))
            found = distinct_results(index, query, k=k)
        cosines = (vectors @ query) / np.linalg.norm(vectors, axis=1)
        assert [result.text for result in found] == [f"text {group}" for group in np.argsort(-cosines)[:k]]
        for result in found:
            group = int(result.text.split()[1])
            ids = sorted(f"c:{group}:{copy:02d}" for copy in range(sizes[group]))
            assert [result.chunk_id, *result.copies] == ids

    def test_two_texts_with_one_vector(self) -> None:
        """Texts that a model cuts at the same place: their copies are mixed in the ranking."""
        east = np.array([1, 0], dtype=np.float32)
        with closing(MemoryIndex(2)) as index:
            index.add(Point(f"c:{n:02d}", east, {"text": "ab"[n % 2]}) for n in range(60))
            (result,) = distinct_results(index, east, k=1)
            assert (result.text, len(result.copies)) == ("a", 29)
            assert [len(found.copies) for found in distinct_results(index, east, k=2)] == [29, 29]

    def test_the_hash_in_the_payload_is_enough(self) -> None:
        east = np.array([1, 0], dtype=np.float32)
        with closing(MemoryIndex(2)) as index:
            index.add([Point("a", east, {"content_sha256": "x"}), Point("b", east, {"content_sha256": "x"})])
            (result,) = distinct_results(index, east, k=5)
            assert (result.chunk_id, result.copies, result.text) == ("a", ("b",), "")

    def test_chunks_without_a_text_are_no_copies(self) -> None:
        east = np.array([1, 0], dtype=np.float32)
        with closing(MemoryIndex(2)) as index:
            index.add([Point("a", east, {}), Point("b", east, {})])
            found = distinct_results(index, east, k=5)
            assert [(result.chunk_id, result.copies) for result in found] == [("a", ()), ("b", ())]


class TestOtherModels:
    @pytest.fixture
    def no_question(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(OpenIndex, "ask", lambda *_, **__: pytest.fail("a question was asked"))

    def test_another_dimension_names_both(
        self, folder: Path, tiny_models: Callable[[str], Path], no_question: None
    ) -> None:
        wide, made = str(tiny_models("wide")), str(tiny_models("prompted"))
        with pytest.raises(DimensionMismatch) as caught:
            search(folder, "x", model=wide, options=CPU)
        assert caught.value.exit_code == 5
        assert f"{made} made these vectors, with 32 dimensions; {wide} has 48" in caught.value.message

    def test_the_same_dimension_but_other_weights(
        self, folder: Path, tiny_models: Callable[[str], Path]
    ) -> None:
        other, made = str(tiny_models("other")), str(tiny_models("prompted"))
        with pytest.raises(Mismatch, match="other weights") as caught:
            search(folder, "x", model=other, options=CPU)
        assert caught.value.exit_code == 5
        assert not isinstance(caught.value, DimensionMismatch)
        assert other in caught.value.message
        assert made in caught.value.message

    def test_a_model_that_the_old_settings_do_not_fit(
        self, tmp_path: Path, write_chunks: WriteChunks, tiny_models: Callable[[str], Path]
    ) -> None:
        """The vectors were cut to 40 of 48 dimensions; the other model has 32, or 16."""
        write_chunks(tmp_path / "docs", PAGES)
        made = EmbedOptions(
            model=str(tiny_models("wide")), encoder=replace(CPU, truncate_dim=40, max_length=60)
        )
        embed(tmp_path / "docs", tmp_path / "out", made)
        for kind, dimension in (("other", 32), ("dense", 16)):
            with pytest.raises(DimensionMismatch, match=f"48 dimensions; .* has {dimension}"):
                search(tmp_path / "out", "x", model=str(tiny_models(kind)), options=CPU)

    def test_the_same_weights_under_another_name(
        self, folder: Path, tiny_models: Callable[[str], Path], tmp_path: Path
    ) -> None:
        copy = shutil.copytree(tiny_models("prompted"), tmp_path / "moved")
        assert search(folder, "vector", model=str(copy), options=CPU) == search(folder, "vector", options=CPU)

    def test_the_model_has_gone(self, changed: Path) -> None:
        manifest = json.loads((changed / "docs_embedding_manifest.json").read_text())
        manifest["model"]["name"] = "/no/such/model"
        (changed / "docs_embedding_manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ModelUnreachable, match="/no/such/model"):
            search(changed, "x", options=CPU)

    def test_the_model_computes_something_else_now(self, changed: Path) -> None:
        """The same files, but e.g. another version of a library."""
        file = changed / "docs_embedding_manifest.json"
        manifest = json.loads(file.read_text())
        assert len(manifest["model"]["probe"]) == 64
        manifest["model"]["probe"] = manifest["model"]["probe"][::-1]
        file.write_text(json.dumps(manifest))
        with pytest.raises(Mismatch, match=r"does not compute what the fp32 model that made"):
            search(changed, "x", options=CPU)

    def test_the_revision_of_the_manifest_is_not_that_of_another_model(
        self, changed: Path, tiny_models: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[Any] = []
        manifest = json.loads((changed / "docs_embedding_manifest.json").read_text())
        manifest["model"]["revision"] = "a" * 40
        (changed / "docs_embedding_manifest.json").write_text(json.dumps(manifest))

        def resolve(name: str, *, revision: str | None = None) -> Any:
            asked.append(revision)
            raise ModelUnreachable("enough seen")

        monkeypatch.setattr("qembed.store.made_with.resolve_model", resolve)
        for model in (None, "someone/else"):
            with pytest.raises(ModelUnreachable):
                search(changed, "x", model=model, options=CPU)
        assert asked == ["a" * 40, None]


class TestIndexes:
    @pytest.mark.parametrize("index", ["auto", "memory", "edge", "exact"])
    def test_the_same_answer(self, folder: Path, index: IndexKind) -> None:
        if index == "edge":
            pytest.importorskip("qdrant_edge")
        opened = open_index(folder, options=CPU, index=index)
        assert opened.index.name == ("memory" if index == "auto" else index)
        assert opened.index.exact
        assert len(opened.index) == sum(map(len, PAGES.values()))
        for where in ([], [Condition("subdirectory", "=", "docs"), Condition("chunk_index", "<", 2)]):
            found = opened.ask("vector search", k=50, where=where)
            wanted = search(folder, "vector search", k=50, where=where, options=CPU)
            assert [replace(result, score=0.0) for result in found] == [
                replace(result, score=0.0) for result in wanted
            ]
            assert [r.score for r in found] == pytest.approx([r.score for r in wanted], abs=1e-6)
        opened.index.close()

    def test_auto_goes_by_the_number_of_vectors(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("qembed.commands.search.search", "qembed.index.choose"):
            monkeypatch.setattr(f"{module}.MEMORY_POINTS", 5)
        monkeypatch.setattr("qembed.index.choose._edge_is_installed", lambda: False)
        opened = open_index(folder, options=CPU)
        assert (opened.index.name, len(opened.index)) == ("exact", sum(map(len, PAGES.values())))
        assert opened.ask("vector search") == search(folder, "vector search", options=CPU, index="exact")

    def test_what_is_not_installed_is_said_before_vectors_are_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("qembed.index.choose._edge_is_installed", lambda: False)
        with pytest.raises(UsageError, match="qdrant-edge-py"):
            search(tmp_path / "absent", "x", index="edge")

    def test_a_bad_file_leaves_nothing_behind(
        self, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("qdrant_edge")
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        file = write(tmp_path / "out", *[[1, 0]] * 1500, [0, 0])
        monkeypatch.setattr("qembed.commands.search.search.MEMORY_POINTS", 5)
        with pytest.raises(Mismatch, match="zero or not finite"):
            search(file, "x", model=str(tiny), index="edge")
        assert list(temporary.iterdir()) == []


class TestWithoutManifest:
    def test_the_model_must_be_named(self, tmp_path: Path) -> None:
        write(tmp_path / "out", [1.0] * 32)
        with pytest.raises(UsageError, match="no manifest") as caught:
            search(tmp_path / "out", "x", options=CPU)
        assert caught.value.exit_code == 2
        assert "--model" in str(caught.value.remedy)

    def test_with_a_model(self, tmp_path: Path, tiny: Path) -> None:
        vector = Encoder.load(str(tiny), CPU).encode(["vector search"])[0]
        file = write(tmp_path / "out", -vector, vector)
        found = search(file, "vector search", model=str(tiny), options=CPU)
        assert [result.chunk_id for result in found] == ["c:1", "c:0"]
        assert [result.score for result in found] == pytest.approx([1, -1], abs=1e-6)

    def test_another_dimension_names_both(self, tmp_path: Path, tiny: Path) -> None:
        write(tmp_path / "out", [1.0] * 8)
        with pytest.raises(
            DimensionMismatch, match=f"the vectors have 8 dimensions, {tiny} gives 32"
        ) as caught:
            search(tmp_path / "out", "x", model=str(tiny), options=CPU)
        assert caught.value.exit_code == 5


@pytest.mark.parametrize("shard_records", [None, 2])
@pytest.mark.parametrize("format", FORMATS)
class TestFormats:
    def write(self, folder: Path, format: Format, shard_records: int | None, vectors: Any) -> list[Path]:
        if format == "parquet":
            pytest.importorskip("pyarrow")
        ids = [f"c:{number}" for number in range(len(vectors))]
        with open_writer(
            format, folder, "x", dimension=32, records=len(ids), shard_records=shard_records
        ) as writer:
            writer.add(ids, ids, vectors, [{"subdirectory": "docs"}] * len(ids))
            return [folder / file.name for file in writer.close()]

    def test_the_same_answer(
        self, tmp_path: Path, tiny: Path, format: Format, shard_records: int | None
    ) -> None:
        vectors = np.random.default_rng(1).standard_normal((5, 32)).astype(np.float32)
        vectors[3] = Encoder.load(str(tiny), CPU).encode(["vector search"])[0]
        files = self.write(tmp_path, format, shard_records, vectors)
        for path in (tmp_path, *files):
            best = search(path, "vector search", k=1, model=str(tiny), options=CPU)[0]
            assert (best.chunk_id, best.metadata["subdirectory"]) == ("c:3", "docs")
            assert best.score == pytest.approx(1, abs=1e-6)

    def test_a_bad_record_is_named(
        self, tmp_path: Path, tiny: Path, format: Format, shard_records: int | None
    ) -> None:
        vectors = np.ones((5, 32), np.float32)
        vectors[3] = np.inf if format != "jsonl" else 0
        files = self.write(tmp_path, format, shard_records, vectors)
        parts = [file for file in files if not file.name.endswith(".ids.jsonl")]
        with pytest.raises(Mismatch, match="zero or not finite") as caught:
            search(tmp_path, "x", model=str(tiny), options=CPU)
        unit = "line" if format == "jsonl" else "row"
        place = f"{parts[0]}, {unit} 4" if shard_records is None else f"{parts[1]}, {unit} 2"
        assert caught.value.where == place


class TestBadFiles:
    @pytest.mark.parametrize(
        ("line", "words"),
        [
            (b"not json\n", "not valid JSON"),
            (b'{"id": "a", "embedding": [1, null]}\n', "zero or not finite"),
            (b'{"id": "a", "embedding": [1, 1e39]}\n', "zero or not finite"),
            (b'{"id": "a", "embedding": [0, 0]}\n', "zero or not finite"),
            (b'{"id": "a", "embedding": [1]}\n', "has 1 dimensions, the first vector 2"),
            (b'{"id": "a", "embedding": [1, 2', "cut off"),
        ],
    )
    def test_a_bad_line_is_named(self, tmp_path: Path, tiny: Path, line: bytes, words: str) -> None:
        file = write(tmp_path / "out", [1, 0], [0, 1])
        file.write_bytes(file.read_bytes() + line)
        with pytest.raises(Mismatch, match=words) as caught:
            search(file, "x", model=str(tiny), options=CPU)
        assert caught.value.exit_code == 5
        assert str(file) in str(caught.value.where)
        if "first vector" not in words:
            assert str(caught.value.where) == f"{file}, line 3"
        assert "qembed audit" in str(caught.value.remedy)

    def test_an_empty_file(self, tmp_path: Path, tiny: Path) -> None:
        file = write(tmp_path / "out")
        with pytest.raises(Mismatch, match="holds no vectors"):
            search(file, "x", model=str(tiny), options=CPU)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound, match="no embeddings"):
            search(tmp_path, "x")
