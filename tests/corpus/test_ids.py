"""Ids: how they are built, that they are unique, and what is said when they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.corpus import CorpusOptions, IdCheck, check_ids, chunk_id, ids, page_id, point_id, read_chunks
from qembed.corpus.ids import content_sha256, hash64
from qembed.errors import DuplicateIds
from qembed.records import Place

WriteChunks = Callable[..., Path]


def check(root: Path, options: CorpusOptions = CorpusOptions()) -> int:
    """Chunks of a folder, after their ids were held against each other."""
    seen, count = IdCheck(), 0
    for chunk in read_chunks(root, options):
        seen.add(chunk.id)
        count += 1
    check_ids(seen, root, options)
    return count


class TestNames:
    def test_chunk_id(self) -> None:
        assert chunk_id("eco", "docs", "a.md", 3) == "eco:docs:a.md:chunk:3"

    def test_page_id(self) -> None:
        assert page_id("docs", "a.md") == "docs/a.md"

    @pytest.mark.parametrize(
        ("name", "number"),
        [
            # printf 'eco:docs:a.md:chunk:0' | sha256sum; the last 16 digits, with the top bit cleared
            ("eco:docs:a.md:chunk:0", 0x7415E5DC35AAF96C),
            ("eco:docs:naïve.md:chunk:1", 0x584E3123A205B183),
        ],
    )
    def test_point_id_by_hand(self, name: str, number: int) -> None:
        assert point_id(name) == number

    @given(st.text(st.characters(codec="utf-8")))
    def test_point_ids_fit_what_qdrant_takes(self, name: str) -> None:
        assert 0 <= point_id(name) < 2**63

    def test_content_sha256_is_that_of_the_bytes(self) -> None:
        # printf 'abc' | sha256sum
        digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assert content_sha256("abc") == digest

    @given(st.text())
    def test_hash64_takes_any_string(self, text: str) -> None:
        assert 0 <= hash64(text) < 2**64


class TestIdCheck:
    @given(st.lists(st.text(max_size=2), max_size=30))
    def test_against_a_dictionary(self, names: list[str]) -> None:
        seen = IdCheck()
        for name in names:
            seen.add(name)
        assert seen.repeated() == {hash64(name) for name in names if names.count(name) > 1}

    def test_both_places_are_named(self) -> None:
        chunks = [
            ("a", Place("x.json", item=0)),
            ("b", Place("x.json", item=1)),
            ("a", Place("y.jsonl", line=3)),
        ]
        with pytest.raises(DuplicateIds) as caught:
            IdCheck.explain(frozenset([hash64("a")]), chunks)
        assert caught.value.message == "two chunks have the id 'a'"
        assert caught.value.where == "x.json, item 0 and y.jsonl, line 3"
        assert "--id-from path" in (caught.value.remedy or "")
        assert caught.value.exit_code == 3

    def test_a_collision_of_hashes_is_no_duplicate(
        self, tmp_path: Path, write_chunks: WriteChunks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ids, "hash64", lambda text: 7)
        write_chunks(tmp_path / "eco", {"docs/a": ["one", "two"], "docs/b": ["three"]})
        assert check(tmp_path / "eco") == 3

    def test_a_duplicate_among_collisions_is_found(
        self, tmp_path: Path, write_chunks: WriteChunks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ids, "hash64", lambda text: 7)
        write_chunks(
            tmp_path / "eco", {"docs/a": ["one", "two"], "docs/x/a": [{"text": "3", "filename": "a.md"}]}
        )
        with pytest.raises(DuplicateIds) as caught:
            check(tmp_path / "eco")
        assert caught.value.where == "docs/a_chunks.json, item 0 and docs/x/a_chunks.json, item 0"


class TestCollections:
    def test_unique(self, tmp_path: Path, write_chunks: WriteChunks) -> None:
        root = write_chunks(tmp_path / "eco", {"docs/a": ["one", "two"], "more/a": ["one", "two"]})
        assert check(root) == 4

    def test_pages_of_one_name_in_nested_folders(self, tmp_path: Path) -> None:
        root = tmp_path / "eco"
        for folder in ("guide", "api"):
            file = root / "docs" / folder / "index_chunks.json"
            file.parent.mkdir(parents=True)
            file.write_text(
                f'[{{"text": "a", "metadata": {{"source_file": "docs\\\\{folder}\\\\index.md"}}}}]'
            )
        with pytest.raises(DuplicateIds, match=r"eco:docs:index\.md:chunk:0") as caught:
            check(root)
        assert (
            caught.value.where
            == "docs/api/index_chunks.json, item 0 and docs/guide/index_chunks.json, item 0"
        )
        by_path = CorpusOptions(id_from="path")
        assert check(root, by_path) == 2
        assert [chunk.id for chunk in read_chunks(root, by_path)] == [
            "eco:docs:api/index.md:chunk:0",
            "eco:docs:guide/index.md:chunk:0",
        ]

    def test_lines_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "text": "a"}\n\n{"_id": "d", "text": "b"}\n')
        with pytest.raises(DuplicateIds) as caught:
            check(tmp_path)
        assert caught.value.where == "corpus.jsonl, line 1 and corpus.jsonl, line 3"

    def test_only_the_sample_is_checked(self, tmp_path: Path) -> None:
        (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "text": "a"}\n{"_id": "d", "text": "b"}\n')
        assert check(tmp_path, CorpusOptions(limit=1)) == 1
