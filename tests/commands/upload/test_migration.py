"""A wrong dimension: beside the old collection, or as one vector of its points; alias, way back, end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import orjson
import pytest
from qdrant_client import QdrantClient, models
from qdrant_stub import QdrantStub, qdrant_stub
from uploads import assert_holds, held, make_embeddings

from qembed.commands.upload.after import drop_old_collection, roll_back_alias
from qembed.commands.upload.options import UploadOptions
from qembed.commands.upload.result import UploadResult
from qembed.commands.upload.upload import plan_upload, upload
from qembed.corpus import point_id
from qembed.errors import CheckFailed, DimensionMismatch, InputNotFound, Mismatch, Unreachable, UsageError
from qembed.index.server.alias import aliases_of
from qembed.index.server.configuration import create_collection, wanted
from qembed.index.server.notes import prefixed
from qembed.store import (
    ChunksFingerprint,
    Inputs,
    Manifest,
    Output,
    OutputFiles,
    open_writer,
    write_json,
)

Upload = Callable[..., UploadResult]
CHANGES = r"(PUT|PATCH|DELETE) |POST /collections/aliases|POST /collections/[^/]+/points/delete"


@pytest.fixture
def old(stub: QdrantStub, run: Upload, tmp_path: Path) -> Path:
    """The collection docs-3d holds 100 chunks in 3 dimensions, and the alias docs points to it."""
    made = make_embeddings(tmp_path / "old", 100, dimension=3)
    client = QdrantClient(url=stub.url, check_compatibility=False)
    client.create_collection(
        "docs-3d", vectors_config=models.VectorParams(size=3, distance=models.Distance.COSINE)
    )
    run(made, collection="docs-3d")
    point(client, "docs", "docs-3d")
    stub.log.clear()
    return made


@pytest.fixture
def client(stub: QdrantStub) -> QdrantClient:
    return QdrantClient(url=stub.url, check_compatibility=False)


@pytest.fixture
def beside(options: UploadOptions) -> UploadOptions:
    return replace(options, migrate="collection")


@pytest.fixture
def as_vector(options: UploadOptions) -> UploadOptions:
    return replace(options, migrate="vector", vector="new")


def point(client: QdrantClient, alias: str, collection: str) -> None:
    action = models.CreateAlias(collection_name=collection, alias_name=alias)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=action)])


def names(client: QdrantClient) -> set[str]:
    return {each.name for each in client.get_collections().collections}


class TestBeside:
    def test_there_back_and_gone(
        self, run: Upload, stub: QdrantStub, old: Path, out: Path, beside: UploadOptions, client: QdrantClient
    ) -> None:
        with pytest.raises(DimensionMismatch, match="--migrate collection loads 'docs-4d' beside it"):
            run()
        result = run(options=beside)
        assert (result.collection, result.created) == ("docs-4d", True)
        assert (result.alias, result.alias_before, result.replaces) == ("docs", "docs-3d", "docs-3d")
        assert_holds(stub, "docs-4d", out)
        assert_holds(stub, "docs-3d", old)
        assert aliases_of(client) == {"docs": "docs-4d"}

        assert roll_back_alias("docs", url=stub.url).back == "docs-3d"
        assert aliases_of(client) == {"docs": "docs-3d"}
        with pytest.raises(UsageError):
            drop_old_collection("docs", url=stub.url, confirm=lambda _: True)

        assert run(options=replace(beside, changed_only=True)).sent == 0
        assert aliases_of(client) == {"docs": "docs-4d"}
        assert drop_old_collection("docs", url=stub.url, confirm=lambda _: False) is None
        assert names(client) == {"docs-3d", "docs-4d"}
        assert drop_old_collection("docs", url=stub.url, confirm=lambda _: True) is not None
        assert names(client) == {"docs-4d"}
        with pytest.raises(InputNotFound, match="not there any more"):
            roll_back_alias("docs", url=stub.url)
        assert not run(options=beside).created

    def test_the_alias_moves_last(
        self, run: Upload, stub: QdrantStub, old: Path, beside: UploadOptions, client: QdrantClient
    ) -> None:
        run(options=beside)
        lines = [request.line for request in stub.log]
        moved = lines.index("POST /collections/aliases")
        assert not [line for line in lines[moved:] if line.startswith(("PUT", "PATCH"))]
        assert max(at for at, line in enumerate(lines) if line == "POST /collections/docs-4d/points") < moved

    @pytest.mark.parametrize("what", ["a point is lost", "still indexing"])
    def test_what_is_not_right_does_not_get_the_alias(
        self,
        run: Upload,
        stub: QdrantStub,
        old: Path,
        beside: UploadOptions,
        client: QdrantClient,
        what: str,
    ) -> None:
        if what == "still indexing":
            stub.statuses["docs-4d"] = ["yellow"] * 100
            beside = replace(beside, green_seconds=0)
        else:
            stub.on_write = lambda number: (
                stub.db.delete("docs-4d", [point_id("c:docs:page3.md:chunk:0")]) and None
                if number == stub_writes + 10
                else None
            )
        stub_writes = stub.writes
        with pytest.raises(CheckFailed):
            run(options=beside)
        assert aliases_of(client) == {"docs": "docs-3d"}
        assert stub.given["docs-4d"]["optimizers_config"]["indexing_threshold"] == 20_000

    def test_the_old_collection_has_the_name_that_applications_use(
        self,
        run: Upload,
        stub: QdrantStub,
        out: Path,
        tmp_path: Path,
        beside: UploadOptions,
        client: QdrantClient,
    ) -> None:
        run(make_embeddings(tmp_path / "old", 10, dimension=3))
        with pytest.raises(UsageError, match="'docs' is a collection"):
            run(options=replace(beside, alias="docs"))
        result = run(options=beside)
        assert "no alias can have its name" in result.remarks[0]
        assert result.later is not None
        assert result.later.endswith("--collection docs-4d --alias docs --drop-old")
        assert drop_old_collection("docs", url=stub.url, collection="docs-4d", confirm=lambda _: True)
        assert aliases_of(client) == {"docs": "docs-4d"}
        assert_holds(stub, "docs-4d", out)

    def test_another_model_of_the_same_dimension_is_another_collection(
        self, run: Upload, stub: QdrantStub, tmp_path: Path, beside: UploadOptions
    ) -> None:
        run(make_with_manifest(tmp_path / "ours", "our/model"))
        theirs = make_with_manifest(tmp_path / "theirs", "their/model")
        with pytest.raises(Mismatch, match=r"model +our/model +their/model"):
            run(theirs)
        result = run(theirs, options=replace(beside, into="theirs"))
        assert (result.collection, result.records) == ("theirs", 10)
        assert (stub.given["docs"]["metadata"]["qembed.model."]) == "our/model"


def make_with_manifest(folder: Path, model: str) -> Path:
    """Ten chunks with all metadata, and a manifest that says of which model they are."""
    texts = [f"chunk {number}" for number in range(10)]
    ids = [f"c:docs:page{number}.md:chunk:0" for number in range(10)]
    fingerprint = ChunksFingerprint()
    for name, text in zip(ids, texts, strict=True):
        fingerprint.add(name, text)
    metadata = [
        {
            "collection": "c",
            "subdirectory": "docs",
            "source_file": f"docs/page{number}.md",
            "source_path": f"docs/page{number}.md",
            "source": f"docs/page{number}.md",
            "filename": f"page{number}.md",
            "chunk_index": 0,
            "content_sha256": sha256(text.encode()).hexdigest(),
            "token_count": 2,
        }
        for number, text in enumerate(texts)
    ]
    folder.mkdir()
    with open_writer("jsonl", folder, "c", dimension=4, records=10) as writer:
        writer.add(ids, texts, np.eye(4, dtype=np.float32)[[number % 4 for number in range(10)]], metadata)
        files = writer.close()
    output = Output.of(
        files, format="jsonl", chunks_fingerprint=fingerprint.hexdigest(), records=10, dimension=4
    )
    made = {"id": model, "similarity": "cosine", "max_tokens": 64}
    manifest = Manifest("c", "now", Inputs("", "", 10, 10), output, {}, made, {})
    write_json(OutputFiles.of(folder / files[0].name).manifest, manifest)
    return folder


WRITING = r"(PUT|PATCH) |POST /collections/aliases"


@pytest.mark.parametrize("fault", ["drop-before", "drop-after"])
@pytest.mark.parametrize("way", [pytest.param("collection", marks=pytest.mark.slow), "vector"])
def test_whichever_request_is_lost_the_same_command_ends_the_same(
    tmp_path: Path, options: UploadOptions, no_waiting: None, way: str, fault: str
) -> None:
    """Every request that changes something is lost in turn; the upload ends, and runs again."""
    old = make_embeddings(tmp_path / "old", 20, dimension=3)
    out = make_embeddings(tmp_path / "out", 20)
    impatient = replace(options, patience_seconds=0, migrate=way, vector="new" if way == "vector" else "")
    number = 0
    while True:
        number += 1
        with qdrant_stub() as stub:
            client = QdrantClient(url=stub.url, check_compatibility=False)
            upload(old, url=stub.url, collection="docs-3d", options=replace(options, alias="docs"))
            stub.fault(fault, on=WRITING, number=number)
            try:
                upload(out, url=stub.url, collection="docs", options=impatient)
            except Unreachable:
                assert aliases_of(client)["docs"] == "docs-3d" or fault == "drop-after"
                upload(out, url=stub.url, collection="docs", options=impatient)
            else:
                assert stub.faults[0].times == 1  # there are not so many requests
                break
            target = "docs-4d" if way == "collection" else "docs-3d"
            assert aliases_of(client) == {"docs": target}
            assert stub.given[target]["optimizers_config"]["indexing_threshold"] == 20_000
            if way == "collection":
                assert_holds(stub, "docs-3d", old)
                assert_holds(stub, "docs-4d", out)
                assert roll_back_alias("docs", url=stub.url).back == "docs-3d"
            else:
                points, _ = stub.db.scroll("docs-3d", limit=100, with_vectors=True)
                assert [len(each.vector["new"]) for each in points] == [4] * 20
                assert [len(each.vector[""]) for each in points] == [3] * 20
    assert number == (4 if way == "vector" else 11)


class TestAsVector:
    def test_other_vectors_and_payloads_stay(
        self,
        run: Upload,
        stub: QdrantStub,
        old: Path,
        out: Path,
        as_vector: UploadOptions,
        client: QdrantClient,
        tmp_path: Path,
    ) -> None:
        stub.db.set_payload("docs-3d", {"theirs": 1}, points=models.Filter())
        stub.db.delete("docs-3d", [point_id("c:docs:page7.md:chunk:0")])
        before = {id: payload for id, (_, payload) in held(stub, "docs-3d").items()}
        old_vectors = {id: vector for id, (vector, _) in held(stub, "docs-3d").items()}
        result = run(options=as_vector)
        assert (result.collection, result.vector, result.created) == ("docs-3d", "new", False)
        after = stub.db.scroll("docs-3d", limit=1000, with_vectors=True)[0]
        assert len(after) == 100
        for each in after:
            assert len(each.vector["new"]) == 4
            if each.id in before:
                assert each.payload == before[each.id]
                np.testing.assert_allclose(each.vector[""], old_vectors[each.id], atol=1e-6)
            else:
                assert each.payload["chunk_id"] == "c:docs:page7.md:chunk:0"
                assert "" not in each.vector
        assert stub.given["docs-3d"]["metadata"]["qembed.points"] == 100
        assert run(make_embeddings(tmp_path / "some", 10), options=as_vector).records == 10
        assert stub.given["docs-3d"]["metadata"]["qembed.points"] == 100
        assert run(options=as_vector).records == 100  # again
        assert aliases_of(client) == {"docs": "docs-3d"}

    @pytest.mark.parametrize("fault", ["drop-before", "drop-after", "503", "413"])
    def test_faults(
        self, run: Upload, stub: QdrantStub, old: Path, as_vector: UploadOptions, fault: str
    ) -> None:
        stub.fault(fault, on="PUT /collections/docs-3d/points/vectors", times=2)
        stub.fault(fault if fault != "413" else "503", on="PUT /collections/docs-3d/vectors/new")
        assert run(options=as_vector).records == 100
        points, _ = stub.db.scroll("docs-3d", limit=1000, with_vectors=["new"])
        assert all(each.vector["new"] for each in points)

    def test_a_point_of_another_text_is_refused(
        self, run: Upload, stub: QdrantStub, old: Path, as_vector: UploadOptions
    ) -> None:
        stub.db.set_payload("docs-3d", {"content_sha256": "0"}, points=[point_id("c:docs:page55.md:chunk:0")])
        with pytest.raises(Mismatch, match=r"page55\.md.* with another content_sha256"):
            run(options=as_vector)

    def test_a_vector_that_is_lost_is_found(
        self,
        run: Upload,
        stub: QdrantStub,
        old: Path,
        as_vector: UploadOptions,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        settle = "qembed.commands.upload.upload.settle"

        def lose(*_: object) -> bool:
            stub.db.delete_vectors("docs-3d", ["new"], [point_id("c:docs:page3.md:chunk:0")])
            return True

        monkeypatch.setattr(settle, lose)
        with pytest.raises(CheckFailed, match="1 of 100 points"):
            run(options=as_vector)

    def test_an_older_server(
        self, run: Upload, stub: QdrantStub, old: Path, as_vector: UploadOptions
    ) -> None:
        stub.version = "1.17.1"
        with pytest.raises(UsageError, match=r"the server is 1\.17"):
            run(options=as_vector)
        assert not stub.requests(CHANGES)

    def test_a_name_for_nothing(self, as_vector: UploadOptions) -> None:
        for migrate in (None, "vector"):
            with pytest.raises(UsageError, match="--into names the new collection"):
                replace(as_vector, migrate=migrate, into="x")

    @pytest.mark.parametrize("option", ["prune", "changed_only"])
    def test_contradicting_options(self, as_vector: UploadOptions, option: str) -> None:
        with pytest.raises(UsageError, match="leave --prune"):
            replace(as_vector, **{option: True})  # type: ignore[arg-type]


class TestDryRun:
    def test_changes_nothing_and_is_what_is_done(
        self, stub: QdrantStub, old: Path, out: Path, beside: UploadOptions, run: Upload
    ) -> None:
        files = sorted(path.name for path in out.iterdir())
        plan = plan_upload(out, url=stub.url, collection="docs", options=beside)
        assert not stub.requests(CHANGES)
        assert sorted(path.name for path in out.iterdir()) == files
        assert [step.what for step in plan.steps] == [
            "create",
            "hold",
            "send",
            "restore",
            "check",
            "alias",
            "keep",
        ]
        result = run(options=beside)
        assert (plan.plan.target, plan.plan.alias) == (result.collection, result.alias)


class TestFields:
    def test_a_field_that_no_chunk_has_is_said(
        self, run: Upload, stub: QdrantStub, options: UploadOptions
    ) -> None:
        result = run(options=replace(options, index_fields=("number:integer", "nubmer")))
        assert result.remarks == ("none of the first 100 chunks has the field nubmer that is indexed",)
        assert sorted(stub.indexes["docs"]) == ["nubmer", "number"]


class TestGate:
    def test_no_bench_no_upload(
        self, run: Upload, stub: QdrantStub, out: Path, options: UploadOptions, tmp_path: Path
    ) -> None:
        gated = replace(options, gate=tmp_path / "reports")
        with pytest.raises(CheckFailed, match="there is no stored bench"):
            run(options=gated)
        assert not stub.log
        folder = tmp_path / "reports" / "0001_set"
        folder.mkdir(parents=True)
        bench = {
            "schema": "qembed.bench/2",
            "passed": True,
            "gates": [{"passed": True, "words": "good"}],
            "sides": [{"embeddings_sha256": sha256((out / "c_embeddings.jsonl").read_bytes()).hexdigest()}],
        }
        (folder / "bench.json").write_bytes(orjson.dumps(bench))
        assert run(options=gated).bench == str(folder)


class TestOlderServers:
    """Before 1.16 a server keeps no notes; they are beside the embeddings."""

    @pytest.fixture
    def stub(self) -> Iterator[QdrantStub]:
        with qdrant_stub(version="1.15.4") as served:
            yield served

    def test_there_and_back_from_where_the_embeddings_are(
        self, run: Upload, stub: QdrantStub, old: Path, out: Path, beside: UploadOptions, client: QdrantClient
    ) -> None:
        result = run(options=beside)
        assert aliases_of(client) == {"docs": "docs-4d"}
        there = f"qembed upload {out}/c_embeddings.jsonl --url {stub.url} --alias docs"  # where the notes are
        assert (result.back, result.later) == (f"{there} --rollback", f"{there} --drop-old")
        with pytest.raises(UsageError, match="knows nothing of where it was"):
            roll_back_alias("docs", url=stub.url)
        assert roll_back_alias("docs", url=stub.url, embeddings=out, dry_run=True).back == "docs-3d"
        assert aliases_of(client) == {"docs": "docs-4d"}
        assert roll_back_alias("docs", url=stub.url, embeddings=out).back == "docs-3d"
        assert aliases_of(client) == {"docs": "docs-3d"}
        assert roll_back_alias("docs", url=stub.url, collection="docs-4d").back == "docs-4d"
        assert drop_old_collection("docs", url=stub.url, embeddings=out, confirm=lambda _: True)
        assert names(client) == {"docs-4d"}

    def test_embeddings_in_a_folder_that_cannot_be_written(
        self,
        run: Upload,
        stub: QdrantStub,
        old: Path,
        out: Path,
        beside: UploadOptions,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        writable = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: path != out and writable(path, mode))
        run(options=beside)
        assert [file.name for file in out.iterdir()] == ["c_embeddings.jsonl"]
        assert roll_back_alias("docs", url=stub.url).back == "docs-3d"


def kill_at(stub: QdrantStub, write: int, *arguments: str) -> None:
    """Run ``qembed upload`` and kill it as a write of points arrives."""
    command = ["upload", *arguments, "--url", stub.url, "--collection", "docs", "--batch-points", "10"]
    process = subprocess.Popen(
        [sys.executable, "-m", "qembed", *command, "--streams", "1", "-q"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    first = stub.writes
    stub.on_write = lambda number: os.kill(process.pid, signal.SIGKILL) if number == first + write else None
    _, said = process.communicate(timeout=120)
    stub.on_write = lambda number: None
    assert process.returncode == -signal.SIGKILL, said.decode()


class TestKilled:
    def test_indexing_is_restored_by_the_next_run(self, out: Path, options: UploadOptions) -> None:
        """Also where the server keeps no notes."""
        with qdrant_stub(version="1.15.4") as stub:
            kill_at(stub, 5, str(out))
            assert stub.given["docs"]["optimizers_config"]["indexing_threshold"] == 0
            result = upload(out, url=stub.url, collection="docs", options=options)
            assert not result.created
            assert stub.given["docs"]["optimizers_config"]["indexing_threshold"] == 20_000
            assert_holds(stub, "docs", out)

    def test_between_making_the_collection_and_holding_its_indexing(
        self, run: Upload, stub: QdrantStub, client: QdrantClient
    ) -> None:
        create_collection(client, "docs", wanted(4, "cosine"), metadata=prefixed({"made_by": "0.1.0"}))
        thresholds: list[int] = []
        stub.on_write = lambda number: thresholds.append(
            stub.given["docs"].get("optimizers_config", {}).get("indexing_threshold")
        )
        assert not run().created
        assert set(thresholds) == {0}
        assert stub.given["docs"]["optimizers_config"]["indexing_threshold"] == 20_000

    def test_in_a_migration_the_alias_stays_until_all_is_there(
        self, run: Upload, stub: QdrantStub, old: Path, out: Path, beside: UploadOptions, client: QdrantClient
    ) -> None:
        kill_at(stub, 5, str(out), "--migrate", "collection")
        assert aliases_of(client) == {"docs": "docs-3d"}
        assert stub.given["docs-4d"]["optimizers_config"]["indexing_threshold"] == 0
        result = run(options=beside)
        assert result.resumed > 0
        assert not result.created
        assert aliases_of(client) == {"docs": "docs-4d"}
        assert stub.given["docs-4d"]["optimizers_config"]["indexing_threshold"] == 20_000
        assert_holds(stub, "docs-4d", out)
        assert roll_back_alias("docs", url=stub.url).back == "docs-3d"


def test_a_real_server(server_url: str, tmp_path: Path) -> None:
    """What the stand-in says of aliases, notes and added vectors, a server must say too."""
    names = ["qembed-test-3d", "qembed-test-4d", "qembed-test"]
    client = QdrantClient(url=server_url, api_key=os.environ.get("QDRANT_API_KEY"), check_compatibility=False)
    out = make_embeddings(tmp_path / "out", 300, dimension=4)
    small = make_embeddings(tmp_path / "small", 300, dimension=3)
    beside = UploadOptions(migrate="collection", into=names[1])
    try:
        upload(small, url=server_url, collection=names[0], options=UploadOptions(alias=names[2]))
        with pytest.raises(DimensionMismatch):
            upload(out, url=server_url, collection=names[2])
        result = upload(out, url=server_url, collection=names[2], options=beside)
        assert (result.alias_before, aliases_of(client)[names[2]]) == (names[0], names[1])
        assert client.get_collection(names[1]).config.optimizer_config.indexing_threshold != 0
        assert roll_back_alias(names[2], url=server_url, embeddings=out).back == names[0]
        as_vector = UploadOptions(migrate="vector", vector="new")
        try:
            upload(out, url=server_url, collection=names[2], options=as_vector)
        except UsageError as error:
            assert "from 1.18 on" in str(error)  # noqa: PT017  # an older server
        else:
            (point,) = client.query_points(names[2], query=[1, 0, 0, 0], using="new", limit=1).points
            assert point.payload
        upload(out, url=server_url, collection=names[2], options=beside)
        assert drop_old_collection(names[2], url=server_url, embeddings=out, confirm=lambda _: True)
        assert not client.collection_exists(names[0])
    finally:
        for name in names[:2]:
            client.delete_collection(name)
