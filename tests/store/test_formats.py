"""Embeddings in every format and in shards: what is written comes back bit for bit; damage is named."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qembed.corpus.normal import normal_form
from qembed.errors import InputNotFound, QembedError, UsageError
from qembed.store import (
    FORMATS,
    BadLine,
    Format,
    Keys,
    OutputFile,
    Record,
    find_embeddings,
    open_writer,
    parquet,
    read_records,
    record_line,
    written_files,
)
from qembed.store.formats import collection_of, rows

REPOSITORY = Path(__file__).parents[2]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.lists(
    st.tuples(TEXT, TEXT, st.lists(FLOATS, min_size=3, max_size=3), st.dictionaries(TEXT, JSON, max_size=3)),
    max_size=12,
)
each_format = pytest.mark.parametrize(
    "format",
    [
        pytest.param(
            name, marks=pytest.mark.skipif(name == "parquet" and not parquet_there, reason="pyarrow")
        )
        for parquet_there in [bool(__import__("importlib.util").util.find_spec("pyarrow"))]
        for name in FORMATS
    ],
)


def some(count: int, dimension: int = 3) -> list[tuple[str, str, Any, dict[str, Any]]]:
    numbers = np.random.default_rng(count).standard_normal((count, dimension)).astype(np.float32)
    return [(f"c:{at}", f"größe {at}", numbers[at], {"n": at, "a": [{}]}) for at in range(count)]


def write(
    folder: Path,
    format: Format,
    records: list[tuple[str, str, Any, dict[str, Any]]],
    *,
    block: int = 4,
    shard_records: int | None = None,
    dimension: int = 3,
) -> tuple[OutputFile, ...]:
    with open_writer(
        format, folder, "c", dimension=dimension, records=len(records), shard_records=shard_records
    ) as writer:
        for start in range(0, len(records), block):
            ids, texts, vectors, metadatas = zip(*records[start : start + block], strict=True)
            writer.add(ids, texts, np.array(vectors, dtype=np.float32), metadatas)
        return writer.close()


def read(path: Path) -> list[Record | BadLine]:
    return [record for part in find_embeddings(path).parts for record in read_records(part)]


def comparable(record: Record | BadLine) -> tuple[Any, ...]:
    assert isinstance(record, Record), record
    return record.id, record.text, record.vector.tobytes(), record.vector.dtype, record.metadata


@each_format
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(records=RECORDS, block=st.integers(1, 7), shard_records=st.none() | st.integers(1, 13))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    format: Format,
    records: list[Any],
    block: int,
    shard_records: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("formats")
    written = write(folder, format, records, block=block, shard_records=shard_records)
    expected = [
        (name, text, np.array(vector, np.float32).tobytes(), np.float32, normal_form(metadata))
        for name, text, vector, metadata in records
    ]
    assert [comparable(record) for record in read(folder)] == expected
    assert [file.name for file in written_files(folder, "c")] == sorted(file.name for file in written)
    for file in written:
        content = (folder / file.name).read_bytes()
        assert (file.bytes, file.sha256) == (len(content), sha256(content).hexdigest())
    vectors = [file for file in written if not file.name.endswith(".ids.jsonl")]
    assert sum(file.records for file in vectors) == len(records)
    if shard_records:
        assert [file.records for file in vectors[:-1]] == [shard_records] * (len(vectors) - 1)
        assert vectors[-1].records <= shard_records
    found = find_embeddings(folder)
    assert [file.name for file in found.files] == [file.name for file in written]
    for part in found.parts:
        for line, record in enumerate(read_records(part), start=1):
            assert record.line == line


def test_json_lines_are_those_of_record_line(tmp_path: Path) -> None:
    records = some(300)
    (file,) = write(tmp_path, "jsonl", records, block=77)
    assert (tmp_path / file.name).read_bytes() == b"".join(record_line(*record) for record in records)
    assert file.name == "c_embeddings.jsonl"


def test_shards_joined_are_the_file_without_shards(tmp_path: Path) -> None:
    records = some(10)
    names = [file.name for file in write(tmp_path, "jsonl", records, shard_records=4)]
    assert names == [f"c_embeddings-0000{at}-of-00003.jsonl" for at in (1, 2, 3)]
    joined = b"".join((tmp_path / name).read_bytes() for name in names)
    assert joined == b"".join(record_line(*record) for record in records)


def test_npy_is_what_numpy_reads(tmp_path: Path) -> None:
    records = some(10)
    write(tmp_path, "npy", records)
    vectors = np.load(tmp_path / "c_embeddings.npy")
    assert vectors.dtype == np.float32
    assert vectors.tobytes() == np.array([record[2] for record in records]).tobytes()
    lines = (tmp_path / "c_embeddings.ids.jsonl").read_bytes().splitlines()
    assert orjson.loads(lines[3]) == {"id": "c:3", "text": "größe 3", "metadata": {"n": 3, "a": [{}]}}


def test_parquet_is_what_pyarrow_and_pandas_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa = pytest.importorskip("pyarrow")
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 4 * 3 * 4)  # four vectors
    records = some(10)
    write(tmp_path, "parquet", records, block=7)
    import pyarrow.parquet as pq

    with pq.ParquetFile(tmp_path / "c_embeddings.parquet") as file:
        assert [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)] == [4, 4, 2]
        table = file.read()
    assert table.schema.names == ["id", "text", "embedding", "metadata"]
    kind = table.schema.field("embedding").type
    assert (kind.list_size, kind.value_type) == (3, pa.float32())
    expected = np.array([record[2] for record in records])
    assert np.array_equal(np.stack(table["embedding"].to_numpy()), expected)
    assert orjson.loads(table["metadata"][3].as_py()) == records[3][3]


def test_parquet_holds_one_row_group_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 4 * 64 * 4)  # four vectors
    ids, texts, vectors, metadatas = zip(*some(21, 64), strict=True)
    with open_writer("parquet", tmp_path, "c", dimension=64, records=22) as writer:
        writer.add(ids, texts, np.array(vectors), metadatas)
        with pytest.raises(ValueError, match="did not come"):
            writer.close()
    written = (tmp_path / "c_embeddings.parquet").read_bytes()
    assert [at for at, vector in enumerate(vectors) if vector.tobytes() not in written] == [20]


def test_the_memory_of_the_caller_may_be_used_again(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for format in FORMATS:
        folder = tmp_path / format
        folder.mkdir()
        buffer = np.empty((1, 3), np.float32)
        with open_writer(format, folder, "c", dimension=3, records=50) as writer:
            for at in range(50):
                buffer[:] = at
                writer.add([str(at)], ["t"], buffer, [{}])
            writer.close()
        vectors = [record.vector[0] for record in read(folder) if isinstance(record, Record)]
        assert vectors == list(range(50)), format


def test_mapped_vectors_are_written_as_they_are(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "v.f32", np.float32, "w+", shape=(4, 3))
    mapped[:] = np.arange(12).reshape(4, 3)
    with open_writer("jsonl", tmp_path, "c", dimension=3, records=4) as writer:
        writer.add("abcd", "tuvw", mapped, [{}] * 4)
        writer.close()
    assert [
        record.vector.tolist() for record in read(tmp_path) if isinstance(record, Record)
    ] == mapped.tolist()


@each_format
def test_promises_are_kept(tmp_path: Path, format: Format) -> None:
    ids, texts, vectors, metadatas = zip(*some(3), strict=True)
    with open_writer(format, tmp_path, "c", dimension=3, records=4) as writer:
        writer.add(ids, texts, np.array(vectors), metadatas)
        with pytest.raises(ValueError, match="1 more were promised"):
            writer.add(ids, texts, np.array(vectors), metadatas)
        with pytest.raises(ValueError, match="1 records that were promised did not come"):
            writer.close()
        with pytest.raises(ValueError, match="1 ids"):
            writer.add(ids[:1], texts[:1], np.zeros((1, 4), np.float32), metadatas[:1])
        with pytest.raises(ValueError, match="1 ids"):
            writer.add(ids[:1], texts, np.zeros((1, 3), np.float32), metadatas[:1])


def test_a_shard_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 1 record"):
        open_writer("jsonl", tmp_path, "c", dimension=3, records=4, shard_records=0)


def test_parquet_without_pyarrow_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "c_embeddings.parquet").touch()
    for attempt in (
        lambda: open_writer("parquet", tmp_path, "c", dimension=3, records=4),
        lambda: read(tmp_path),
    ):
        with pytest.raises(UsageError, match="pyarrow") as caught:
            attempt()
        assert "pip install pyarrow" in str(caught.value.remedy)


@pytest.mark.parametrize("module", ["qembed.store", "qembed.store.audit.report"])
def test_pyarrow_is_not_loaded_before_it_is_needed(module: str) -> None:
    code = f"import sys, {module}; sys.exit('pyarrow' in sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
    )


class TestFullDisk:
    @each_format
    @pytest.mark.parametrize("limit", [0, 50, 5_000])
    def test_it_is_an_error_that_names_the_file(self, tmp_path: Path, format: Format, limit: int) -> None:
        """A limit on the size of a file stands for the disk."""
        resource = pytest.importorskip("resource")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(QembedError, match="cannot write") as caught:
                write(tmp_path, format, some(200, 64), dimension=64)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert "c_embeddings" in str(caught.value.where)
        assert "make room" in str(caught.value.remedy)

    @each_format
    def test_a_writer_that_is_left_early_leaves_no_thread(self, tmp_path: Path, format: Format) -> None:
        import threading

        with (
            suppress(KeyboardInterrupt),
            open_writer(format, tmp_path, "c", dimension=3, records=9) as writer,
        ):
            writer.add(["a"], ["b"], np.ones((1, 3), np.float32), [{}])
            raise KeyboardInterrupt
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("qembed-write")]


class TestDamage:
    def test_an_array_cut_at_every_byte(self, tmp_path: Path) -> None:
        write(tmp_path, "npy", some(4))
        file = tmp_path / "c_embeddings.npy"
        whole = file.read_bytes()
        start = len(whole) - 4 * 3 * 4
        for length in range(0, len(whole), 3):
            file.write_bytes(whole[:length])
            found = read(tmp_path)
            left = max(0, (length - start) // 12)
            assert [isinstance(record, Record) for record in found[:left]] == [True] * left
            kinds = {record.kind for record in found[left:] if isinstance(record, BadLine)}
            assert kinds == {"cut-off" if length >= start else "not-readable"}, length

    def test_any_flipped_byte_of_an_arrays_header(self, tmp_path: Path) -> None:
        """It is named, or leaves every record as it was; never more findings than there are rows."""
        write(tmp_path, "npy", some(4))
        expected = [comparable(record) for record in read(tmp_path)]
        file = tmp_path / "c_embeddings.npy"
        whole = file.read_bytes()
        for at in range(len(whole) - 4 * 3 * 4):
            for bit in range(8):
                file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
                found = read(tmp_path)
                assert len(found) <= 5
                if all(isinstance(record, Record) for record in found):
                    same = [comparable(record) for record in found] == expected
                    types_or_shape = whole[at : at + 1] in b"<>f4=|3"
                    assert same or types_or_shape, at

    def test_more_rows_than_ids_and_the_reverse(self, tmp_path: Path) -> None:
        write(tmp_path, "npy", some(4))
        ids = tmp_path / "c_embeddings.ids.jsonl"
        lines = ids.read_bytes().splitlines(keepends=True)
        ids.write_bytes(b"".join(lines[:2]))
        kinds = [getattr(record, "kind", "") for record in read(tmp_path)]
        assert kinds == ["", "", "no-id", "no-id"]
        ids.write_bytes(b"".join([*lines, lines[0], b"[]\n", b"?\n"]))
        kinds = [getattr(record, "kind", "") for record in read(tmp_path)]
        assert kinds == ["", "", "", "", "no-vector", "no-vector", "not-json"]

    @pytest.mark.parametrize(
        "array",
        [np.zeros(3, np.float32), np.zeros((2, 0)), np.zeros((2, 2), np.int8), np.zeros((2, 3), order="F")],
    )
    def test_arrays_of_another_form(self, tmp_path: Path, array: Any) -> None:
        np.save(tmp_path / "c_embeddings.npy", array)
        (tmp_path / "c_embeddings.ids.jsonl").write_bytes(b'{"id": 1}\n{"id": 2}\n')
        (bad,) = read(tmp_path)
        assert isinstance(bad, BadLine)
        assert bad.kind == "not-readable"
        assert "not floats of shape (records, dimension)" in bad.reason

    def test_half_precision_of_another_tool(self, tmp_path: Path) -> None:
        np.save(tmp_path / "v.npy", np.array([[0.5, 2], [1, 3]], np.float16))
        (tmp_path / "v.ids.jsonl").write_bytes(b'{"id": 1}\n{"id": 2}\n')
        found = [comparable(record) for record in read(tmp_path / "v.npy")]
        assert found[1] == (2, None, np.float32([1, 3]).tobytes(), np.float32, {})

    @pytest.mark.parametrize("length", [0, 3, 100, 600, -20, -1])
    def test_a_parquet_file_that_is_cut_off(self, tmp_path: Path, length: int) -> None:
        pytest.importorskip("pyarrow")
        write(tmp_path, "parquet", some(40))
        file = tmp_path / "c_embeddings.parquet"
        file.write_bytes(file.read_bytes()[:length])
        (bad,) = read(tmp_path)
        assert isinstance(bad, BadLine)
        assert bad.kind == "not-readable"

    def test_no_flipped_byte_of_parquet_gives_a_wrong_record(self, tmp_path: Path) -> None:
        """Of the pages, that is; the file's own description of itself has no checksum."""
        pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        records = some(12)
        write(tmp_path, "parquet", records)
        file = tmp_path / "c_embeddings.parquet"
        whole = file.read_bytes()
        with pq.ParquetFile(file) as opened:
            columns = opened.metadata.row_group(0)
            column = columns.column(2)  # the vectors
            start, size = column.data_page_offset, column.total_compressed_size
        vectors = whole.index(records[0][2].tobytes(), start)
        assert vectors < start + size
        for at in range(vectors, start + size, 7):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
            assert [getattr(record, "kind", "") for record in read(tmp_path)] == ["not-readable"], at


class TestParquetOfOtherTools:
    def save(self, folder: Path, **columns: Any) -> list[Record | BadLine]:
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), folder / "x.parquet")
        return read(folder / "x.parquet")

    def test_other_names_and_types(self, tmp_path: Path) -> None:
        found = self.save(
            tmp_path,
            chunk_id=[7, 8],
            vector=[[1.0, 2.0], [3.5]],
            content=["t", None],
            payload=[{"a": 1}, None],
        )
        assert [comparable(record) for record in found] == [
            (7, "t", np.float32([1, 2]).tobytes(), np.float32, {"a": 1}),
            (8, None, np.float32([3.5]).tobytes(), np.float32, {}),
        ]

    def test_metadata_in_a_map(self, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        maps = pa.array([[("lang", "en")], [], None], pa.map_(pa.string(), pa.string()))
        found = self.save(tmp_path, id=["a", "b", "c"], vector=[[1.0]] * 3, metadata=maps)
        assert [isinstance(record, Record) and record.metadata for record in found] == [
            {"lang": "en"},
            {},
            {},
        ]

    def test_points_of_qdrant_with_the_payload_in_columns(self, tmp_path: Path) -> None:
        found = self.save(tmp_path, id=[7], vector=[[1.0]], chunk_id=["c"], text=["t"], page=[None], n=[3])
        assert [comparable(record) for record in found] == [
            ("c", "t", np.float32([1]).tobytes(), np.float32, {"chunk_id": "c", "n": 3})
        ]

    def test_points_of_qdrant_with_every_path_a_column(self, tmp_path: Path) -> None:
        columns = {"payload.chunk_id": ["c"], "payload.text": ["t"], "vector.dense": [[1.0]]}
        found = self.save(tmp_path, id=[7], **columns)
        assert [comparable(record) for record in found] == [
            ("c", "t", np.float32([1]).tobytes(), np.float32, {"chunk_id": "c", "text": "t"})
        ]
        assert isinstance(found[0], Record)
        assert found[0].read_from == ("payload.chunk_id", "vector.dense", "payload.text")

    @pytest.mark.parametrize(
        ("vectors", "said"),
        [
            ({"a": [1.0], "b": [2.0]}, "several vectors: a, b"),
            ({"words": {"indices": [1], "values": [2.0]}}, "only sparse vectors: 'words'"),
            ([[1.0], [2.0]], "a multivector"),
            (None, 'scroll the collection with "with_vector": true'),
        ],
    )
    def test_vectors_that_are_not_taken(self, tmp_path: Path, vectors: Any, said: str) -> None:
        (bad,) = self.save(
            tmp_path, id=[7], payload=["{}"], **({} if vectors is None else {"vector": [vectors]})
        )
        assert isinstance(bad, BadLine)
        assert said in bad.reason

    def test_named_vectors_are_a_struct(self, tmp_path: Path) -> None:
        vectors = [{"a": [1.0], "b": [2.0, 3.0]}, {"a": [4.0], "b": None}]
        self.save(tmp_path, id=[7, 8], payload=["{}", "{}"], vector=vectors)
        first, second = read_records(tmp_path / "x.parquet", Keys(vector="b"))
        assert isinstance(first, Record)
        assert (first.vector.tolist(), first.read_from.vector) == ([2, 3], "vector.b")
        assert isinstance(second, BadLine)

    def test_every_bad_row_is_named_and_the_rest_goes_on(self, tmp_path: Path) -> None:
        found = self.save(
            tmp_path,
            id=["a", "b", "c", None, "e", "f"],
            embedding=[[1.0], None, [], [2.0], [3.0], [4.0, None]],
            metadata=["{}", "{}", "{}", "{}", "{", '{"k":1}'],
        )
        kinds = [getattr(record, "kind", "") for record in found]
        assert kinds == ["", "no-vector", "no-vector", "no-id", "not-json", ""]
        assert [record.line for record in found] == [1, 2, 3, 4, 5, 6]
        last = found[-1]
        assert isinstance(last, Record)
        assert (last.vector[0], np.isnan(last.vector[1]), last.metadata) == (4, True, {"k": 1})

    @pytest.mark.parametrize("column", [["x"], [["x"]], [1.0]])
    def test_no_vectors_at_all(self, tmp_path: Path, column: Any) -> None:
        (bad,) = self.save(tmp_path, id=["a"], embedding=column)
        assert isinstance(bad, BadLine)
        assert bad.kind == "no-vector"

    def test_rows_are_found_again_by_number(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("pyarrow")
        monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 4 * 3 * 5)
        monkeypatch.setattr(parquet, "_ROWS_A_BATCH", 2)
        write(tmp_path, "parquet", some(13))
        reader = rows(tmp_path / "c_embeddings.parquet", "parquet")
        for offset, record in reader:
            assert comparable(reader.at(record.line, offset)) == comparable(record)


class TestFind:
    def test_a_file_is_itself(self, tmp_path: Path) -> None:
        file = tmp_path / "anything.jsonl"
        file.touch()
        found = find_embeddings(file)
        assert (found.path, found.parts, found.files, found.format) == (file, (file,), (file,), "jsonl")

    @pytest.mark.parametrize(
        "names",
        [
            ["a_embeddings.jsonl"],
            ["a_embeddings.parquet"],
            ["a_embeddings.npy", "a_embeddings.ids.jsonl"],
            ["a_embeddings-00001-of-00002.jsonl", "a_embeddings-00002-of-00002.jsonl"],
            ["a_embeddings-100000-of-00001.b_embeddings.parquet"],
        ],
    )
    def test_the_only_one_of_a_folder_and_every_file_of_it(self, tmp_path: Path, names: list[str]) -> None:
        for name in (*names, "a_embedding_summary.json", "x_chunks.json", "y.jsonl"):
            (tmp_path / name).touch()
        found = find_embeddings(tmp_path)
        assert [file.name for file in found.files] == names
        for name in names:
            assert find_embeddings(tmp_path / name) == found
        assert written_files(tmp_path) == sorted(found.files)

    def test_none(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "absent"):
            with pytest.raises(InputNotFound, match=r"looked for \*_embeddings\.jsonl") as caught:
                find_embeddings(path)
            assert str(path) in caught.value.message
            assert "qembed embed" in str(caught.value.remedy)

    @pytest.mark.parametrize(
        "names",
        [
            ["a_embeddings.jsonl", "b_embeddings.jsonl"],
            ["a_embeddings.jsonl", "a_embeddings.parquet"],
            ["a_embeddings-00001-of-00001.jsonl", "a_embeddings.jsonl"],
        ],
    )
    def test_several(self, tmp_path: Path, names: list[str]) -> None:
        for name in names:
            (tmp_path / name).touch()
        with pytest.raises(UsageError, match="2 files of embeddings") as caught:
            find_embeddings(tmp_path)
        assert caught.value.where == ", ".join(names)

    @pytest.mark.parametrize(
        ("there", "missing"),
        [
            ("a_embeddings-00002-of-00002.jsonl", "a_embeddings-00001-of-00002.jsonl is missing, 1 of 2"),
            ("a_embeddings.npy", "a_embeddings.ids.jsonl is missing, 1 of 2"),
            ("a_embeddings.ids.jsonl", "a_embeddings.npy is missing, 1 of 2"),
            ("v.npy", "v.ids.jsonl is missing"),
        ],
    )
    def test_a_missing_file_is_named(self, tmp_path: Path, there: str, missing: str) -> None:
        (tmp_path / there).touch()
        with pytest.raises(InputNotFound, match=missing):
            find_embeddings(tmp_path / there)

    @pytest.mark.parametrize(
        ("name", "collection"),
        [
            ("a_embeddings.jsonl", "a"),
            ("a_embeddings_embeddings-00001-of-00002.npy", "a_embeddings"),
            ("a_embeddings.ids.jsonl", "a"),
            ("a.jsonl", "a.jsonl"),
        ],
    )
    def test_the_collection_in_a_name(self, name: str, collection: str) -> None:
        assert collection_of(Path(name)) == collection


def test_an_abandoned_parquet_writer_that_is_collected_writes_nothing(tmp_path: Path) -> None:
    """Arrow writes the end of the file when its writer is collected: wherever that happens to be."""
    pytest.importorskip("pyarrow")
    from qembed.store.parquet import ParquetPart

    part = ParquetPart(tmp_path, "left", 2, 2)
    part.write(["a"], ["text"], np.ones((1, 2), dtype=np.float32), [{}])
    file = part._file
    part.abandon()
    size = file.tell()

    def submitted(*_: object) -> None:
        pytest.fail("a block was handed over")

    file._thread.submit = submitted  # type: ignore[method-assign]
    assert file.write(b"the end") == 7
    del part
    gc.collect()
    assert file.tell() == size
