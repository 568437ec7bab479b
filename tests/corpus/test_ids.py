"""Ids: how they are built, that they are unique, and what is said when they are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.corpus import CorpusOptions, IdCheck, check_ids, chunk_id, ids, page_id, point_id, read_chunks
from qembed.corpus.ids import content_sha256, hash64
from qembed.errors import DuplicateIds
from qembed.records import Finding, Place

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

    @pytest.mark.parametrize(
        ("items", "id_from"),
        [
            (['{"text": "a", "source": "x/i.md"}', '{"text": "b", "source": "y/i.md"}'], "path"),
            (['{"text": "a", "id": "p"}', '{"text": "b", "id": "q"}'], "own"),
            # chunk_index begins again on every page of one file
            (['{"text": "a", "source": "s.pdf", "page": 0}', '{"text": "b", "source": "s.pdf"}'], "position"),
            (['{"_id": "d", "text": "a"}', '{"_id": "d", "text": "b"}'], "position"),
        ],
    )
    def test_the_remedy_works(self, tmp_path: Path, items: list[str], id_from: Any) -> None:
        root = tmp_path / "eco"
        root.mkdir()
        items = [item[:-1] + ', "chunk_index": 0}' for item in items]
        (root / "a.json").write_text(f"[{', '.join(items)}]")
        with pytest.raises(DuplicateIds) as caught:
            check(root)
        assert f"--id-from {id_from} " in str(caught.value.remedy)
        assert check(root, CorpusOptions(id_from=id_from)) == 2

    def test_own_ids_are_kept_as_they_are(self, tmp_path: Path) -> None:
        items = [
            {"text": "a", "chunk_id": "Ä 1", "id": "no"},
            {"text": "b", "id": 7},
            {"text": "c", "_id": {"$oid": "64b0"}},
            {"text": "d", "metadata": {"chunk_id": "m"}},
            {"text": "e", "metadata": {"id": "n"}, "id": True},
            {"text": "f", "id": None},
        ]
        (tmp_path / "a.json").write_text(json.dumps(items))
        found: list[Finding] = []
        chunks = list(read_chunks(tmp_path, CorpusOptions("c", id_from="own"), on_finding=found.append))
        assert [chunk.id for chunk in chunks] == ["Ä 1", "7", "64b0", "m", "n"]
        assert [chunk.metadata["chunk_id"] for chunk in chunks] == [chunk.id for chunk in chunks]
        assert [(finding.kind, finding.lost) for finding in found] == [("no-id", "chunk")]

    def test_own_ids_that_come_twice_stop_the_run(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text('{"id": "x", "text": "a"}\n{"id": "x", "text": "b"}\n')
        with pytest.raises(DuplicateIds, match="two chunks have the id 'x'") as caught:
            check(tmp_path, CorpusOptions(id_from="own"))
        assert caught.value.where == "a.jsonl, line 1 and a.jsonl, line 2"

    def test_lines_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "text": "a"}\n\n{"_id": "d", "text": "b"}\n')
        with pytest.raises(DuplicateIds) as caught:
            check(tmp_path)
        assert caught.value.where == "corpus.jsonl, line 1 and corpus.jsonl, line 3"

    def test_only_the_sample_is_checked(self, tmp_path: Path) -> None:
        (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "text": "a"}\n{"_id": "d", "text": "b"}\n')
        assert check(tmp_path, CorpusOptions(limit=1)) == 1
