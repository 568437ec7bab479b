"""Which files are chunk files, and what is said when there are none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qembed.corpus import CorpusOptions, collection_name, read_chunks
from qembed.corpus.walk import ROOT, walk
from qembed.errors import InputNotFound, UsageError
from qembed.records import Finding
from qembed.store import find_embeddings

Run = Callable[..., Any]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[]")
    return root


class TestFiles:
    def test_names_and_subdirectories(self, tmp_path: Path) -> None:
        touch(tmp_path, "b/x_chunks.json", "a/deep/y.jsonl", "a/chunks.json", "top.json")
        assert [(file.name, file.subdirectory, file.stem) for file in walk(tmp_path)] == [
            ("top.json", ROOT, "top"),
            ("a/chunks.json", "a", "chunks"),
            ("a/deep/y.jsonl", "a", "y"),
            ("b/x_chunks.json", "b", "x"),
        ]

    def test_what_is_passed_over(self, tmp_path: Path) -> None:
        touch(
            tmp_path,
            "a/x.json",
            "a/.hidden.json",
            ".git/y.json",
            "a/notes.md",
            "a/x.json.bak",
            "a/c_embeddings.jsonl",
            "a/c_embeddings-00001-of-00002.jsonl",
            "a/c_embeddings.ids.jsonl",
            "a/c_embeddings-00002-of-00002.ids.jsonl",
            "a/c_embedding_summary.json",
            "a/c_embedding_manifest.json",
        )
        assert [file.name for file in walk(tmp_path)] == ["a/x.json"]

    def test_a_beir_folder_is_its_corpus(self, tmp_path: Path) -> None:
        touch(tmp_path, "corpus.jsonl", "queries.jsonl", "qrels/test.json", "other.json")
        assert [(file.name, file.subdirectory) for file in walk(tmp_path)] == [("corpus.jsonl", ROOT)]

    def test_a_file_is_taken_whatever_its_name(self, tmp_path: Path) -> None:
        touch(tmp_path, "c_embeddings.jsonl", "notes.txt")
        for name in ("c_embeddings.jsonl", "notes.txt"):
            assert [file.name for file in walk(tmp_path / name)] == [name]

    def test_the_order_is_not_that_of_the_file_system(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = sorted(f"{folder}/{number}.json" for folder in "abc" for number in range(9))
        touch(tmp_path, *names)

        class Backwards:
            def __init__(self, path: Any) -> None:
                with original(path) as entries:
                    self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

            def __enter__(self) -> list[os.DirEntry[str]]:
                return self.entries

            def __exit__(self, *_: object) -> None:
                pass

        original = os.scandir
        monkeypatch.setattr(os, "scandir", Backwards)
        assert [file.name for file in walk(tmp_path)] == names


class TestNothingThere:
    def test_missing_folder(self, tmp_path: Path) -> None:
        touch(tmp_path, "chunks/a.json", "notes.md")
        with pytest.raises(InputNotFound) as caught:
            list(walk(tmp_path / "chunk"))
        assert caught.value.exit_code == 2
        assert "chunk' does not exist" in caught.value.message
        assert caught.value.where == f"{tmp_path} holds chunks/, notes.md"

    def test_missing_far_away(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound) as caught:
            list(walk(tmp_path / "a" / "b" / "c"))
        assert caught.value.where == f"{tmp_path} is empty"

    def test_below_a_file(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.json")
        with pytest.raises(InputNotFound):
            list(walk(tmp_path / "a.json" / "b"))

    def test_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound) as caught:
            list(walk(tmp_path))
        assert caught.value.where == f"{tmp_path} is empty"
        for wanted in (".json", ".jsonl", ".parquet", ".zst"):
            assert wanted in caught.value.message

    def test_only_other_files(self, tmp_path: Path) -> None:
        touch(tmp_path, *(f"page{number}.md" for number in range(10)), "sub/readme.txt")
        with pytest.raises(InputNotFound) as caught:
            list(walk(tmp_path))
        listed = ", ".join(f"page{number}.md" for number in range(8))
        assert caught.value.where == f"{tmp_path} holds {listed} and 3 more"
        assert "subfolders" in (caught.value.remedy or "")

    def test_only_a_link_to_itself(self, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(InputNotFound) as caught:
            list(walk(tmp_path))
        assert caught.value.where == f"{tmp_path} holds loop"

    def test_a_folder_that_cannot_be_listed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: Any) -> Any:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(os, "scandir", refuse)
        findings: list[Finding] = []
        with pytest.raises(InputNotFound, match="cannot be listed: Permission denied"):
            list(walk(tmp_path, findings.append))
        assert findings == []

    @pytest.mark.parametrize("command", ["inspect", "embed"])
    def test_exit_code_and_words(self, tmp_path: Path, run_cli: Run, command: str) -> None:
        folder = touch(tmp_path / "in", "readme.txt")
        more = ["-o", tmp_path / "out", "--model", "minilm"] if command == "embed" else []
        for given, words in ((folder, "no chunk files"), (folder / "gone", "does not exist")):
            code, out, err = run_cli([command, given, *more])
            assert (code, out) == (2, "")
            assert words in err
            assert f"where: {folder} holds readme.txt" in err
            assert "next:" in err
            assert "Traceback" not in err


class TestCollectionName:
    def test_of_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "eco").mkdir()
        assert collection_name(tmp_path / "eco") == "eco"
        monkeypatch.chdir(tmp_path / "eco")
        assert collection_name(Path()) == "eco"

    @pytest.mark.parametrize("name", ["a_chunks.json", "a.json", "a.jsonl", "a_embeddings.jsonl"])
    def test_of_a_file(self, tmp_path: Path, name: str) -> None:
        touch(tmp_path, name)
        assert collection_name(tmp_path / name) == "a"

    def test_the_given_one_wins(self, tmp_path: Path) -> None:
        assert collection_name(tmp_path, "b") == "b"

    @pytest.mark.parametrize(
        "name", ["", " ", "a/b", "a\\b", "a:b", 'a"b', "a\nb", "a\0b", "\ud800", ".", "..", ".a"]
    )
    def test_what_cannot_be_one(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UsageError, match="cannot name a collection") as caught:
            collection_name(tmp_path, name)
        assert "--collection" in (caught.value.remedy or "")

    @pytest.mark.parametrize("name", ["x" * 240, "\u00e4" * 100])
    def test_too_long_for_names_of_files(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UsageError, match="too long for names of files") as caught:
            collection_name(tmp_path, name)
        assert "at most 180 bytes" in (caught.value.remedy or "")
        (tmp_path / f".{name[: 180 // len(name[0].encode())]}{'x' * 60}").touch()  # what such a name becomes

    def test_the_top_of_the_file_system_has_no_name(self) -> None:
        with pytest.raises(UsageError):
            collection_name(Path("/"))


class TestLimit:
    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
    def test_per_subdirectory(self, tmp_path: Path, write_chunks: Callable[..., Path], limit: int) -> None:
        pages = {
            "a/1": ["a", "b"],
            "a/2": ["c", "d"],
            "b/1": ["e"],
            "b/deep/2": ["f", "g"],
            "top": ["h", "i"],
        }
        write_chunks(tmp_path / "eco", pages)
        opened: list[str] = []
        options = CorpusOptions(limit=limit)
        chunks = list(read_chunks(tmp_path / "eco", options, on_file=lambda file: opened.append(file.name)))
        by_subdirectory = {"root": "hi", "a": "abcd", "b": "efg"}
        assert "".join(chunk.text for chunk in chunks) == "".join(
            texts[:limit] for texts in by_subdirectory.values()
        )
        if limit == 1:
            assert opened == ["top_chunks.json", "a/1_chunks.json", "b/1_chunks.json"]

    def test_what_cannot_be_read_does_not_count(
        self, tmp_path: Path, write_chunks: Callable[..., Path]
    ) -> None:
        write_chunks(tmp_path / "eco", {"a/1": [{"text": ""}, "one", {"text": 7}, "two", "three"]})
        findings: list[Finding] = []
        chunks = list(read_chunks(tmp_path / "eco", CorpusOptions(limit=2), on_finding=findings.append))
        assert [chunk.text for chunk in chunks] == ["one", "two"]
        assert [finding.place.item for finding in findings] == [0, 2]


class TestNoFiles:
    """What would block whoever opens it is named and never opened."""

    def test_a_pipe_as_the_input(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputNotFound, match="is a pipe, not a file or folder"):
            list(read_chunks(tmp_path / "pipe"))
        with pytest.raises(InputNotFound, match="is a pipe, not a file of embeddings"):
            find_embeddings(tmp_path / "pipe")

    def test_a_pipe_among_files(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.json")
        (tmp_path / "b.json").write_text('[{"text": "t"}]')
        findings: list[Finding] = []
        assert len(list(read_chunks(tmp_path, on_finding=findings.append))) == 1
        assert [(found.kind, found.reason) for found in findings] == [
            ("unreadable-file", "a pipe, not a file")
        ]
