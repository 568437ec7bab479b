"""Every layout that users have, made here with the keys and oddities of the real files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from qembed.corpus import CorpusOptions, read_chunks
from qembed.corpus.layouts import BadItemError, parse_item
from qembed.records import Chunk, Finding

Items = list[dict[str, Any]]


def layout_1(count: int = 3) -> Items:
    """A list of ``{chunk_id, content, metadata}`` with Windows paths."""
    return [
        {
            "chunk_id": f"eco:docs\\guides\\install.md:chunk:{index}",
            "content": f"Install step {index}: naïve café — 安装",
            "metadata": {
                "source_file": "docs\\guides\\install.md",
                "source_collection": "eco",
                "subdirectory": "docs",
                "filename": "install.md",
                "file_extension": ".md",
                "chunk_index": index,
                "token_count": 7,
                "char_count": 30,
                "start_char": 30 * index,
                "end_char": 30 * index + 30,
            },
        }
        for index in range(count)
    ]


def layout_2(count: int = 3) -> dict[str, Any]:
    """One object for a whole subdirectory; the index stands beside the metadata, the id is not given."""
    chunks = [
        {
            "content": f"Example {index}",
            "index": index,
            "token_count": 3,
            "metadata": {
                "title": "_examples",
                "source": "docs\\_examples.md",
                "source_subdir": "root",
                "file_path": "_examples.md",
                "file_name": "_examples.md",
                "collection": "older_name",
                "total_chunks": count,
            },
            "start_char": 10 * index,
            "end_char": 10 * index + 9,
        }
        for index in range(count)
    ]
    return {"collection": "eco", "subdirectory": "docs", "total_chunks": count, "chunks": chunks}


def layout_3(count: int = 3) -> Items:
    """A list of ``{text, metadata}``; ``chunk_id`` is a number and paths are absolute ones of Windows."""
    return [
        {
            "text": f"Overview {index}",
            "metadata": {
                "chunk_id": index,
                "source_file": "C:\\work\\Docs\\FAST_DOCS\\docs\\_index.md",
                "input_type": "fast_docs",
                "parent_context": None,
                "subfolder_name": "docs",
                "chunk_index_in_file": index,
                "token_count": 630,
            },
        }
        for index in range(count)
    ]


def jsonl(items: Sequence[Any]) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def put(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def read(root: Path, **options: Any) -> list[Chunk]:
    """All chunks of a folder in which nothing may be wrong."""
    findings: list[Finding] = []
    chunks = list(read_chunks(root, CorpusOptions(**options), on_finding=findings.append))
    assert findings == []
    return chunks


@pytest.fixture
def eco(tmp_path: Path) -> Path:
    return tmp_path / "eco"


class TestLayout1:
    def test_text_id_and_metadata(self, eco: Path) -> None:
        put(eco / "docs" / "_guides_install_chunks.json", layout_1())
        first, second, third = read(eco)
        assert [chunk.id for chunk in (first, second, third)] == [
            f"eco:docs:install.md:chunk:{index}" for index in range(3)
        ]
        assert second.text == "Install step 1: naïve café — 安装"
        assert (second.place.path, second.place.item, second.place.line) == (
            "docs/_guides_install_chunks.json",
            1,
            None,
        )
        expected = {
            "chunk_id": "eco:docs:install.md:chunk:1",
            "collection": "eco",
            "subdirectory": "docs",
            "source_file": "docs/guides/install.md",
            "source_path": "docs/guides/install.md",
            "source": "docs/guides/install.md",
            "filename": "install.md",
            "chunk_index": 1,
        }
        assert {key: second.metadata[key] for key in expected} == expected
        assert second.metadata["original"] == {
            "chunk_id": "eco:docs\\guides\\install.md:chunk:1",
            "source_file": "docs\\guides\\install.md",
        }
        assert second.metadata["start_char"] == 30
        assert third.metadata["content_sha256"] != second.metadata["content_sha256"]

    def test_utf8_byte_order_mark(self, eco: Path) -> None:
        file = put(eco / "docs" / "a_chunks.json", "")
        file.write_bytes(b"\xef\xbb\xbf" + json.dumps(layout_1()).encode())
        assert len(read(eco)) == 3


class TestLayout2:
    def test_index_beside_the_metadata(self, eco: Path) -> None:
        put(eco / "docs" / "chunks.json", layout_2())
        chunks = read(eco)
        assert [chunk.id for chunk in chunks] == [f"eco:docs:_examples.md:chunk:{i}" for i in range(3)]
        metadata = chunks[2].metadata
        assert (metadata["index"], metadata["chunk_index"], metadata["end_char"]) == (2, 2, 29)
        assert metadata["collection"] == "eco"
        assert metadata["source_path"] == "docs/_examples.md"
        assert metadata["original"] == {"collection": "older_name", "source": "docs\\_examples.md"}

    def test_alone_the_file_names_its_subdirectory(self, eco: Path) -> None:
        file = put(eco / "chunks.json", layout_2())
        assert {chunk.metadata["subdirectory"] for chunk in read(file, collection="eco")} == {"docs"}
        assert {chunk.metadata["subdirectory"] for chunk in read(eco)} == {"docs"}

    def test_in_a_folder_the_folder_names_it(self, eco: Path) -> None:
        put(eco / "elsewhere" / "chunks.json", layout_2())
        assert {chunk.metadata["subdirectory"] for chunk in read(eco)} == {"elsewhere"}

    def test_a_subdirectory_that_is_not_text_does_not_name_one(self, eco: Path) -> None:
        for number, name in enumerate((["docs"], {"a": 1}, 7, "", None, "\ud800")):
            document = {"subdirectory": name, "chunks": [{"text": "a", "filename": f"{number}"}]}
            put(eco / f"{number}.json", document)
        assert {chunk.metadata["subdirectory"] for chunk in read(eco)} == {"root"}


class TestLayout3:
    def test_absolute_windows_path(self, eco: Path) -> None:
        put(eco / "docs" / "_index_chunks.json", layout_3())
        chunks = read(eco)
        assert [chunk.id for chunk in chunks] == [f"eco:docs:_index.md:chunk:{i}" for i in range(3)]
        metadata = chunks[1].metadata
        assert metadata["source_path"] == "docs/_index.md"
        assert metadata["source_file"] == "C:/work/Docs/FAST_DOCS/docs/_index.md"
        assert metadata["original"] == {
            "chunk_id": 1,
            "source_file": "C:\\work\\Docs\\FAST_DOCS\\docs\\_index.md",
        }
        assert metadata["parent_context"] is None


class TestJsonLines:
    @pytest.mark.parametrize(
        "items", [layout_1(), layout_2()["chunks"], layout_3()], ids=["layout-1", "layout-2", "layout-3"]
    )
    def test_gives_what_the_list_gives(self, tmp_path: Path, items: Items) -> None:
        put(tmp_path / "list" / "eco" / "docs" / "page_chunks.json", items)
        put(tmp_path / "lines" / "eco" / "docs" / "page_chunks.jsonl", jsonl(items))
        listed, lined = read(tmp_path / "list" / "eco"), read(tmp_path / "lines" / "eco")
        assert [(c.id, c.text, c.metadata) for c in lined] == [(c.id, c.text, c.metadata) for c in listed]
        assert [(chunk.place.line, chunk.place.item) for chunk in lined] == [(1, None), (2, None), (3, None)]

    def test_blank_lines_count_as_lines_only(self, eco: Path) -> None:
        put(eco / "docs" / "a.jsonl", '\n{"text": "a"}\n   \r\n{"text": "b"}')
        chunks = read(eco)
        assert [(chunk.place.line, chunk.metadata["chunk_index"]) for chunk in chunks] == [(2, 0), (4, 1)]

    def test_byte_order_mark(self, eco: Path) -> None:
        put(eco / "docs" / "a.jsonl", "\ufeff" + jsonl(layout_1()))
        assert len(read(eco)) == 3


class TestBeir:
    @pytest.fixture
    def beir(self, tmp_path: Path) -> Path:
        folder = tmp_path / "scifact"
        corpus = [
            {"_id": "4983", "title": "Microstructure", "text": "Alterations of the brain.", "metadata": {}},
            {"_id": "5836", "title": "", "text": "No title here."},
            {"_id": 7912, "title": "A number as id", "text": "The third."},
            {"_id": "t", "title": "Only a title", "text": ""},
        ]
        put(folder / "corpus.jsonl", jsonl(corpus))
        put(folder / "queries.jsonl", jsonl([{"_id": "1", "text": "a query is no chunk"}]))
        put(folder / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\n1\t4983\t1\n")
        put(folder / "qrels" / "test.json", json.dumps([{"text": "nor is a judgement"}]))
        return folder

    def test_id_is_the_chunk_id_and_title_and_text_are_joined(self, beir: Path) -> None:
        chunks = read(beir)
        assert [(chunk.id, chunk.text) for chunk in chunks] == [
            ("4983", "Microstructure Alterations of the brain."),
            ("5836", "No title here."),
            ("7912", "A number as id The third."),
            ("t", "Only a title"),
        ]
        assert chunks[0].metadata["chunk_id"] == "4983"
        assert chunks[0].metadata["title"] == "Microstructure"
        assert {chunk.metadata["subdirectory"] for chunk in chunks} == {"root"}

    def test_the_file_alone(self, beir: Path) -> None:
        assert [chunk.id for chunk in read(beir / "corpus.jsonl")] == ["4983", "5836", "7912", "t"]

    def test_a_collection_of_beir_folders_reads_no_queries(self, beir: Path) -> None:
        chunks = read(beir.parent)
        assert [chunk.id for chunk in chunks] == ["4983", "5836", "7912", "t"]
        assert {chunk.metadata["subdirectory"] for chunk in chunks} == {"scifact"}


class TestPlaces:
    def test_root_without_subdirectories(self, eco: Path) -> None:
        put(eco / "a_chunks.json", [{"text": "at the top"}])
        (chunk,) = read(eco)
        assert chunk.id == "eco:root:a:chunk:0"
        assert chunk.metadata["source_path"] == "root/a"

    def test_nested_folders_belong_to_the_first(self, eco: Path) -> None:
        put(eco / "docs" / "deep" / "deeper" / "a_chunks.json", [{"text": "far down"}])
        (chunk,) = read(eco)
        assert chunk.id == "eco:docs:a:chunk:0"
        assert chunk.place.path == "docs/deep/deeper/a_chunks.json"

    @pytest.mark.parametrize("name", ["guide_chunks.json", "guide.json", "guide.jsonl"])
    def test_one_file_names_the_collection(self, tmp_path: Path, name: str) -> None:
        item = {"text": "alone"}
        file = put(tmp_path / name, json.dumps(item) if name.endswith("l") else [item])
        (chunk,) = read(file)
        assert chunk.id == "guide:root:guide:chunk:0"
        assert chunk.place.path == name

    def test_order_is_files_then_folders_by_name(self, eco: Path, write_chunks: Callable[..., Path]) -> None:
        write_chunks(eco, {"b/2": ["b2"], "a/10": ["a10"], "a/z/1": ["az1"], "a/2": ["a2"], "top": ["top"]})
        assert [chunk.text for chunk in read(eco)] == ["top", "a10", "a2", "az1", "b2"]

    def test_all_layouts_side_by_side(self, eco: Path) -> None:
        put(eco / "one" / "a_chunks.json", layout_1())
        put(eco / "two" / "chunks.json", layout_2())
        put(eco / "three" / "c_chunks.json", layout_3())
        put(eco / "four" / "d.jsonl", jsonl(layout_3()))
        assert len({chunk.id for chunk in read(eco)}) == 12


class TestParseItem:
    @pytest.mark.parametrize("key", ["content", "text", "page_content"])
    def test_keys_of_the_text(self, key: str) -> None:
        item = parse_item({key: "words", "metadata": {"a": 1}, "page": 3})
        assert (item.text, item.metadata, item.extras) == ("words", {"a": 1}, {"page": 3})

    def test_the_first_key_is_the_text_and_the_other_stays(self) -> None:
        item = parse_item({"text": "short", "content": "long"})
        assert (item.text, item.extras) == ("long", {"text": "short"})

    def test_vectors_of_an_earlier_embedding_are_dropped(self) -> None:
        assert parse_item({"text": "a", "embedding": [0.1], "vector": [0.2], "k": 1}).extras == {"k": 1}

    @pytest.mark.parametrize("metadata", [{}, None])
    def test_metadata_may_be_missing(self, metadata: object) -> None:
        assert parse_item({"text": "a", "metadata": metadata}).metadata == {}

    @pytest.mark.parametrize(
        ("value", "kind", "words"),
        [
            ("text", "not-an-object", "a string"),
            (["text"], "not-an-object", "a list"),
            (None, "not-an-object", "null"),
            (True, "not-an-object", "a boolean"),
            (1.5, "not-an-object", "a number"),
            ({"text": "a", "metadata": []}, "metadata-not-an-object", "a list"),
            ({"title": "a", "metadata": {}}, "no-text", "'title', 'metadata'"),
            ({}, "no-text", "none"),
            ({"text": 7}, "text-not-a-string", "a number"),
            ({"content": ["a"]}, "text-not-a-string", "'content' must be a string, this is a list"),
            ({"text": None}, "text-not-a-string", "null"),
            ({"text": ""}, "empty-text", "empty"),
            ({"text": " \n\t\u00a0\u2003"}, "empty-text", "white space"),
            ({"text": "ab\ud800"}, "lone-surrogate", "character 2 is the lone surrogate U+D800"),
            ({"text": "x" * 1_000_001}, "too-long", "1,000,001 characters"),
            ({"text": "a", "metadata": {"k": "\udfff"}}, "bad-metadata", "surrogates"),
            ({"text": "a", "metadata": {"\udfff": 1}}, "bad-metadata", "surrogates"),
            ({"text": "a", "k": "\udfff"}, "bad-metadata", "surrogates"),
            ({"_id": "\udfff", "text": "a"}, "bad-metadata", "surrogates"),
        ],
    )
    def test_what_cannot_be_a_chunk(self, value: object, kind: str, words: str) -> None:
        with pytest.raises(BadItemError) as caught:
            parse_item(value)
        assert caught.value.kind == kind
        assert words in str(caught.value)

    def test_the_longest_text_that_is_read(self) -> None:
        assert len(parse_item({"text": "x" * 1_000_000}).text) == 1_000_000


class TestRealData:
    def test_the_collection_of_the_mission(self, real_data: Path) -> None:
        files: list[str] = []
        findings: list[Finding] = []
        chunks = list(
            read_chunks(
                real_data / "qdrant_ecosystem",
                on_finding=findings.append,
                on_file=lambda file: files.append(file.name),
            )
        )
        assert findings == []
        assert (len(chunks), len(files), len({chunk.text for chunk in chunks})) == (8108, 336, 5034)
        assert len({chunk.metadata["subdirectory"] for chunk in chunks}) == 6
        assert len({chunk.id for chunk in chunks}) == len(chunks)
        for chunk in chunks:
            metadata = chunk.metadata
            assert chunk.id == (
                f"qdrant_ecosystem:{metadata['subdirectory']}:{metadata['filename']}"
                f":chunk:{metadata['chunk_index']}"
            )
            assert "\\" not in chunk.id
            assert metadata["subdirectory"] == chunk.place.path.split("/")[0]
            assert metadata["source_path"].startswith(metadata["subdirectory"] + "/")
            assert metadata["source_path"].endswith("/" + metadata["filename"])
            assert metadata["original"]["source_file"].replace("\\", "/") == metadata["source_file"]

    @pytest.mark.parametrize(
        ("folder", "count", "example"),
        [
            ("one_file_per_subdir", 228, "c:qdrant_examples:_qdrant_examples.md:chunk:0"),
            ("text_key", 72, "c:jlowin_fastmcp:_index.md:chunk:0"),
        ],
    )
    def test_the_other_layouts(self, real_data: Path, folder: str, count: int, example: str) -> None:
        chunks = read(real_data / "other_layouts" / folder, collection="c")
        assert len(chunks) == len({chunk.id for chunk in chunks}) == count
        assert chunks[0].id == example
        for chunk in chunks:
            assert "\\" not in chunk.metadata["source_path"]
            assert chunk.metadata["source_path"].endswith("/" + chunk.metadata["filename"])
