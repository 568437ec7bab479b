"""A collection on a server, and an export of one, as sides of a bench: the numbers are those of the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from bench_folders import FakeReranker, Made, library, oracle
from qdrant_client import QdrantClient, models
from qdrant_stub import QdrantStub, qdrant_stub
from served import fill, plain, upload

from qembed.commands.bench.bench import BenchResult, bench
from qembed.commands.bench.store import as_document, store_bench
from qembed.errors import Mismatch, QembedError, Unreachable, UsageError
from qembed.evaluation.systems.rows import Row
from qembed.index.server.retry import Patience
from qembed.store import Keys

QUERIES = r"POST /collections/docs/points/query"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting; no key from outside."""
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    monkeypatch.setattr("qembed.index.server.served.PATIENCE", Patience(limit_seconds=0.0))


@pytest.fixture
def stub() -> Iterator[QdrantStub]:
    with qdrant_stub() as served:
        yield served


@pytest.fixture
def shelf(tmp_path: Path) -> Made:
    return library(tmp_path, level="page")


def run(made: Made, embeddings: Path | str | None = None, **options: Any) -> BenchResult:
    return bench(embeddings or made.embeddings, made.eval_set, made.options(**options))


def baseline(made: Made, embeddings: Path | str) -> dict[str, Any]:
    return {"baseline": embeddings, "baseline_query_vectors": made.query_vectors}


def row_of(result: BenchResult, name: str) -> Row:
    return next(row for row in result.rows if row.system.name == name)


def assert_same_numbers(one: BenchResult, other: BenchResult) -> None:
    assert [row.system.name for row in one.rows] == [row.system.name for row in other.rows]
    for found, wanted in zip(one.rows, other.rows, strict=True):
        assert found.values.equals(wanted.values)
        assert found.comparisons == wanted.comparisons
        for query, scores in wanted.system.run.items():
            assert found.system.run[query] == pytest.approx(scores, abs=1e-6)


class TestServer:
    def test_in_place_the_numbers_are_those_of_the_file(self, shelf: Made, stub: QdrantStub) -> None:
        address = upload(stub.url, shelf.embeddings)
        result = run(shelf, **baseline(shelf, address))
        assert_same_numbers(result, run(shelf, **baseline(shelf, shelf.embeddings)))
        side = result.sides[1]
        assert (side.index.name, side.index.exact, side.ann_recall(10)) == ("server", False, 1.0)
        assert stub.requests(QUERIES)

    def test_the_first_side_too(self, shelf: Made, stub: QdrantStub) -> None:
        result = run(shelf, upload(stub.url, shelf.embeddings))
        assert_same_numbers(result, run(shelf))

    def test_an_index_that_is_named_searches_a_copy(self, shelf: Made, stub: QdrantStub) -> None:
        result = run(shelf, index="exact", **baseline(shelf, upload(stub.url, shelf.embeddings)))
        assert_same_numbers(result, run(shelf, index="exact", **baseline(shelf, shelf.embeddings)))
        assert result.sides[1].index.exact
        assert not stub.requests(QUERIES)

    def test_the_time_is_that_of_one_request(self, shelf: Made, stub: QdrantStub) -> None:
        address = upload(stub.url, shelf.embeddings)
        run(shelf, **baseline(shelf, address), latency_queries=0)
        untimed = len(stub.requests(QUERIES))
        result = run(shelf, **baseline(shelf, address), latency_queries=3)
        assert row_of(result, "baseline").stages["retrieve"].queries == 3
        timed = len(stub.requests(QUERIES)) - 2 * untimed
        assert 3 <= timed <= 6  # each query once, and the warming up

    def test_what_the_graph_misses_is_counted(
        self, shelf: Made, stub: QdrantStub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that never finds the nearest page."""
        address = upload(stub.url, shelf.embeddings)
        whole = stub.db.query_points

        def lossy(*args: Any, limit: int, **more: Any) -> Any:
            answer = whole(*args, limit=limit + 1, **more)
            answer.points = answer.points[1:]
            return answer

        monkeypatch.setattr(stub.db, "query_points", lossy)
        result = run(shelf, **baseline(shelf, address))
        recall = result.sides[1].ann_recall(1)
        assert recall < 1
        assert as_document(result)["sides"][1]["ann_recall"]["1"] == recall
        assert row_of(result, "baseline").estimates["nDCG@10"].mean < result.rows[0].estimates["nDCG@10"].mean

    def test_points_without_texts_are_those_of_the_other_side(self, tmp_path: Path, stub: QdrantStub) -> None:
        shelf = library(tmp_path / "chunks")
        address = upload(stub.url, shelf.embeddings, texts=False)
        result = run(shelf, **baseline(shelf, address))
        assert row_of(result, "baseline").values.equals(result.rows[0].values)

    def test_a_reranker_reads_the_texts(
        self, shelf: Made, stub: QdrantStub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good: Callable[..., Any] = lambda spec, *, options: FakeReranker("good", oracle)  # noqa: E731
        monkeypatch.setattr("qembed.commands.bench.bench.open_reranker", good)
        address = upload(stub.url, shelf.embeddings)
        result = run(shelf, rerankers=("good",), **baseline(shelf, address))
        wanted = run(shelf, rerankers=("good",), **baseline(shelf, shelf.embeddings))
        assert_same_numbers(result, wanted)


class TestWhatMustBeKnown:
    def test_the_model_is_asked_before_anything_is_read(self, shelf: Made, stub: QdrantStub) -> None:
        address = upload(stub.url, shelf.embeddings)
        stub.log.clear()
        with pytest.raises(UsageError, match="which model made these vectors") as caught:
            run(shelf, baseline=address)
        assert (caught.value.where, caught.value.remedy) == (address, "name it with --baseline-model")
        with pytest.raises(UsageError) as caught:
            run(shelf, address, query_vectors=None)
        assert caught.value.remedy == "name it with --model"
        assert stub.requests("POST /collections/[^/]+/points/(scroll|query)") == []

    def test_several_vectors_are_named_before_anything_is_read(self, shelf: Made, stub: QdrantStub) -> None:
        address = fill(stub.url, {}, {"a": plain(8), "b": plain(4)})
        with pytest.raises(UsageError, match="several vectors: a, b"):
            run(shelf, **baseline(shelf, address))
        assert not stub.requests("POST .*/scroll")

    def test_a_distance_is_refused_before_anything_is_read(self, shelf: Made, stub: QdrantStub) -> None:
        address = fill(stub.url, {}, plain(8, models.Distance.EUCLID))
        for index in ("auto", "exact"):
            with pytest.raises(Mismatch, match="compares by Euclid"):
                run(shelf, index=index, **baseline(shelf, address))
        assert not stub.requests("POST .*/scroll")

    def foreign(self, shelf: Made, stub: QdrantStub, **keys: str) -> str:
        """Points of another tool: own ids, and the keys of the payload called otherwise."""
        points: dict[int | str, tuple[Any, dict[str, Any]]] = {}
        for line in (shelf.embeddings / "c_embeddings.jsonl").read_bytes().splitlines():
            record = orjson.loads(line)
            payload = {"body": record["text"], "name": record["id"], **record["metadata"]}
            points[len(points) + 1] = (
                record["embedding"],
                {keys.get(key, key): held for key, held in payload.items()},
            )
        return fill(stub.url, points, plain(len(record["embedding"])))

    def test_keys_that_are_called_otherwise_are_named(self, shelf: Made, stub: QdrantStub) -> None:
        address = self.foreign(shelf, stub)
        with pytest.raises(Mismatch) as caught:
            run(shelf, address)
        assert "1 has no text (keys of the metadata: 'body', 'name'," in caught.value.message
        assert "--text-key" in (caught.value.remedy or "")
        assert (caught.value.where or "").startswith(f"{address}, point 1")
        assert_same_numbers(run(shelf, address, keys=Keys(text="body", id="name")), run(shelf))

    def test_a_chunk_id_that_is_no_name(self, shelf: Made, stub: QdrantStub) -> None:
        """``chunk_id`` that begins again on every page, as splitters write it."""
        points = {n: ([1.0, n], {"chunk_id": f"chunk_{n % 2}", "text": f"t{n}"}) for n in range(4)}
        address = fill(stub.url, points, plain(2))
        with pytest.raises(Mismatch, match="the id 'chunk_0' names several texts") as caught:
            run(shelf, address)
        assert "--id-key id" in (caught.value.remedy or "")


class TestFaults:
    @pytest.mark.parametrize("kind", ["503:0", "drop-before", "401", "html"])
    @pytest.mark.parametrize("on", ["POST .*/scroll", "POST .*/query"])
    def test_a_server_that_disappears(self, shelf: Made, stub: QdrantStub, on: str, kind: str) -> None:
        address = upload(stub.url, shelf.embeddings)
        stub.fault(kind, on=on, times=99)
        with pytest.raises(Unreachable) as caught:
            run(shelf, **baseline(shelf, address))
        assert caught.value.exit_code == 4
        assert caught.value.where == stub.url

    def test_a_failure_that_passes_costs_nothing(
        self, shelf: Made, stub: QdrantStub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        patience = Patience(limit_seconds=60.0, first_seconds=0.0)
        monkeypatch.setattr("qembed.index.server.served.PATIENCE", patience)
        address = upload(stub.url, shelf.embeddings)
        for on in ("GET .*/docs$", "POST .*/count", "POST .*/scroll", "POST .*/query"):
            stub.fault("503:0", "drop-before", "drop-after", on=on)
        result = run(shelf, **baseline(shelf, address))
        assert_same_numbers(result, run(shelf, **baseline(shelf, shelf.embeddings)))


def test_the_key_is_neither_stored_nor_shown(
    shelf: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    key = "a-very-secret-key"
    monkeypatch.setenv("QDRANT_API_KEY", key)
    with qdrant_stub(api_key=key) as stub:
        address = upload(stub.url, shelf.embeddings)
        folder = store_bench(run(shelf, **baseline(shelf, address)), tmp_path / "reports")
    stored = json.loads((folder / "bench.json").read_bytes())
    assert stored["options"]["baseline"] == stored["sides"][1]["embeddings"] == address
    assert stored["sides"][1]["read_as"] == (
        "points of a collection: id from payload.chunk_id, vector from vector, text from payload.text"
    )
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes(), path
    assert key not in "".join(capfd.readouterr())


class TestExports:
    """What comes out of a collection is what went in, whichever way it was exported."""

    def scrolled(self, shelf: Made, stub: QdrantStub) -> list[dict[str, Any]]:
        address = upload(stub.url, shelf.embeddings)
        client = QdrantClient(url=stub.url, check_compatibility=False)
        pages, after = [], None
        while True:
            points, after = client.scroll("docs", limit=16, offset=after, with_vectors=True)
            pages.append({"result": {"points": [p.model_dump() for p in points], "next_page_offset": after}})
            if after is None:
                assert address.endswith("/docs")
                client.close()
                return pages

    @pytest.mark.parametrize("form", ["a page", "pages", "list", "lines", "parquet", "flat parquet"])
    def test_the_numbers_are_those_of_the_file(
        self, shelf: Made, stub: QdrantStub, tmp_path: Path, form: str
    ) -> None:
        pages = self.scrolled(shelf, stub)
        points = [point for page in pages for point in page["result"]["points"]]
        path = tmp_path / ("dump.parquet" if "parquet" in form else "dump.json")
        if "parquet" in form:
            self.as_parquet(points, path, flat=form.startswith("flat"))
        else:
            values: list[Any] = {
                "a page": [{"result": {"points": points}}],
                "pages": pages,
                "list": [points],
                "lines": points,
            }[form]
            path.write_bytes(b"\n".join(map(orjson.dumps, values)))
        result = run(shelf, **baseline(shelf, path))
        assert_same_numbers(result, run(shelf, **baseline(shelf, shelf.embeddings)))
        assert "id from payload.chunk_id" in result.sides[1].read_as or form == "flat parquet"

    def as_parquet(self, points: list[dict[str, Any]], path: Path, *, flat: bool) -> None:
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        columns: dict[str, Any] = {
            "id": pa.array([point["id"] for point in points], pa.uint64()),
            "vector": [np.asarray(point["vector"], np.float32) for point in points],
        }
        if flat:
            keys = sorted({key for point in points for key in point["payload"]})
            columns |= {key: [point["payload"].get(key) for point in points] for key in keys}
        else:
            columns["payload"] = [json.dumps(point["payload"]) for point in points]
        pq.write_table(pa.table(columns), path)

    def test_without_vectors_it_is_told_how_to_export_them(self, shelf: Made, tmp_path: Path) -> None:
        path = tmp_path / "dump.json"
        path.write_bytes(orjson.dumps({"result": {"points": [{"id": 1, "payload": {"text": "t"}}]}}))
        with pytest.raises(QembedError, match='"with_vector": true'):
            run(shelf, **baseline(shelf, path))
