"""Which key holds what: chunk ids before point ids, named vectors, the user's own keys; how it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from qembed.errors import InputNotFound, UsageError
from qembed.store import (
    FORMATS,
    USUAL,
    BadLine,
    Format,
    Keys,
    Record,
    find_embeddings,
    open_writer,
    read_records,
)
from qembed.store.recognise import keys_of, recognise

UUID = "0b21a7a4-3a3d-4b8c-9a55-0d8f2a3f6c11"


def one(folder: Path, value: dict[str, Any], keys: Keys = USUAL) -> Record | BadLine:
    file = folder / "x.jsonl"
    file.write_bytes(orjson.dumps(value))
    (found,) = read_records(file, keys)
    return found


@pytest.mark.parametrize(
    ("value", "keys", "name", "key"),
    [
        ({"id": 7, "payload": {"chunk_id": "c"}}, Keys(), "c", "payload.chunk_id"),
        ({"id": UUID, "payload": {"chunk_id": "c"}}, Keys(), "c", "payload.chunk_id"),
        ({"id": UUID.replace("-", ""), "metadata": {"chunk_id": "c"}}, Keys(), "c", "metadata.chunk_id"),
        ({"id": 7, "chunk_id": "c"}, Keys(), "c", "chunk_id"),
        ({"id": 7.0, "payload": {"chunk_id": "c"}}, Keys(), "c", "payload.chunk_id"),
        ({"id": UUID, "payload": {"doc": "c"}}, Keys(), UUID, "id"),
        ({"id": 7, "payload": {"chunk_id": 3}}, Keys(), 7, "id"),  # a number within its page
        ({"id": 7, "payload": {"chunk_id": ""}}, Keys(), 7, "id"),
        ({"id": "own", "payload": {"chunk_id": "c"}}, Keys(), "own", "id"),  # a name that somebody gave
        ({"id": 7, "payload": {"chunk_id": "c"}}, Keys(id="id"), 7, "id"),
        ({"id": 7, "payload": {"doc": {"name": "d"}}}, Keys(id="doc.name"), "d", "payload.doc.name"),
        ({"id": 7, "payload": {"doc.name": "d"}}, Keys(id="doc.name"), "d", "payload.doc.name"),
        ({"id": 7, "payload": {"n": 3}}, Keys(id="n"), 3, "payload.n"),
        ({"id": 7, "payload": {"chunk_id": "c"}}, Keys(id="absent"), 7, "id"),
    ],
)
def test_the_id(tmp_path: Path, value: dict[str, Any], keys: Keys, name: str | int, key: str) -> None:
    found = one(tmp_path, {**value, "vector": [1]}, keys)
    assert isinstance(found, Record)
    assert (found.id, found.read_from.id) == (name, key)


@pytest.mark.parametrize(
    ("payload", "keys", "text", "said"),
    [
        ({"page_content": "t"}, Keys(), "t", "text from payload.page_content"),
        ({"body": "t"}, Keys(), None, "no text (keys of the metadata: 'body')"),
        ({"body": "t"}, Keys(text="body"), "t", "text from payload.body"),
        ({"text": "u", "body": "t"}, Keys(text="body"), "t", "text from payload.body"),
        ({"text": "u"}, Keys(text="body"), "u", "text from payload.text"),
        ({"doc": {"body": "t"}}, Keys(text="doc.body"), "t", "text from payload.doc.body"),
        ({"text": 5, "body": "t"}, Keys(), None, "no text (keys of the metadata: 'text', 'body')"),
    ],
)
def test_the_text(tmp_path: Path, payload: dict[str, Any], keys: Keys, text: str | None, said: str) -> None:
    found = one(tmp_path, {"id": 7, "vector": [1], "payload": payload}, keys)
    assert isinstance(found, Record)
    assert found.text == text
    assert keys_of(found) == f"id from id, vector from vector, {said}"


NAMED = {"id": 7, "vector": {"old": [1], "new": [2, 3], "words": {"indices": [1], "values": [2]}}}


class TestNamedVectors:
    def test_the_only_dense_one_is_taken(self, tmp_path: Path) -> None:
        found = one(tmp_path, {"id": 7, "vector": {"dense": [1], "words": {"indices": [1], "values": [2]}}})
        assert isinstance(found, Record)
        assert (found.vector.tolist(), found.read_from.vector) == ([1], "vector.dense")

    def test_of_several_one_is_named_behind_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "dump.json").write_bytes(orjson.dumps([NAMED]))
        found = find_embeddings(tmp_path / "dump.json#new")
        (record,) = read_records(found.path, found.keys)
        assert isinstance(record, Record)
        assert record.vector.tolist() == [2, 3]
        assert recognise(found) == (
            "JSON documents (a scroll of Qdrant, or a list): id from id, vector from vector.new, "
            "no text (keys of the metadata: none)"
        )

    def test_a_folder_takes_a_name_too(self, tmp_path: Path) -> None:
        (tmp_path / "c_embeddings.jsonl").write_bytes(orjson.dumps(NAMED))
        assert find_embeddings(Path(f"{tmp_path}/#new")).keys == Keys(vector="new")

    def test_a_file_that_is_called_so_is_itself(self, tmp_path: Path) -> None:
        (tmp_path / "notes#new").write_bytes(b"")
        assert find_embeddings(tmp_path / "notes#new").keys == Keys()

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("", "several vectors: old, new; choose one with #NAME, e.g. #old"),
            ("#none", "no vector 'none'; there are 'old', 'new', 'words'"),
            ("#words", "the vector 'words' is sparse"),
        ],
    )
    def test_what_cannot_be_taken_is_said_at_once(self, tmp_path: Path, name: str, said: str) -> None:
        (tmp_path / "dump.json").write_bytes(orjson.dumps([NAMED]))
        with pytest.raises(UsageError) as caught:
            recognise(find_embeddings(Path(f"{tmp_path}/dump.json{name}")))
        assert said in caught.value.message
        assert caught.value.remedy == f"{tmp_path}/dump.json#NAME takes one of them"

    def test_a_vector_without_a_name(self, tmp_path: Path) -> None:
        (tmp_path / "x.jsonl").write_bytes(orjson.dumps({"id": 7, "vector": [1]}))
        with pytest.raises(UsageError, match="no vector 'dense': the vector has no name"):
            recognise(find_embeddings(tmp_path / "x.jsonl#dense"))

    def test_a_file_that_is_absent_is_named_without_the_vector(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound, match=r"absent\.json'"):
            find_embeddings(tmp_path / "absent.json#dense")


@pytest.mark.parametrize("format", FORMATS)
def test_what_qembed_writes_needs_no_sentence(tmp_path: Path, format: Format) -> None:
    with open_writer(format, tmp_path, "c", dimension=1, records=1) as writer:
        writer.add(["a"], ["t"], np.ones((1, 1), np.float32), [{"n": 1}])
        writer.close()
    assert recognise(find_embeddings(tmp_path)) == ""


def test_a_snapshot_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "docs.snapshot").write_bytes(b"")
    with pytest.raises(UsageError, match="a snapshot") as caught:
        find_embeddings(tmp_path / "docs.snapshot")
    assert "qdrant://" in (caught.value.remedy or "")


def test_a_collection_where_only_files_are_read() -> None:
    with pytest.raises(UsageError, match="reads files") as caught:
        find_embeddings(Path("qdrant://localhost/docs#dense"))
    assert caught.value.where == "qdrant://localhost/docs"
