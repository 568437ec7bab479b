"""Every fault ends in a clear message or in nothing at all, and in the end every point is right."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models
from qdrant_stub import WRITES, QdrantStub, qdrant_stub
from uploads import assert_holds, held, make_embeddings

from qembed.commands.upload.options import UploadOptions
from qembed.commands.upload.result import UploadResult
from qembed.corpus import point_id
from qembed.errors import CheckFailed, DimensionMismatch, InputNotFound, Mismatch, QembedError, Unreachable
from qembed.index.server.address import Address
from qembed.index.server.client import connect
from qembed.index.server.journal import journal_path, only_one
from qembed.progress import Progress

Upload = Callable[..., UploadResult]

PASSING = (
    *("429:0", "429", "429:date", "500", "502", "503", "503:0", "504", "408"),
    *("drop-before", "drop-after", "half", "half-500", "slow:0.05"),
)


def journal_of(stub: QdrantStub, out: Path) -> Path:
    return journal_path(out / "c_embeddings.jsonl", str(Address.of(stub.url, "docs")))


class TestPassing:
    """Faults that pass: the upload goes on, and says how often it tried again."""

    @pytest.mark.parametrize("fault", PASSING)
    def test_each(self, run: Upload, stub: QdrantStub, out: Path, fault: str) -> None:
        stub.fault(fault, number=3)
        result = run()
        assert result.retried == (0 if fault.startswith("slow") else 1)
        assert_holds(stub, "docs", out)

    def test_all_at_once(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        stub.fault(*PASSING)
        assert run().retried == len(PASSING) - 1
        assert_holds(stub, "docs", out)

    @pytest.mark.parametrize("fault", ["503", "drop-before", "drop-after", "429:0"])
    @pytest.mark.parametrize(
        "on",
        [
            "GET /collections/docs/exists$",
            "PUT /collections/docs$",
            "GET /collections/docs$",
            "PUT /collections/docs/index$",
            "PATCH /collections/docs$",
            "GET /aliases$",
            "POST /collections/docs/points$",
            "POST /collections/docs/points/count$",
        ],
    )
    def test_any_request_after_the_first(
        self, run: Upload, stub: QdrantStub, out: Path, options: UploadOptions, on: str, fault: str
    ) -> None:
        second = on.endswith("exists$")  # the first one tells at once that the server is not there
        stub.fault(fault, on=on, number=2 if second else 1)
        run(options=replace(options, index_fields=("subdirectory",)))
        assert_holds(stub, "docs", out)

    def test_the_server_says_how_long(
        self, run: Upload, stub: QdrantStub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[float] = []
        monkeypatch.setattr(
            "qembed.commands.upload.connection.Retries.wait", lambda self, seconds: waits.append(seconds)
        )
        stub.fault("429:7", "503:3", number=1)
        run()
        assert sorted(map(int, waits)) == [3, 7]

    def test_an_answer_that_comes_too_late(
        self, run: Upload, stub: QdrantStub, out: Path, options: UploadOptions
    ) -> None:
        """The batch is applied after it was sent a second time."""
        stub.fault("slow:1.3", number=3)
        assert run(options=replace(options, timeout_seconds=1)).retried == 1
        assert_holds(stub, "docs", out)

    def test_a_server_that_restarts(
        self, out: Path, options: UploadOptions, run: Upload, stub: QdrantStub
    ) -> None:
        """It is gone in the middle, and comes back with its data on the same port."""
        with qdrant_stub() as other:
            port = int(other.url.rpartition(":")[2])
        with ExitStack() as servers:
            first = servers.enter_context(ExitStack())
            served = first.enter_context(qdrant_stub(port=port))

            def restart() -> None:
                first.close()
                servers.enter_context(qdrant_stub(served, port=port))

            served.on_write = lambda number: threading.Thread(target=restart).start() if number == 4 else None
            run(url=served.url)
            assert_holds(served, "docs", out)


class TestTooLarge:
    @pytest.mark.parametrize(
        ("limit", "value"), [("limit_bytes", 3000), ("limit_points", 3), ("limit_rate", 4)]
    )
    def test_a_batch_is_halved(
        self, run: Upload, stub: QdrantStub, out: Path, options: UploadOptions, limit: str, value: int
    ) -> None:
        """In bytes, in points under strict mode, and by a rate limit; also what is read, and `--prune`."""
        setattr(stub, limit, value)
        result = run(options=replace(options, prune=True))
        assert result.halved > 0
        assert (result.sent, result.retried) == (100, 0)
        assert_holds(stub, "docs", out)
        refused = [request for request in stub.requests(WRITES) if request.status != 200]
        assert 1 <= len(refused) <= 8  # later batches are made smaller before they are sent

    def test_a_server_that_answers_before_it_has_read(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        stub.limit_bytes, stub.answers_early = 3000, True
        assert run().halved > 0
        assert_holds(stub, "docs", out)

    def test_a_proxy_says_413(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        stub.fault("413", number=3)
        assert run().halved > 0
        assert_holds(stub, "docs", out)

    def test_a_point_that_is_too_large_is_named(self, run: Upload, stub: QdrantStub) -> None:
        stub.limit_bytes = 200
        with pytest.raises(Mismatch, match=r"the point of 'c:docs:page\d+.md:chunk:0' takes") as failed:
            run()
        assert failed.value.exit_code == 5
        assert "max_request_size_mb" in str(failed.value)


class TestEnding:
    """Faults that do not pass: a message and an exit code; the same upload again ends well."""

    @pytest.mark.parametrize(
        ("fault", "kind", "code", "words"),
        [
            ("401", Unreachable, 4, "QDRANT_API_KEY"),
            ("403", Unreachable, 4, "QDRANT_API_KEY"),
            ("400", Mismatch, 5, "the server refuses a request (400: asked to fail with 400)"),
            ("422", Mismatch, 5, "the server refuses a request (422: asked to fail with 422)"),
            ("html", Unreachable, 4, "does not answer like Qdrant's REST API"),
            ("disk-full", QembedError, 1, "the disk of the server is full"),
            ("507", QembedError, 1, "the disk of the server is full"),
        ],
    )
    def test_in_the_middle(
        self,
        run: Upload,
        stub: QdrantStub,
        out: Path,
        fault: str,
        kind: type[QembedError],
        code: int,
        words: str,
    ) -> None:
        stub.fault(fault, number=5)
        with pytest.raises(kind) as failed:
            run()
        assert failed.value.exit_code == code
        assert words in str(failed.value)
        assert "next:" in str(failed.value) or code == 5
        assert stub.given["docs"]["optimizers_config"]["indexing_threshold"] == 20_000  # restored
        again = run()
        assert again.resumed > 0
        assert again.sent + again.unchanged == 100
        assert_holds(stub, "docs", out)
        assert not journal_of(stub, out).exists()

    def test_gone_for_good(self, out: Path, run: Upload, options: UploadOptions) -> None:
        with ExitStack() as server:
            served = server.enter_context(qdrant_stub())
            port = int(served.url.rpartition(":")[2])
            served.on_write = lambda number: (
                threading.Thread(target=server.close).start() if number == 4 else None
            )
            with pytest.raises(Unreachable, match=r"tried \d+ times in \d+ s and still fails") as failed:
                run(url=served.url, options=replace(options, patience_seconds=0.5))
            assert "it resumes" in str(failed.value)
        served.on_write = lambda number: None
        with qdrant_stub(served, port=port):
            result = run(url=served.url)
            assert result.resumed > 0
            assert_holds(served, "docs", out)
            # Nobody could restore the indexing when the server was gone: the next upload does.
            assert served.given["docs"]["optimizers_config"]["indexing_threshold"] == 20_000

    def test_not_there_at_all_is_said_at_once(self, run: Upload) -> None:
        with qdrant_stub() as gone:
            url = gone.url
        with pytest.raises(Unreachable, match="cannot be reached") as failed:
            run(url=url)
        assert "tried" not in str(failed.value)
        assert f"curl {url}/readyz" in str(failed.value)

    def test_red_after_loading(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        stub.on_write = lambda number: stub.statuses.update(docs=["yellow", "red"])
        with pytest.raises(QembedError, match="No space left on device") as failed:
            run()
        assert failed.value.exit_code == 1
        stub.on_write = lambda number: None
        run()
        assert_holds(stub, "docs", out)

    def test_yellow_for_too_long_is_said(self, run: Upload, stub: QdrantStub, options: UploadOptions) -> None:
        stub.on_write = lambda number: stub.statuses.update(docs=["yellow"] * 99)
        notes: list[str] = []

        class Noting(Progress):
            def note(self, message: str) -> None:
                notes.append(message)

        result = run(options=replace(options, green_seconds=0), progress=Noting())
        assert not result.green
        assert any("still indexing" in note for note in notes)

    def test_another_collection_takes_the_name_meanwhile(
        self, run: Upload, stub: QdrantStub, options: UploadOptions
    ) -> None:
        """Its vectors have another dimension: nothing is written into it any more."""

        def swap(number: int) -> None:
            if number == 5:
                stub.db.delete_collection("docs")
                stub.db.create_collection(
                    "docs", models.VectorParams(size=8, distance=models.Distance.COSINE)
                )

        stub.on_write = swap
        with pytest.raises(DimensionMismatch, match="vectors of 8 dimensions, these have 4"):
            run(options=replace(options, streams=1))
        assert stub.db.count("docs").count == 0

    def test_the_collection_is_deleted_meanwhile(
        self, run: Upload, stub: QdrantStub, options: UploadOptions, out: Path
    ) -> None:
        stub.on_write = lambda number: stub.db.delete_collection("docs") if number == 5 else None
        with pytest.raises(InputNotFound, match="no collection 'docs'"):
            run(options=replace(options, streams=1))
        stub.on_write = lambda number: None
        result = run()  # the journal claims 40 points that are gone
        assert result.created
        assert result.sent == 100
        assert_holds(stub, "docs", out)

    def test_somebody_deletes_points_meanwhile(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        lost = point_id("c:docs:page0.md:chunk:0")
        stub.on_write = lambda number: (
            stub.db.delete("docs", models.PointIdsList(points=[lost])) if number == 10 else None
        )
        with pytest.raises(
            CheckFailed, match="1 of 100 points on the server are missing or differ"
        ) as failed:
            run()
        assert failed.value.exit_code == 3
        stub.on_write = lambda number: None
        result = run()
        assert (result.sent, result.resumed) == (1, 99)
        assert_holds(stub, "docs", out)

    def test_somebody_puts_another_point_in_its_place(self, run: Upload, stub: QdrantStub) -> None:
        """The count is right, the points are not."""
        lost = models.PointIdsList(points=[point_id("c:docs:page0.md:chunk:0")])

        def swap(number: int) -> None:
            if number == 10:
                stub.db.upsert("docs", [models.PointStruct(id=1, vector=[1, 0, 0, 0])])
                stub.db.delete("docs", lost)

        stub.on_write = swap
        with pytest.raises(CheckFailed, match="1 of 100 points on the server are missing or differ"):
            run()

    def test_a_server_that_spoils_vectors_is_found(self, run: Upload, stub: QdrantStub) -> None:
        spoilt = models.PointVectors(id=point_id("c:docs:page50.md:chunk:0"), vector=[1, 0, 0, 0])
        stub.on_write = lambda number: stub.db.update_vectors("docs", [spoilt]) if number == 10 else None
        with pytest.raises(
            CheckFailed, match=r"1 of 100 points read back differ .*'c:docs:page50\.md:chunk:0'"
        ):
            run()

    def test_a_server_that_spoils_payloads_is_found(self, run: Upload, stub: QdrantStub) -> None:
        stub.on_write = lambda number: (
            stub.db.set_payload("docs", {"text": "?"}, points=[point_id("c:docs:page50.md:chunk:0")])
            if number == 10
            else None
        )
        with pytest.raises(CheckFailed, match=r"payload differs in \['text'\]"):
            run()


class TestEmbeddingsChange:
    def test_between_two_uploads(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        stub.fault("400", number=6)
        with pytest.raises(Mismatch):
            run()
        make_embeddings(out, 100, seed=1)
        notes: list[str] = []

        class Noting(Progress):
            def note(self, message: str) -> None:
                notes.append(message)

        result = run(progress=Noting())
        assert (result.sent, result.resumed) == (100, 0)
        assert any("have changed since the interrupted upload" in note for note in notes)
        assert_holds(stub, "docs", out)

    @pytest.mark.parametrize("count", [100, 90, 110])
    def test_while_it_runs(self, run: Upload, stub: QdrantStub, out: Path, count: int) -> None:
        stub.on_write = lambda number: make_embeddings(out, count, seed=2) and None if number == 2 else None
        with pytest.raises(Mismatch, match="have changed while they were uploaded"):
            run()
        stub.on_write = lambda number: None
        make_embeddings(out, 100, seed=2)
        run()
        assert_holds(stub, "docs", out)

    def test_while_it_runs_by_a_byte(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        """Nothing that is read shows it."""
        file = out / "c_embeddings.jsonl"

        def change(number: int) -> None:
            if number == 2:
                file.write_bytes(file.read_bytes().replace(b"chunk 99 of", b"chunk 98 of"))

        stub.on_write = change
        with pytest.raises(Mismatch, match="have changed while they were uploaded"):
            run()


class TestJournal:
    @pytest.fixture
    def interrupted(self, run: Upload, stub: QdrantStub, out: Path) -> Path:
        """Its journal, when some batches are on the server."""
        stub.fault("400", number=7)
        with pytest.raises(Mismatch):
            run()
        journal = journal_of(stub, out)
        assert len(journal.read_text().splitlines()) >= 5
        return journal

    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: data[:-3],
            lambda data: data + b'{"first": 60, "la',
            lambda data: data.replace(b'{"first":0', b'\xff\x00"first":0'),
            lambda data: data + b'{"first": 0, "last": 99}\n',  # a lie
            lambda data: data + b'{"first": -5, "last": 500000}\n',
            lambda data: b"",
            lambda data: b"\x00" * 300,
            lambda data: data[5:],
        ],
        ids=["torn", "half a line", "garbage", "a lie", "out of range", "empty", "zeros", "no head"],
    )
    def test_damaged(
        self, run: Upload, stub: QdrantStub, out: Path, interrupted: Path, damage: Callable[[bytes], bytes]
    ) -> None:
        interrupted.write_bytes(damage(interrupted.read_bytes()))
        result = run()
        assert result.sent + result.unchanged == 100
        assert_holds(stub, "docs", out)
        assert not interrupted.exists()

    def test_a_torn_line_does_not_spoil_the_next(
        self, run: Upload, stub: QdrantStub, out: Path, interrupted: Path
    ) -> None:
        """One batch of ten is claimed, so there is a third write, and what it did not end is written down."""
        head, claim, torn, *_ = interrupted.read_bytes().splitlines(keepends=True)
        interrupted.write_bytes(head + claim + torn[:-3])
        stub.fault("400", number=3)
        with pytest.raises(Mismatch):
            run()
        lines = interrupted.read_text().splitlines()
        assert len(lines) > 2
        assert all(json.loads(line).keys() == {"first", "last"} for line in lines[1:])

    def test_a_server_whose_vectors_are_others_than_its_hashes(
        self, run: Upload, stub: QdrantStub, out: Path, interrupted: Path, options: UploadOptions
    ) -> None:
        """Somebody wrote vectors alone. No journal is believed again, so the next upload mends it."""
        stub.db.update_vectors(
            "docs", [models.PointVectors(id=id, vector=[1.0, 0.0, 0.0, 0.0]) for id in held(stub, "docs")]
        )
        with pytest.raises(CheckFailed, match="without --changed-only") as failed:
            run()
        assert "of 100 points read back differ" in str(failed.value)
        assert not interrupted.exists()
        with pytest.raises(CheckFailed, match="without --changed-only"):
            run(options=replace(options, changed_only=True))
        assert run().sent == 100
        assert_holds(stub, "docs", out)

    def test_another_server_has_another_journal(
        self, run: Upload, stub: QdrantStub, out: Path, interrupted: Path
    ) -> None:
        with qdrant_stub() as other:
            assert run(url=other.url).resumed == 0
            assert_holds(other, "docs", out)
        assert interrupted.exists()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_cannot_be_written(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        out.chmod(0o500)
        try:
            run()
        finally:
            out.chmod(0o700)
        assert_holds(stub, "docs", out)

    def test_a_disk_that_is_full_here(
        self, run: Upload, stub: QdrantStub, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(self: object, document: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("qembed.index.server.journal.UploadJournal._append", full)
        notes: list[str] = []

        class Noting(Progress):
            def note(self, message: str) -> None:
                notes.append(message)

        run(progress=Noting())
        assert_holds(stub, "docs", out)
        assert notes == [
            "no journal can be written (No space left on device): after a kill, the upload would start over"
        ]


class TestTwoAtATime:
    def test_the_second_is_refused(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        refused: list[QembedError] = []

        def second(number: int) -> None:
            if number == 3:
                with pytest.raises(
                    QembedError, match="another upload into this collection is running"
                ) as failed:
                    run()
                refused.append(failed.value)

        stub.on_write = second
        run()
        assert [error.exit_code for error in refused] == [1]
        assert_holds(stub, "docs", out)

    def test_another_collection_is_another_matter(self, run: Upload, stub: QdrantStub, out: Path) -> None:
        with only_one(Address.of(stub.url, "other")):
            run()

    def test_a_failed_upload_lets_go(self, run: Upload, stub: QdrantStub) -> None:
        stub.fault("400")
        with pytest.raises(Mismatch):
            run()
        run()


UPLOAD = """
import sys
from qembed.cli import run
sys.exit(run(sys.argv[1:]))
"""


def start(stub: QdrantStub, out: Path, *arguments: str) -> subprocess.Popen[str]:
    line = ["upload", str(out), "--url", stub.url, "--collection", "docs", "--batch-points", "10", *arguments]
    return subprocess.Popen(
        [sys.executable, "-c", UPLOAD, *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


class TestKilled:
    @pytest.mark.parametrize("number", [1, 5, 10])
    def test_at_a_write(self, stub: QdrantStub, out: Path, run: Upload, number: int) -> None:
        processes: list[subprocess.Popen[str]] = []

        def kill(write: int) -> None:
            if write == number:
                processes[0].kill()

        stub.on_write = kill
        processes.append(start(stub, out, "--streams", "1"))
        processes[0].communicate(timeout=60)
        assert processes[0].returncode == -signal.SIGKILL
        assert stub.given["docs"]["optimizers_config"]["indexing_threshold"] == 0
        stub.on_write = lambda write: None
        result = run()
        assert_holds(stub, "docs", out)
        assert result.resumed >= 10 * (number - 2)
        assert stub.given["docs"]["optimizers_config"]["indexing_threshold"] == 20_000

    def test_ctrl_c_ends_it_cleanly(self, stub: QdrantStub, out: Path, run: Upload) -> None:
        processes: list[subprocess.Popen[str]] = []
        stub.on_write = lambda write: processes[0].send_signal(signal.SIGINT) if write == 4 else None
        processes.append(start(stub, out, "--streams", "1"))
        printed, told = processes[0].communicate(timeout=60)
        assert processes[0].returncode == 130
        assert (printed, told.splitlines()[-1]) == ("", "interrupted")
        stub.on_write = lambda write: None
        assert run().resumed > 0
        assert_holds(stub, "docs", out)


@contextmanager
def random_faults(stub: QdrantStub, rng: random.Random, out: list[str]) -> Any:
    """Plan one fault at a random write."""
    fault = "kill" if rng.random() < 0.4 else rng.choice([*PASSING, "disk-full", "401", "html"])
    out.append(fault)
    if fault != "kill":
        stub.fault(fault, number=rng.randint(1, 15))
    yield fault
    stub.faults.clear()
    stub.on_write = lambda number: None


@pytest.mark.slow
def test_forty_random_faults_and_kills(tmp_path: Path, stub: QdrantStub, run: Upload) -> None:
    """QEMBED_UPLOAD names other embeddings, QEMBED_SEED another seed."""
    named = os.environ.get("QEMBED_UPLOAD")
    out = Path(named) if named else make_embeddings(tmp_path / "many", 2000, dimension=32)
    rng = random.Random(int(os.environ.get("QEMBED_SEED", "17")))
    happened: list[str] = []
    while len(happened) < 40:
        with random_faults(stub, rng, happened) as fault:
            process = start(stub, out, "--patience", "20", "--batch-points", "100")
            if fault == "kill":
                at = stub.writes + rng.randint(1, 18)
                stub.on_write = lambda number, at=at, process=process: (  # type: ignore[misc]
                    process.kill() if number >= at else None
                )
            _, told = process.communicate(timeout=300)
            ends = {"kill": -signal.SIGKILL, "disk-full": 1, "401": 4, "html": 4}
            assert process.returncode in (0, ends.get(fault, 0)), (fault, told)
            if process.returncode == 0 and rng.random() < 0.5:
                # Something to do again: points that somebody deleted or changed.
                victims = rng.sample(sorted(held(stub, "docs")), 50)
                with suppress(ValueError):
                    stub.db.delete("docs", models.PointIdsList(points=victims))
    assert run(out, options=UploadOptions()).records == len(held(stub, "docs"))
    assert_holds(stub, "docs", out)
    print(f"faults: {happened}")  # noqa: T201


@pytest.mark.parametrize("name", ["qembed-test-upload"])
def test_a_real_server(server_url: str, tmp_path: Path, name: str) -> None:
    from qembed.commands.upload.upload import upload

    client = connect(Address.of(server_url, name))
    client.delete_collection(name)
    try:
        out = make_embeddings(tmp_path / "out", 500, dimension=32)
        result = upload(out, url=server_url, collection=name)
        assert (result.sent, result.other_points, result.green) == (500, 0, True)
        again = upload(out, url=server_url, collection=name, options=UploadOptions(changed_only=True))
        assert (again.sent, again.unchanged) == (0, 500)
    finally:
        client.delete_collection(name)
