"""The manifest: written and read back; what is no manifest is said to be none."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.errors import Mismatch
from qembed.store import (
    ChunksFingerprint,
    Inputs,
    Manifest,
    Output,
    OutputFile,
    OutputFiles,
    read_manifest,
    write_json,
)

MANIFEST = Manifest(
    collection="docs",
    created="2026-01-01T00:00:00+00:00",
    inputs=Inputs("größe/", "ab" * 32, 10, 7),
    output=Output("docs_embeddings.jsonl", 1234, "cd" * 32, "ef" * 32, 10, 384),
    settings={"model": "x", "max_length": None, "normalize": True},
    model={"id": "x", "dimension": 384, "differences": ["a", "b"]},
    environment={"python": "3.11", "git_commit": None},
)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "docs_embedding_manifest.json"
    write_json(path, MANIFEST)
    assert read_manifest(path) == MANIFEST
    assert json.loads(path.read_text())["schema"] == "qembed.manifest/1"


def test_absent(tmp_path: Path) -> None:
    assert read_manifest(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"5",
        b"{}",
        b'{"schema": 5}',
        b'{"schema": "qembed.manifest/1"}',
        b"\xff\xfe{}",
        b"{}{}",
    ],
)
def test_not_a_manifest(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(content)
    with pytest.raises(Mismatch, match="not a manifest of qembed") as caught:
        read_manifest(path)
    assert caught.value.exit_code == 5
    assert caught.value.where == str(path)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("key", "value"),
    [("inputs", {}), ("output", []), ("settings", None), ("collection", 5), ("model", "x")],
)
def test_a_part_that_is_wrong(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({**asdict(MANIFEST), key: value}))
    with pytest.raises(Mismatch, match=key):
        read_manifest(path)


def test_every_byte_that_is_missing_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    write_json(path, MANIFEST)
    whole = path.read_bytes().rstrip()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(Mismatch):
            read_manifest(path)


@pytest.mark.parametrize("rest", [asdict(MANIFEST), {"all": "else", "may": "differ"}])
def test_another_schema(tmp_path: Path, rest: dict[str, object]) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({**rest, "schema": "qembed.manifest/2"}))
    with pytest.raises(Mismatch, match=r"qembed\.manifest/2") as caught:
        read_manifest(path)
    assert caught.value.exit_code == 5
    assert "qembed.manifest/1" in caught.value.message


def test_names_of_the_files(tmp_path: Path) -> None:
    files = OutputFiles.in_folder(tmp_path, "docs")
    found = [path.name for path in (files.embeddings, files.summary, files.manifest)]
    assert found == ["docs_embeddings.jsonl", "docs_embedding_summary.json", "docs_embedding_manifest.json"]
    assert OutputFiles.of(files.embeddings) == files
    assert files.existing() == []
    files.summary.touch()
    assert files.existing() == [files.summary]


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.none() | st.text("ab\n\t"))))
def test_fingerprint_of_chunks(records: list[tuple[str, str | None]]) -> None:
    fingerprint = ChunksFingerprint()
    for name, text in records:
        fingerprint.add(name, text)
    lines = [f"{name}\t{sha256((text or '').encode()).hexdigest()}\n" for name, text in records]
    assert fingerprint.hexdigest() == sha256("".join(lines).encode()).hexdigest()


class TestSeveralFiles:
    FILES = (OutputFile("a.npy", 10, "aa", 3), OutputFile("a.ids.jsonl", 5, "bb", 3))

    def test_they_come_back(self, tmp_path: Path) -> None:
        output = Output.of(self.FILES, format="npy", chunks_fingerprint="f", records=3, dimension=2)
        assert (output.file, output.bytes, output.records) == ("a.npy", 15, 3)
        assert output.sha256 == sha256(b"aa  a.npy\nbb  a.ids.jsonl\n").hexdigest()
        write_json(tmp_path / "m.json", replace(MANIFEST, output=output))
        found = read_manifest(tmp_path / "m.json")
        assert found is not None
        assert found.output == output
        assert found.output.all_files == self.FILES

    def test_one_file_has_its_own_hash(self) -> None:
        output = Output.of(self.FILES[:1], format="jsonl", chunks_fingerprint="f", records=3, dimension=2)
        assert (output.sha256, output.bytes) == ("aa", 10)

    def test_a_manifest_that_knows_of_one_file_only(self, tmp_path: Path) -> None:
        document = asdict(MANIFEST)
        del document["output"]["files"], document["output"]["format"]
        (tmp_path / "m.json").write_text(json.dumps(document))
        found = read_manifest(tmp_path / "m.json")
        assert found is not None
        assert (found.output.format, found.output.files) == ("jsonl", ())
        written = found.output
        one = OutputFile(written.file, written.bytes, written.sha256, written.records)
        assert written.all_files == (one,)

    def test_files_of_any_format_belong_to_a_collection(self, tmp_path: Path) -> None:
        names = ["c_embeddings-00001-of-00001.parquet", "c_embeddings.ids.jsonl", "c_embeddings.npy"]
        for name in (*names, "d_embeddings.jsonl", "c_embedding_summary.json", "c.jsonl"):
            (tmp_path / name).touch()
        files = OutputFiles.in_folder(tmp_path, "c", "parquet")
        assert files.embeddings.name == "c_embeddings.parquet"
        assert [OutputFiles.of(tmp_path / name).embeddings.name for name in names] == names
        for other in (files, *(OutputFiles.of(tmp_path / name) for name in names)):
            assert [path.name for path in other.existing()] == [*names, "c_embedding_summary.json"]
            assert other.manifest == files.manifest
