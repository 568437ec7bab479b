"""``corpus_from_package``: the folder that it makes, and what it never does to a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qembed.commands.corpus.from_package import MARKER, PackageCorpus, corpus_from_package
from qembed.corpus import CorpusOptions, read_chunks
from qembed.errors import OutputExists, UsageError

pytestmark = pytest.mark.usefixtures("word_tokenizer")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    site = tmp_path / "site"
    (site / "smallpkg").mkdir(parents=True)
    (site / "smallpkg/__init__.py").write_text(
        f"'Top.'\ndef f(a: int):\n    '''{'One two three. ' * 60}'''\n", encoding="utf-8"
    )
    (site / "smallpkg/sub.py").write_text("def g():\n    'G.'\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    return "smallpkg"


def chunks(output: Path) -> list[dict[str, Any]]:
    return [
        chunk for file in sorted(output.glob("*/*_chunks.json")) for chunk in json.loads(file.read_bytes())
    ]


def files(output: Path) -> dict[str, bytes]:
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


class TestOutput:
    def test_files_and_counts(self, small: str, tmp_path: Path, word_tokenizer: Any) -> None:
        made = corpus_from_package([small], tmp_path / "out")
        (package,) = made.packages
        assert package.files == ("smallpkg/smallpkg_chunks.json", "smallpkg/smallpkg.sub_chunks.json")
        found = chunks(made.output)
        assert (package.entries, package.chunks, package.version) == (3, len(found), "unknown")
        assert package.tokens == word_tokenizer.count([chunk["content"] for chunk in found]).sum()
        assert max(word_tokenizer.count([chunk["content"] for chunk in found])) <= made.max_tokens == 64
        assert package.over_limit == 0
        assert made.findings == ()

    def test_a_chunk(self, small: str, tmp_path: Path) -> None:
        made = corpus_from_package([small], tmp_path / "out", collection="api")
        chunk = next(chunk for chunk in chunks(made.output) if chunk["metadata"]["chunk_index"] == 1)
        assert chunk["chunk_id"] == "api:smallpkg:smallpkg.f:chunk:1"
        assert chunk["content"].startswith("smallpkg.f(a: int)\n\nOne two three.")
        assert chunk["metadata"] == {
            "collection": "api",
            "subdirectory": "smallpkg",
            "source_file": "smallpkg/__init__.py",
            "filename": "smallpkg.f",
            "chunk_index": 1,
            "kind": "function",
            "qualified_name": "smallpkg.f",
            "signature": "smallpkg.f(a: int)",
            "line": 2,
            "package_version": "unknown",
        }

    def test_the_reader_finds_the_same_chunks(self, tmp_path: Path) -> None:
        made = corpus_from_package(["click"], tmp_path / "out")
        written = {chunk["chunk_id"]: chunk["content"] for chunk in chunks(made.output)}
        read = list(read_chunks(made.output, CorpusOptions(collection="python_api")))
        assert {chunk.id: chunk.text for chunk in read} == written
        assert len(read) == len(written) == made.packages[0].chunks
        assert all("original" not in chunk.metadata for chunk in read)

    def test_two_runs_are_byte_identical(self, tmp_path: Path) -> None:
        first = corpus_from_package(["click"], tmp_path / "a")
        second = corpus_from_package(["click"], tmp_path / "b")
        assert files(first.output) == files(second.output)
        assert len(files(first.output)) > 5

    def test_a_smaller_limit_gives_more_chunks(self, small: str, tmp_path: Path) -> None:
        wide = corpus_from_package([small], tmp_path / "wide")
        narrow = corpus_from_package([small], tmp_path / "narrow", max_tokens=32)
        assert narrow.packages[0].chunks > wide.packages[0].chunks
        assert narrow.packages[0].entries == wide.packages[0].entries


class TestFolder:
    def test_a_full_folder_is_refused(self, small: str, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out/notes.txt").write_text("mine", encoding="utf-8")
        with pytest.raises(OutputExists, match="not empty") as caught:
            corpus_from_package([small], tmp_path / "out")
        assert "--force" in str(caught.value.remedy)

    def test_an_empty_folder_is_used(self, small: str, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        assert chunks(corpus_from_package([small], tmp_path / "out").output)

    def test_force_replaces_only_the_named_packages(self, small: str, tmp_path: Path) -> None:
        output = corpus_from_package([small, "click"], tmp_path / "out").output
        (output / "notes.txt").write_text("mine", encoding="utf-8")
        (output / small / "stale_chunks.json").write_text("[]", encoding="utf-8")
        (output / "click/kept.txt").write_text("kept", encoding="utf-8")
        corpus_from_package([small], output, force=True)
        assert not (output / small / "stale_chunks.json").exists()
        assert (output / "notes.txt").read_text(encoding="utf-8") == "mine"
        assert (output / "click/kept.txt").exists()
        assert (output / small / MARKER).is_file()

    def test_force_never_replaces_a_folder_of_others(self, small: str, tmp_path: Path) -> None:
        (tmp_path / "out" / small).mkdir(parents=True)
        (tmp_path / "out" / small / "precious").write_text("mine", encoding="utf-8")
        with pytest.raises(OutputExists, match="not made by this command"):
            corpus_from_package([small], tmp_path / "out", force=True)
        assert (tmp_path / "out" / small / "precious").exists()

    def test_a_file_in_the_way(self, small: str, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("mine", encoding="utf-8")
        with pytest.raises(OutputExists, match="a file"):
            corpus_from_package([small], tmp_path / "out", force=True)

    def test_a_run_that_breaks_off_leaves_nothing(self, small: str, tmp_path: Path) -> None:
        before = sorted(tmp_path.iterdir())

        def interrupt(name: str) -> None:
            if name == "click":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            corpus_from_package([small, "click"], tmp_path / "out", on_package=interrupt)
        assert sorted(tmp_path.iterdir()) == before

    def test_a_run_that_breaks_off_leaves_the_old_output(self, small: str, tmp_path: Path) -> None:
        output = corpus_from_package([small], tmp_path / "out").output
        before = files(output)
        with pytest.raises(UsageError, match="no_such_package"):
            corpus_from_package([small, "no_such_package"], output, force=True, collection="other")
        assert files(output) == before


class TestUsage:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"max_tokens": 31}, "no room"),
            ({"max_tokens": 65}, "reads 64 tokens"),
            ({"collection": "a:b"}, "cannot name a collection"),
            ({"exclude": ["other.part"]}, "not part of any of the packages"),
            ({"names": []}, "no package is given"),
        ],
    )
    def test_what_is_refused(self, small: str, tmp_path: Path, options: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            corpus_from_package(**{"names": [small], "output": tmp_path / "out", **options})
        assert not (tmp_path / "out").exists()

    def test_a_package_without_documentation(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "bare_module.py").write_text("def f(a): ...", encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(UsageError, match="public and documented"):
            corpus_from_package(["bare_module"], tmp_path / "out")
        made = corpus_from_package(["bare_module"], tmp_path / "out", undocumented=True)
        assert [chunk["content"] for chunk in chunks(made.output)] == ["bare_module.f(a)"]

    def test_a_name_given_twice_counts_once(self, small: str, tmp_path: Path) -> None:
        made: PackageCorpus = corpus_from_package([small, small], tmp_path / "out")
        assert [package.name for package in made.packages] == [small]
