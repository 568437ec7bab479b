"""Uploads without a fault: what is sent, made, compared, left alone and deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_stub import WRITES, QdrantStub
from uploads import assert_holds, held, make_embeddings

from qembed.commands.upload.options import UploadOptions
from qembed.commands.upload.result import UploadResult
from qembed.errors import CheckFailed, DimensionMismatch, InputNotFound, Mismatch, Unreachable, UsageError
from qembed.progress import Progress

Upload = Callable[..., UploadResult]


def test_everything_arrives_as_it_is(run: Upload, stub: QdrantStub, out: Path) -> None:
    result = run()
    assert_holds(stub, "docs", out)
    assert (result.created, result.records, result.sent, result.unchanged) == (True, 100, 100, 0)
    assert (result.other_points, result.pruned, result.retried, result.resumed) == (0, 0, 0, 0)
    assert result.sampled == 100
    assert result.green
    assert len(stub.requests(WRITES)) == 10
    assert {request.query["wait"] for request in stub.requests(WRITES)} == {"true"}
    assert not list(out.glob(".*.upload"))  # no journal is left


def test_the_same_again_doubles_nothing(run: Upload, stub: QdrantStub, out: Path) -> None:
    run()
    result = run()
    assert (result.created, result.sent) == (False, 100)
    assert_holds(stub, "docs", out)


@pytest.mark.parametrize("name", ["text", "a b"])
def test_a_named_vector(run: Upload, stub: QdrantStub, options: UploadOptions, out: Path, name: str) -> None:
    result = run(options=replace(options, vector=name))
    assert result.vector == name
    assert stub.given["docs"]["vectors"][name]["size"] == 4
    assert_holds(stub, "docs", out, name)


def test_other_embeddings_formats(run: Upload, stub: QdrantStub, tmp_path: Path) -> None:
    from qembed.store import open_writer

    vectors = np.eye(3, dtype=np.float32)
    with open_writer("npy", tmp_path, "c", dimension=3, records=3, shard_records=2) as writer:
        writer.add(["x", "y", "z"], ["1", "2", "3"], vectors, [{}, {}, {}])
        writer.close()
    assert run(tmp_path).records == 3
    assert_holds(stub, "docs", tmp_path)


def test_vectors_of_any_length_and_the_dot_product(run: Upload, stub: QdrantStub, tmp_path: Path) -> None:
    """The cosine's are normalised by the server, and the comparison allows for it."""
    from qembed.store import open_writer

    with open_writer("jsonl", tmp_path, "c", dimension=2, records=2) as writer:
        writer.add(["x", "y"], ["1", "2"], np.array([[3, 4], [300, -400]], np.float32), [{}, {}])
        writer.close()
    run(tmp_path)
    assert_holds(stub, "docs", tmp_path)


class TestChangedOnly:
    def test_sends_nothing_where_nothing_changed(self, run: Upload, options: UploadOptions) -> None:
        run()
        result = run(options=replace(options, changed_only=True))
        assert (result.sent, result.unchanged) == (0, 100)

    def test_sends_what_changed(
        self, run: Upload, stub: QdrantStub, options: UploadOptions, out: Path, tmp_path: Path
    ) -> None:
        run()
        lines = (out / "c_embeddings.jsonl").read_text().splitlines()
        lines[7] = lines[7].replace('"number":7', '"number":-7')
        (out / "c_embeddings.jsonl").write_text("\n".join(lines) + "\n")
        result = run(options=replace(options, changed_only=True))
        assert (result.sent, result.unchanged) == (1, 99)
        assert_holds(stub, "docs", out)

    def test_vectors_of_another_model(
        self, run: Upload, stub: QdrantStub, options: UploadOptions, tmp_path: Path
    ) -> None:
        run()
        other = make_embeddings(tmp_path / "other", 100, seed=1)
        result = run(other, options=replace(options, changed_only=True))
        assert result.sent == 100
        assert_holds(stub, "docs", other)

    def test_points_of_another_tool_are_sent_again(
        self, run: Upload, stub: QdrantStub, options: UploadOptions, out: Path
    ) -> None:
        run()
        stub.db.delete_payload("docs", ["point_sha256"], points=models.Filter())
        result = run(options=replace(options, changed_only=True))
        assert result.sent == 100
        assert_holds(stub, "docs", out)


def test_an_export_that_ends_early_is_said(run: Upload, tmp_path: Path) -> None:
    points = [{"id": n, "vector": [1.0, n], "payload": {"text": f"t{n}"}} for n in range(3)]
    file = tmp_path / "scroll.json"
    file.write_text(json.dumps({"result": {"points": points, "next_page_offset": 3}}))
    notes: list[str] = []

    class Noting(Progress):
        def note(self, message: str) -> None:
            notes.append(message)

    assert run(file, progress=Noting()).sent == 3
    assert "INCOMPLETE" in " ".join(notes)


class TestPrune:
    @pytest.fixture
    def fewer(self, run: Upload, stub: QdrantStub, tmp_path: Path) -> Path:
        """100 chunks are on the server, 3 of another corpus, and one point of another tool; 90 are left."""
        run()
        run(make_embeddings(tmp_path / "others", 3, collection="d"))
        stub.db.upsert("docs", [models.PointStruct(id=1, vector=[1, 0, 0, 0], payload={"chunk_id": "c:x"})])
        return make_embeddings(tmp_path / "fewer", 90)

    def test_nothing_is_deleted_unasked(self, run: Upload, stub: QdrantStub, fewer: Path) -> None:
        result = run(fewer)
        assert (result.pruned, result.other_points) == (0, 14)
        assert len(held(stub, "docs")) == 104

    def test_deletes_ours_that_vanished(
        self, run: Upload, stub: QdrantStub, options: UploadOptions, fewer: Path
    ) -> None:
        asked: list[list[str]] = []
        result = run(
            fewer,
            options=replace(options, prune=True),
            confirm_prune=lambda names: asked.append(sorted(names)) or True,
        )
        assert asked == [[f"c:docs:page{number}.md:chunk:0" for number in range(90, 100)]]
        assert (result.pruned, result.other_points) == (10, 4)
        left = held(stub, "docs")
        assert len(left) == 94
        assert 1 in left

    def test_a_no_keeps_them(
        self, run: Upload, stub: QdrantStub, options: UploadOptions, fewer: Path
    ) -> None:
        result = run(fewer, options=replace(options, prune=True), confirm_prune=lambda names: False)
        assert result.pruned == 0
        assert len(held(stub, "docs")) == 104

    def test_points_that_name_no_corpus_stay(
        self, run: Upload, stub: QdrantStub, options: UploadOptions, tmp_path: Path
    ) -> None:
        """Files of other tools: numbers as ids, ``collection`` something else or absent, no text."""
        file = tmp_path / "foreign.jsonl"
        lines = [
            {"id": n, "embedding": [1, n], "metadata": {"collection": ["a", n]} if n % 2 else {}}
            for n in range(4)
        ]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        run(file)
        file.write_text("".join(json.dumps(line) + "\n" for line in lines[:2]))
        assert run(file, options=replace(options, prune=True)).pruned == 0
        assert len(held(stub, "docs")) == 4

    def test_nobody_is_asked_about_nothing(self, run: Upload, options: UploadOptions) -> None:
        def confirm(names: object) -> bool:
            raise AssertionError(names)

        assert run(options=replace(options, prune=True), confirm_prune=confirm).pruned == 0


class TestCollection:
    def test_a_key_that_may_write_points_only(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        """Configuration and aliases are for keys that manage the server."""
        client = QdrantClient(url=stub.url, check_compatibility=False)
        params = models.VectorParams(size=4, distance=models.Distance.COSINE)
        client.create_collection("docs", vectors_config=params)
        stub.fault("403", on="PATCH", times=99)
        result = run()
        assert any("the key may not write" in remark for remark in result.remarks)
        assert_holds(stub, "docs", out)
        with pytest.raises(Unreachable, match="the server forbids the request"):
            run(options=UploadOptions(alias="live"))

    def test_that_fits_is_taken(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        QdrantClient(url=stub.url, check_compatibility=False).create_collection(
            "docs", vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE)
        )
        assert not run().created
        assert_holds(stub, "docs", out)

    @pytest.mark.parametrize(
        ("size", "distance", "error", "row"),
        [
            (8, "Cosine", DimensionMismatch, "dimension  8           4"),
            (4, "Euclid", Mismatch, "distance  Euclid      Cosine"),
        ],
    )
    def test_that_does_not_fit_is_left_alone(
        self, run: Upload, stub: QdrantStub, size: int, distance: str, error: type[Mismatch], row: str
    ) -> None:
        QdrantClient(url=stub.url, check_compatibility=False).create_collection(
            "docs", vectors_config=models.VectorParams(size=size, distance=models.Distance(distance))
        )
        with pytest.raises(error) as refused:
            run()
        assert refused.value.exit_code == 5
        assert row in str(refused.value)
        assert not stub.requests(WRITES)

    def test_with_further_vectors_is_refused(
        self, run: Upload, stub: QdrantStub, options: UploadOptions
    ) -> None:
        """Points that are written whole would lose them."""
        params = models.VectorParams(size=4, distance=models.Distance.COSINE)
        QdrantClient(url=stub.url, check_compatibility=False).create_collection(
            "docs", vectors_config={"a": params, "b": params}
        )
        with pytest.raises(Mismatch, match="further vectors"):
            run(options=replace(options, vector="a"))
        assert not stub.requests(WRITES)

    def test_payload_indexes_come_before_the_points(
        self, run: Upload, stub: QdrantStub, options: UploadOptions
    ) -> None:
        run(options=replace(options, index_fields=("subdirectory", "number:integer")))
        assert {key: schema["type"] for key, schema in stub.indexes["docs"].items()} == {
            "subdirectory": "keyword",
            "number": "integer",
        }
        lines = [request.line for request in stub.log]
        assert lines.index("PUT /collections/docs/index") < lines.index("PUT /collections/docs/points")

    def test_indexing_is_held_back_and_restored(self, run: Upload, stub: QdrantStub) -> None:
        thresholds: list[int] = []
        stub.on_write = lambda number: thresholds.append(
            stub.given["docs"]["optimizers_config"]["indexing_threshold"]
        )
        run()
        assert set(thresholds) == {0}
        assert stub.given["docs"]["optimizers_config"]["indexing_threshold"] == 20_000

    def test_indexing_of_one_that_existed_goes_on(
        self, run: Upload, stub: QdrantStub, options: UploadOptions
    ) -> None:
        run()
        before = len(stub.requests("PATCH /collections/docs"))
        run()
        assert len(stub.requests("PATCH /collections/docs")) == before
        run(options=replace(options, hold_indexing=True))
        assert len(stub.requests("PATCH /collections/docs")) > before

    def test_an_alias_means_its_collection(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        run()
        client = QdrantClient(url=stub.url, check_compatibility=False)
        action = models.CreateAlias(collection_name="docs", alias_name="current")
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=action)])
        assert not run(collection="current").created
        assert_holds(stub, "docs", out)


class TestRefused:
    def test_embeddings_that_are_not_sound(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        with (out / "c_embeddings.jsonl").open("a") as file:
            file.write("{\n")
        with pytest.raises(CheckFailed, match="nothing is uploaded") as refused:
            run()
        assert f"qembed audit {out}" in str(refused.value)
        assert not stub.log

    def test_no_embeddings(self, run: Upload, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound):
            run(tmp_path)

    @pytest.mark.parametrize(
        "choices", [{"streams": 0}, {"batch_points": 0}, {"batch_bytes": 2**30}, {"sample": -1}]
    )
    def test_options_out_of_range(self, choices: dict[str, int]) -> None:
        with pytest.raises(UsageError, match="it can be"):
            UploadOptions(**choices)  # type: ignore[arg-type]


def test_progress_counts_every_point(run: Upload) -> None:
    class Counting(Progress):
        def __init__(self) -> None:
            self.phases: dict[str, int] = {}

        def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
            self.name = name
            self.phases[name] = 0

        def advance(self, amount: int, *, texts: int = 0) -> None:
            self.phases[self.name] += amount

    progress = Counting()
    run(progress=progress)
    assert progress.phases["sending points"] == progress.phases["checking every point"] == 100
