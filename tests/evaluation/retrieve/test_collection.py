"""Distinct texts from files of embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from qembed.corpus import point_id
from qembed.errors import DimensionMismatch, Mismatch
from qembed.evaluation.retrieve.collection import Collection, read_collection
from qembed.store import find_embeddings


def write(folder: Path, *records: dict[str, Any]) -> Path:
    file = folder / "c_embeddings.jsonl"
    file.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    return file


def record(name: str, text: str | None, vector: list[float], **metadata: Any) -> dict[str, Any]:
    return {"id": name, "text": text, "embedding": vector, "metadata": metadata}


def test_one_item_a_text(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        record("z", "same", [1, 0], subdirectory="s", filename="z.md", token_count=7),
        record("b", "other", [0, 1], subdirectory="s", filename="b.md"),
        record("a", "same", [1, 0], subdirectory="s", filename="a.md"),
    )
    found = read_collection(find_embeddings(file))
    assert found.ids == ("a", "b")
    assert found.texts == ("same", "other")
    assert found.chunks == (("a", "z"), ("b",))
    assert found.pages == (("s/a.md", "s/z.md"), ("s/b.md",))
    assert found.vectors.tolist() == [[1, 0], [0, 1]]
    assert found.tokens.tolist() == [7, -1]
    assert (found.records, found.disagreeing, found.dimension, len(found)) == (3, 0, 2, 2)
    assert found.vectors.dtype == np.float32


def test_texts_with_two_vectors_are_counted_and_the_first_is_taken(tmp_path: Path) -> None:
    found = read_collection(
        find_embeddings(write(tmp_path, record("a", "t", [1, 0]), record("b", "t", [0, 1])))
    )
    assert found.disagreeing == 1
    assert found.vectors.tolist() == [[1, 0]]
    assert found.pages == ((),)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (record("b", "x", [1, 0, 0]), DimensionMismatch, "'b' has 3 dimensions, the first vector 2"),
        (record("b", "x", [0, 0]), Mismatch, "zero or not finite"),
        (record("b", None, [1, 0]), Mismatch, "'b' has no text"),
        (record("b", "  ", [1, 0]), Mismatch, "'b' has no text"),
        ({"id": "b"}, Mismatch, "embedding"),
    ],
)
def test_what_cannot_be_used_names_its_line(
    tmp_path: Path, bad: dict[str, Any], error: type[Mismatch], message: str
) -> None:
    file = write(tmp_path, record("a", "text", [1, 0]), bad)
    with pytest.raises(error, match=message) as raised:
        read_collection(find_embeddings(file))
    assert raised.value.where == f"{file}, line 2"


def test_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match="holds no vectors"):
        read_collection(find_embeddings(write(tmp_path)))


class TestWithoutTexts:
    """Existing embeddings that hold ids and vectors only: the texts are those of the new ones."""

    def new(self, folder: Path) -> Collection:
        folder.mkdir()
        file = write(
            folder, record("c:a", "one", [1, 0]), record("c:b", "one", [1, 0]), record("c:c", "two", [0, 1])
        )
        return read_collection(find_embeddings(file))

    @pytest.mark.parametrize("points", [False, True])
    def test_by_chunk_id_or_by_point_id(self, tmp_path: Path, points: bool) -> None:
        names: list[Any] = ["c:c", "c:b", "c:a"]
        records = [
            {"id": point_id(name) if points else name, "embedding": [at, 1.0]}
            for at, name in enumerate(names)
        ]
        found = read_collection(find_embeddings(write(tmp_path, *records)), like=self.new(tmp_path / "new"))
        assert found.ids == ("c:a", "c:c")
        assert found.texts == ("one", "two")
        assert found.chunks == (("c:a", "c:b"), ("c:c",))

    def test_pages_that_nobody_knows_are_those_of_the_text_there(self, tmp_path: Path) -> None:
        (tmp_path / "new").mkdir()
        page = {"subdirectory": "docs", "filename": "p"}
        new = write(tmp_path / "new", {**record("c:a", "one", [1, 0]), "metadata": page})
        own = {"page_content": "two", "metadata": {**page, "filename": "q"}}
        old = write(
            tmp_path,
            {"id": 1, "vector": [1, 0], "payload": {"text": "one"}},
            {"id": 2, "vector": [1, 0], "payload": own},
            {"id": 3, "vector": [1, 0], "payload": {"text": "three"}},
        )
        found = read_collection(find_embeddings(old), like=read_collection(find_embeddings(new)))
        assert found.texts == ("one", "two", "three")
        assert found.pages == (("docs/p",), ("docs/q",), ())

    def test_an_id_that_is_unknown_is_named(self, tmp_path: Path) -> None:
        file = write(tmp_path, {"id": "z", "embedding": [1, 0]})
        with pytest.raises(Mismatch, match="no chunk of the other embeddings has its id") as raised:
            read_collection(find_embeddings(file), like=self.new(tmp_path / "new"))
        assert raised.value.where == f"{file}, line 1"

    def test_a_text_that_is_there_holds(self, tmp_path: Path) -> None:
        file = write(tmp_path, record("c:a", "another text", [1, 0]))
        found = read_collection(find_embeddings(file), like=self.new(tmp_path / "new"))
        assert found.texts == ("another text",)
