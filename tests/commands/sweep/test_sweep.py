"""``sweep``: forms of the vectors against the full ones, on judged queries; and what ``ask`` refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from judged_files import write_embeddings, write_eval_set
from qdrant_stub import qdrant_stub
from served import upload

from qembed.commands.sweep.sweep import SweepOptions, as_document, default_dims, sweep
from qembed.errors import DimensionMismatch, InputNotFound, Mismatch, UsageError
from qembed.evaluation.measures import evaluate
from qembed.index import Point, make_index
from qembed.models import Encoder, EncoderOptions
from qembed.records import Vectors

CPU = EncoderOptions(device="cpu", precision="fp32")
WORDS = ("vector", "search", "point", "index", "query", "filter", "model", "chunk")
TEXTS = {f"docs:{n:03d}": f"{WORDS[n % 8]} {WORDS[n // 8]} {n}" for n in range(48)}
QUERIES = {f"q{n:02d}": f"{WORDS[n % 8]} {WORDS[(3 * n + n // 8) % 8]}" for n in range(12)}


@pytest.fixture(scope="module")
def encoder(tiny_models: Callable[[str], Path]) -> Encoder:
    return Encoder.load(str(tiny_models("prompted")), CPU)


@pytest.fixture(scope="module")
def vectors(encoder: Encoder) -> Vectors:
    return encoder.encode(list(TEXTS.values()))


@pytest.fixture(scope="module")
def asked(encoder: Encoder) -> Vectors:
    return encoder.encode(list(QUERIES.values()), "query")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder, vectors: Vectors) -> Path:
    return write_embeddings(tmp_path_factory.mktemp("sweep"), TEXTS, vectors, encoder.info)


@pytest.fixture(scope="module")
def qrels(vectors: Vectors, asked: Vectors) -> dict[str, dict[str, int]]:
    """The first and the third that the full vectors find; the last query has no answer."""
    order = np.argsort(-(asked @ vectors.T), axis=1)
    names = list(TEXTS)
    found = {
        query: {names[row[0]]: 2, names[row[1]]: 0, names[row[2]]: 1}
        for query, row in zip(QUERIES, order, strict=True)
    }
    found["q11"] = dict.fromkeys(found["q11"], 0)
    return found


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, qrels: dict[str, dict[str, int]]) -> Path:
    return write_eval_set(tmp_path_factory.mktemp("sets") / "words", QUERIES, qrels)


def options(**more: Any) -> SweepOptions:
    return SweepOptions(**{"encoder": CPU, "resamples": 500, "dims": (8,), **more})


class TestResult:
    def test_the_full_vectors_are_first_and_measured_as_always(
        self, folder: Path, judged: Path, vectors: Vectors, asked: Vectors, qrels: dict[str, dict[str, int]]
    ) -> None:
        found = sweep(folder, judged, options())
        index = make_index("exact", 32)
        index.add(Point(name, vector, {}) for name, vector in zip(TEXTS, vectors, strict=True))
        hits = index.search_many(asked, depth=48)
        run = {
            query: {hit.chunk_id: hit.score for hit in row} for query, row in zip(QUERIES, hits, strict=True)
        }
        wanted = evaluate(qrels, run, ["nDCG@10"])["nDCG@10"]
        full = found.variants[0]
        assert full.form.name == "32 float32"
        assert (full.compression, full.comparison, full.overlap) == (1, None, 1)
        np.testing.assert_array_equal(found.values["32 float32"], wanted)
        assert full.estimate.mean == pytest.approx(wanted.mean())
        assert full.estimate.n == 11

    def test_every_form(self, folder: Path, judged: Path) -> None:
        found = sweep(folder, judged, options())
        assert [one.form.name for one in found.variants] == [
            "32 float32",
            "8 float32",
            "32 fp16",
            "32 int8",
            "32 int8 +rescore",
            "32 binary",
            "32 binary +rescore",
        ]
        by_name = {one.form.name: one for one in found.variants}
        assert by_name["32 binary"].compression == 32
        assert by_name["32 fp16"].overlap == 1
        for one in found.variants[1:]:
            assert one.comparison is not None
            assert one.comparison.n == 11
            mean = found.values[one.form.name].mean()
            assert one.comparison.difference == pytest.approx(mean - found.variants[0].estimate.mean)
            assert one.comparison.p_adjusted >= one.comparison.p

    def test_a_form_that_loses(self, folder: Path, judged: Path) -> None:
        found = sweep(folder, judged, options(dims=(1,), kinds=()))
        one = found.variants[1]
        assert one.comparison is not None
        assert one.comparison.verdict == "worse"
        assert one.overlap < 0.6
        assert found.smallest_equivalent is None

    def test_holm_over_the_family(self, folder: Path, judged: Path) -> None:
        alone = sweep(folder, judged, options(dims=(2,), kinds=())).variants[1].comparison
        among = sweep(folder, judged, options(dims=(2, 3, 1), kinds=()))
        again = next(one.comparison for one in among.variants if one.form.dimension == 2)
        assert alone is not None
        assert again is not None
        assert alone.p == alone.p_adjusted == again.p
        assert again.p_adjusted > again.p

    def test_rescoring_multiplies_the_cutoff(self, folder: Path, judged: Path) -> None:
        """48 texts: with a cutoff of 10, an oversampling of 5 sees them all."""
        found = sweep(folder, judged, options(dims=(), kinds=("binary",), oversample=5))
        assert found.variants[-1].overlap == 1
        assert found.variants[-1].comparison is not None
        assert found.variants[-1].comparison.difference == 0
        few = sweep(folder, judged, options(dims=(), kinds=("binary",), oversample=1))
        assert few.variants[-1].overlap == few.variants[-2].overlap < 1

    def test_the_smallest_that_is_equivalent(self, folder: Path, judged: Path) -> None:
        found = sweep(folder, judged, options(dims=(), kinds=("fp16", "int8"), oversample=5, margin=0.25))
        assert found.smallest_equivalent is not None
        assert found.smallest_equivalent.form.bytes == min(
            one.form.bytes
            for one in found.variants[1:]
            if one.comparison and one.comparison.verdict == "equivalent"
        )

    def test_of_two_of_one_size_that_without_rescoring(self, folder: Path, judged: Path) -> None:
        found = sweep(folder, judged, options(dims=(), kinds=("binary",), oversample=5, margin=1.0))
        assert found.smallest_equivalent is not None
        assert found.smallest_equivalent.form.name == "32 binary"

    def test_pages(self, folder: Path, qrels: dict[str, dict[str, int]], tmp_path: Path) -> None:
        """Every text has a page of its own, so both levels measure the same."""
        pages = {
            query: {f"pages/{name.rpartition(':')[2]}": grade for name, grade in grades.items()}
            for query, grades in qrels.items()
        }
        by_page = sweep(folder, write_eval_set(tmp_path / "pages", QUERIES, pages, level="page"), options())
        by_text = sweep(folder, write_eval_set(tmp_path / "texts", QUERIES, qrels), options())
        np.testing.assert_array_equal(by_page.values, by_text.values)

    def test_another_measure(self, folder: Path, judged: Path) -> None:
        found = sweep(folder, judged, options(measure="R@3"))
        assert (str(found.measure), found.k, found.depth) == ("recall@3", 3, 48)

    def test_query_vectors_instead_of_the_model(
        self, folder: Path, judged: Path, asked: Vectors, tmp_path: Path
    ) -> None:
        given = write_embeddings(tmp_path, dict.fromkeys(QUERIES, "?"), asked)
        by_file = sweep(folder, judged, options(query_vectors=given / "docs_embeddings.jsonl"))
        np.testing.assert_array_equal(by_file.values, sweep(folder, judged, options()).values)

    def test_the_document_is_json_with_null_for_what_has_no_value(self, folder: Path, judged: Path) -> None:
        document = json.loads(orjson.dumps(as_document(sweep(folder, judged, options()))))
        assert document["schema"] == "qembed.sweep/2"
        assert document["eval_set"]["answerable"] == 11
        assert document["values"]["32 float32"]["q11"] is None
        assert document["values"]["32 float32"]["q00"] > 0.9
        assert document["options"]["measure"] == "nDCG@10"


class TestDims:
    def test_by_the_catalog(self) -> None:
        assert default_dims(768, "nomic-ai/nomic-embed-text-v1.5") == (512, 256, 128, 64)
        assert default_dims(384, "sentence-transformers/all-MiniLM-L6-v2") == (256, 128, 64)
        assert default_dims(3584, None) == (2048, 1024, 512, 256)
        assert default_dims(64, "nobody/knows") == ()

    @pytest.mark.parametrize(
        ("model", "dims", "said"),
        [
            ("sentence-transformers/all-MiniLM-L6-v2", (8,), "was not trained for shorter vectors"),
            ("nobody/knows", (8,), "does not know whether nobody/knows was trained"),
            ("nomic-ai/nomic-embed-text-v1.5", (8,), "not for 8"),
            ("nobody/knows", (32,), None),
        ],
    )
    def test_a_note(
        self,
        tmp_path: Path,
        encoder: Encoder,
        vectors: Vectors,
        judged: Path,
        model: str,
        dims: tuple[int, ...],
        said: str | None,
    ) -> None:
        folder = write_embeddings(tmp_path, TEXTS, vectors, encoder.info, id=model)
        notes = sweep(folder, judged, options(dims=dims, kinds=())).notes
        assert [said in note for note in notes] == ([True] if said else [])

    def test_more_than_there_are(self, folder: Path, judged: Path) -> None:
        with pytest.raises(UsageError, match="have 32 dimensions and cannot be truncated to 64"):
            sweep(folder, judged, options(dims=(64,)))


class TestRefusals:
    def test_an_eval_set_of_other_chunks(
        self, folder: Path, qrels: dict[str, dict[str, int]], tmp_path: Path
    ) -> None:
        others = {query: {f"other:{name}": 1 for name in grades} for query, grades in qrels.items()}
        with pytest.raises(Mismatch, match=r"none of the .* judged chunks is in the corpus"):
            sweep(folder, write_eval_set(tmp_path / "set", QUERIES, others), options())

    def test_only_what_is_irrelevant_is_there(
        self, folder: Path, qrels: dict[str, dict[str, int]], tmp_path: Path
    ) -> None:
        others = {query: {"docs:000": 0, "docs:048": 1} for query in qrels}
        with pytest.raises(Mismatch, match=r"none of the 1 relevant chunks .* is among these vectors"):
            sweep(folder, write_eval_set(tmp_path / "set", QUERIES, others), options())

    def test_the_wrong_level(self, folder: Path, qrels: dict[str, dict[str, int]], tmp_path: Path) -> None:
        with pytest.raises(Mismatch, match=r'write level = "chunk" in card\.toml'):
            sweep(folder, write_eval_set(tmp_path / "set", QUERIES, qrels, level="page"), options())

    def test_nothing_relevant(self, folder: Path, tmp_path: Path) -> None:
        nothing = {query: {"docs:000": 0} for query in QUERIES}
        with pytest.raises(UsageError, match="every grade is 0"):
            sweep(folder, write_eval_set(tmp_path / "set", QUERIES, nothing), options())

    def test_no_eval_set(self, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound):
            sweep(folder, tmp_path / "no", options())

    @pytest.mark.parametrize("measure", ["judged@10", "nothing@3"])
    def test_measures(self, folder: Path, judged: Path, measure: str) -> None:
        with pytest.raises(UsageError):
            sweep(folder, judged, options(measure=measure))

    @pytest.mark.parametrize(
        "wrong", [{"kinds": ("int4",)}, {"oversample": -1}, {"margin": -0.1}, {"resamples": 9}]
    )
    def test_options(self, folder: Path, judged: Path, wrong: dict[str, Any]) -> None:
        with pytest.raises(UsageError):
            sweep(folder, judged, options(**wrong))

    def test_another_model(self, folder: Path, judged: Path, tiny_models: Callable[[str], Path]) -> None:
        with pytest.raises((Mismatch, DimensionMismatch)):
            sweep(folder, judged, options(model=str(tiny_models("other"))))


def test_a_collection_on_a_server_gives_the_numbers_of_the_file(
    folder: Path,
    judged: Path,
    tiny_models: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path))
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    wanted = sweep(folder, judged, options())
    with qdrant_stub() as stub:
        address = upload(stub.url, folder)
        found = sweep(address, judged, options(model=str(tiny_models("prompted"))))
        assert not stub.requests("POST .*/query")
        with pytest.raises(UsageError, match="which model made these vectors"):
            sweep(address, judged, options())
    assert found.values.equals(wanted.values)
    assert as_document(found)["vectors"]["embeddings"] == address
