"""Chunks as other tools dump them: every text is found, with its metadata and its id."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from qembed.corpus import CorpusOptions, read, read_chunks
from qembed.records import Chunk, Finding

TEXTS = ["one", "two"]


def gather(root: Path, **options: Any) -> tuple[list[Chunk], list[Finding]]:
    found: list[Finding] = []
    return list(read_chunks(root, CorpusOptions("c", **options), on_finding=found.append)), found


def node(name: str, text: str, **more: Any) -> dict[str, Any]:
    """A TextNode of LlamaIndex."""
    return {
        "id_": name,
        "embedding": None,
        "metadata": {"page": 1},
        "relationships": {},
        "text": text,
        **more,
    }


LANGCHAIN = [
    {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "document", "Document"],
        "kwargs": {"id": name, "metadata": {"page": 1}, "page_content": text, "type": "Document"},
    }
    for name, text in zip("ab", TEXTS, strict=True)
]
POINTS = [
    {"id": name, "payload": {"page_content": text, "metadata": {"page": 1}}, "vector": [0.1, 0.2]}
    for name, text in zip("ab", TEXTS, strict=True)
]
HITS = [
    {"_index": "i", "_id": name, "_score": 1.0, "_source": {"text": text, "page": 1}}
    for name, text in zip("ab", TEXTS, strict=True)
]
NODES = {
    name: {"__data__": node(name, text), "__type__": "1"} for name, text in zip("ab", TEXTS, strict=True)
}
ROWS = [{"id": name, "text": text, "page": 1} for name, text in zip("ab", TEXTS, strict=True)]
FRAME = pd.DataFrame(ROWS)

DOCUMENTS: dict[str, Any] = {
    "LangChain, dumpd": LANGCHAIN,
    "LangChain, model_dump": [document["kwargs"] for document in LANGCHAIN],
    "LangChain, JavaScript": [
        {"id": name, "pageContent": text, "metadata": {"page": 1}}
        for name, text in zip("ab", TEXTS, strict=True)
    ],
    "LlamaIndex, nodes": [node(name, text) for name, text in zip("ab", TEXTS, strict=True)],
    "LlamaIndex, newer nodes": [
        {"id_": name, "metadata": {"page": 1}, "text_resource": {"text": text}}
        for name, text in zip("ab", TEXTS, strict=True)
    ],
    "LlamaIndex, docstore": {"docstore/data": NODES, "docstore/metadata": {"a": {"doc_hash": "x"}}},
    "LlamaIndex, docstore of strings": {
        "docstore/data": {name: {**of, "__data__": json.dumps(of["__data__"])} for name, of in NODES.items()}
    },
    "Haystack": {
        "documents": [
            {"id": name, "content": text, "meta": {"page": 1}, "score": None}
            for name, text in zip("ab", TEXTS, strict=True)
        ]
    },
    "Docling": [
        {"id": name, "text": text, "meta": {"page": 1, "headings": ["H"]}}
        for name, text in zip("ab", TEXTS, strict=True)
    ],
    "Unstructured": [
        {"type": "NarrativeText", "element_id": name, "id": name, "text": text, "metadata": {"page": 1}}
        for name, text in zip("ab", TEXTS, strict=True)
    ],
    "Qdrant, scroll": {"result": {"points": POINTS, "next_page_offset": None}, "status": "ok", "time": 0.1},
    "Qdrant, retrieve": {"result": POINTS, "status": "ok"},
    "Qdrant, points": {"points": POINTS},
    "Qdrant, flat payload": [
        {"id": name, "payload": {"text": text, "page": 1}} for name, text in zip("ab", TEXTS, strict=True)
    ],
    "Qdrant, LlamaIndex": [
        {"id": name, "payload": {"_node_content": json.dumps(node(name, text)), "page": 1}}
        for name, text in zip("ab", TEXTS, strict=True)
    ],
    "Elasticsearch": {"took": 1, "hits": {"total": {"value": 2}, "hits": HITS}},
    "Chroma, get": {
        "ids": ["a", "b"], "embeddings": None, "documents": TEXTS, "metadatas": [{"page": 1}] * 2,
    },
    "Chroma, query": {"ids": [["a", "b"]], "documents": [TEXTS], "metadatas": [[{"page": 1}] * 2]},
    "MongoDB": [
        {"_id": {"$oid": name}, "text": text, "page": {"$numberLong": "1"}}
        for name, text in zip("ab", TEXTS, strict=True)
    ],
    "pandas, records": json.loads(FRAME.to_json(orient="records")),
    "pandas, columns": json.loads(FRAME.to_json(orient="columns")),
    "pandas, index": json.loads(FRAME.to_json(orient="index")),
    "pandas, split": json.loads(FRAME.to_json(orient="split")),
    "pandas, table": json.loads(FRAME.to_json(orient="table")),
    "columns as lists": FRAME.to_dict(orient="list"),
    "content in parts": [
        {"id": name, "content": [{"type": "text", "text": text}], "page": 1}
        for name, text in zip("ab", TEXTS, strict=True)
    ],
    "the first key is null": [
        {"id": name, "content": None, "text": text, "page": 1} for name, text in zip("ab", TEXTS, strict=True)
    ],
    "the first key is blank": [
        {"id": name, "content": " ", "text": text, "page": 1} for name, text in zip("ab", TEXTS, strict=True)
    ],
}  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("tool", DOCUMENTS)
def test_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, streamed: bool) -> None:
    if streamed:
        monkeypatch.setattr(read, "FAST_PATH_BYTES", 0)
    (tmp_path / "dump.json").write_text(json.dumps(DOCUMENTS[tool]), encoding="utf-8")
    chunks, findings = gather(tmp_path, id_from="own")
    assert findings == []
    assert [chunk.text for chunk in chunks] == TEXTS
    assert [chunk.id for chunk in chunks] == ["a", "b"]
    assert [chunk.metadata["page"] for chunk in chunks] == [1, 1]


@pytest.mark.parametrize("tool", [tool for tool, dump in DOCUMENTS.items() if isinstance(dump, list)])
def test_json_lines(tmp_path: Path, tool: str) -> None:
    text = "".join(f"{json.dumps(item)}\n" for item in DOCUMENTS[tool])
    for name in ("a.jsonl", "b.NDJSON", "c.json"):
        (tmp_path / name).write_text(text)
    chunks, findings = gather(tmp_path, id_from="own")
    assert findings == []
    assert [chunk.text for chunk in chunks] == TEXTS * 3


def zst(data: bytes) -> bytes:
    pa = pytest.importorskip("pyarrow")
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".zst", zst)]
)
def test_compressed(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]) -> None:
    contents = {
        "a.json": json.dumps(ROWS),
        "b.jsonl": "".join(f"{json.dumps(row)}\n" for row in ROWS),
        "c.csv": FRAME.to_csv(index=False),
    }
    for name, text in contents.items():
        (tmp_path / f"{name}{suffix}").write_bytes(compress(text.encode()))
    chunks, findings = gather(tmp_path)
    assert findings == []
    assert [chunk.text for chunk in chunks] == TEXTS * 3
    assert {chunk.metadata["filename"] for chunk in chunks} == {"a", "b", "c"}
    (tmp_path / f"cut.jsonl{suffix}").write_bytes(compress(contents["b.jsonl"].encode() * 50)[:-12])
    (tmp_path / f"no.json{suffix}").write_bytes(b"these are other bytes")
    chunks, findings = gather(tmp_path)
    assert len(chunks) >= 6
    assert [found.kind for found in findings] == ["unreadable-file"] * 2


def test_text_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('\ufeffid,text,n,f,code\nx,"one, and\nmore",7,1.5,007\ny,two,,1e3,-0\n')
    (tmp_path / "b.tsv").write_text("id\tbody text\nz\tthree\n")
    chunks, findings = gather(tmp_path)
    assert [chunk.text for chunk in chunks] == ["one, and\nmore", "two"]
    assert [found.kind for found in findings] == ["no-text"]
    assert "--text-column" in findings[0].reason
    wanted = {"n": 7, "f": 1.5, "code": "007"}
    assert {key: chunks[0].metadata[key] for key in wanted} == wanted
    assert (chunks[1].metadata["n"], chunks[1].metadata["f"], chunks[1].metadata["code"]) == ("", "1e3", "-0")
    chunks, findings = gather(tmp_path / "b.tsv", text_column="body text", id_from="own")
    assert [(chunk.id, chunk.text) for chunk in chunks] == [("z", "three")]
    assert findings == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"id,text\n1,one\n2,two,three\n", "Expected 2 fields in line 3"), (b"id,text\n1,caf\xe9\n", "utf-8")],
)
def test_broken_text_tables_are_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    _, findings = gather(tmp_path)
    assert [found.kind for found in findings] == ["unreadable-table"]
    assert reason in findings[0].reason


def test_a_table_without_rows_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n")
    _, findings = gather(tmp_path)
    assert [(found.kind, found.reason) for found in findings] == [("empty-file", "the table has no rows")]


class TestArrow:
    @pytest.fixture
    def table(self) -> Any:
        pa = pytest.importorskip("pyarrow")
        rows = {
            "id": [1, 2],
            "text": TEXTS,
            "embedding": [[0.1], [0.2]],
            "when": [datetime(2026, 1, 2, 3), None],
            "day": [date(2026, 1, 2)] * 2,
            "price": [Decimal("1.10")] * 2,
            "raw": [b"\xff", b"x"],
            "tags": [["a"], []],
            "metadata": [{"page": 1}] * 2,
            "big": pa.array([2**63, 1], pa.uint64()),
            "nan": [float("nan"), 1.0],
            "map": pa.array([[("lang", "en")], []], pa.map_(pa.string(), pa.string())),
            "maps": pa.array([[[("n", 1)]], None], pa.list_(pa.map_(pa.string(), pa.int64()))),
        }
        return pa.table(rows)

    def write(self, table: Any, path: Path) -> None:
        import pyarrow as pa
        from pyarrow import feather, parquet

        if path.suffix == ".parquet":
            parquet.write_table(table, path, row_group_size=1)
        elif path.suffix == ".feather":
            feather.write_feather(table, path)
        else:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)

    @pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
    def test_values_are_exact_or_named(self, tmp_path: Path, table: Any, suffix: str) -> None:
        self.write(table, tmp_path / f"a{suffix}")
        (tmp_path / "dataset_info.json").write_text("{}")
        chunks, findings = gather(tmp_path, id_from="own")
        assert [(chunk.id, chunk.text) for chunk in chunks] == [("1", "one"), ("2", "two")]
        wanted = {
            "when": "2026-01-02T03:00:00", "day": "2026-01-02", "price": "1.10", "raw": "/w==", "tags": ["a"],
            "page": 1, "big": "9223372036854775808", "nan": None, "map": {"lang": "en"}, "maps": [{"n": 1}],
        }  # fmt: skip
        assert {key: chunks[0].metadata[key] for key in wanted} == wanted
        assert (chunks[1].metadata["when"], chunks[1].metadata["nan"]) == (None, 1.0)
        assert chunks[1].metadata["map"] == {}
        assert "embedding" not in chunks[0].metadata
        assert sorted(
            found.reason.partition(", ")[2] for found in findings if found.kind == "changed-values"
        ) == [
            "NaN and infinities are null",
            "integers beyond 64 bits are strings",
        ]
        others = [found.kind for found in findings if found.kind != "changed-values"]
        assert others == ([] if suffix == ".arrow" else ["not-a-list"])

    @pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
    def test_damaged_files_are_named(self, tmp_path: Path, table: Any, suffix: str) -> None:
        self.write(table, tmp_path / f"a{suffix}")
        content = (tmp_path / f"a{suffix}").read_bytes()
        for number, cut in enumerate((0, 5, len(content) // 2, len(content) - 9)):
            (tmp_path / f"cut{number}{suffix}").write_bytes(content[:cut])
        chunks, findings = gather(tmp_path)
        assert len(chunks) >= 2
        assert {found.kind for found in findings} <= {"unreadable-table", "empty-file", "changed-values"}
        assert sum(found.kind in ("unreadable-table", "empty-file") for found in findings) >= 3

    def test_a_small_file_that_fills_the_memory_is_refused(self, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        table = pa.table({"text": pa.array(["x" * 1000] * 300_000)})
        file = tmp_path / "a.parquet"
        parquet.write_table(table, file, compression="zstd", use_dictionary=False, row_group_size=300_000)
        assert file.stat().st_size < 3_000_000
        chunks, findings = gather(tmp_path)
        assert chunks == []
        assert "grows from" in findings[0].reason
        assert "row_group_size=10000" in findings[0].reason

    def test_a_dictionary_of_long_texts_is_read_few_rows_at_a_time(self, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pa.table({"text": ["x" * 900_000] * 40}), tmp_path / "a.parquet")
        assert len(gather(tmp_path)[0]) == 40

    def test_two_columns_of_one_name(self, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        table = pa.Table.from_arrays([pa.array(TEXTS), pa.array(TEXTS)], ["text", "text"])
        parquet.write_table(table, tmp_path / "a.parquet")
        _, findings = gather(tmp_path)
        assert "two columns are called 'text'" in findings[0].reason


class TestPassedOver:
    def test_what_is_not_read_is_counted_and_named_once_per_kind(self, tmp_path: Path) -> None:
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs/good.JSON").write_text(json.dumps(ROWS))
        for name in ("a.md", "b.md", "c.MD", "d.md", "docs/e.md", "image.png", "LICENSE"):
            (tmp_path / name).write_text("x")
        (tmp_path / ".hidden").write_text("x")
        chunks, findings = gather(tmp_path)
        assert len(chunks) == 2
        assert sorted((found.kind, found.place.path) for found in findings) == [
            ("not-read", "LICENSE"), ("not-read", "a.md"), ("not-read", "image.png"),
        ]  # fmt: skip
        reason = next(found.reason for found in findings if found.place.path == "a.md")
        assert "as are 4 more" in reason
        assert "a.md, b.md, c.MD, ..." in reason

    def test_what_belongs_to_a_beir_folder_or_to_us_is_no_finding(self, tmp_path: Path) -> None:
        (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "title": "t", "text": "x"}\n')
        for name in ("queries.jsonl", "card.toml", "README.md", "c_embeddings.parquet", "c_embeddings.npy"):
            (tmp_path / name).write_text("x")
        assert gather(tmp_path)[1] == []
        (tmp_path / "more.jsonl").write_text("{}")
        assert [found.place.path for found in gather(tmp_path)[1]] == ["more.jsonl"]


@pytest.mark.parametrize("format", ["jsonl", "npy", "parquet"])
def test_embeddings_of_qembed_are_read_again(tmp_path: Path, format: Any) -> None:
    import numpy as np

    from qembed.store.writing import open_writer

    if format == "parquet":
        pytest.importorskip("pyarrow")
    with open_writer(format, tmp_path, "c", dimension=2, records=2) as writer:
        metadata = [{"chunk_id": "a", "page": 1}, {"chunk_id": "b", "page": 2}]
        writer.add(["a", "b"], TEXTS, np.ones((2, 2), np.float32), metadata)
        writer.close()
    chunks, findings = gather(tmp_path / f"c_embeddings.{format}", id_from="own")
    assert findings == []
    assert [(chunk.id, chunk.text, chunk.metadata["page"]) for chunk in chunks] == [
        ("a", "one", 1),
        ("b", "two", 2),
    ]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"title": "t", "url": "u"}, "--text-column"),
        ({"id": 1, "payload": {"title": "t"}}, "the keys are 'title'"),
        ({"_id": "x", "title": "t"}, "the nearest layout is BEIR: {_id, title, text}"),
        ({"type": "Title", "element_id": "x", "metadata": {}}, "the nearest layout is Unstructured"),
    ],
)
def test_what_is_not_understood_is_told_its_keys_and_the_nearest_layout(
    tmp_path: Path, item: dict[str, Any], said: str
) -> None:
    (tmp_path / "a.json").write_text(json.dumps([item]))
    _, findings = gather(tmp_path)
    assert [found.kind for found in findings] == ["no-text"]
    assert said in findings[0].reason
