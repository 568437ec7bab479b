"""Texts of what runs found, out of chunks or embeddings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from bench_folders import Item, write_embeddings
from eval_folders import eval_folder

from qembed.corpus import CorpusOptions
from qembed.errors import InputNotFound
from qembed.evaluation.eval_sets.corpora import corpus_items, texts_of
from qembed.records import Finding
from qembed.store import BadLine


def test_chunks_by_chunk_and_by_page(tmp_path: Path, write_chunks: Callable[..., Path]) -> None:
    corpus = write_chunks(tmp_path / "docs", {"guide/intro": ["one", "two"], "guide/more": ["three"]})
    wanted = {"docs:guide:intro.md:chunk:1", "guide/intro.md", "guide/absent.md"}
    assert texts_of(corpus, wanted, CorpusOptions()) == {
        "docs:guide:intro.md:chunk:1": "two",
        "guide/intro.md": "one\n\ntwo",
    }
    renamed = texts_of(corpus, {"shop:guide:more.md:chunk:0"}, CorpusOptions(collection="shop"))
    assert renamed == {"shop:guide:more.md:chunk:0": "three"}


def test_embeddings_with_and_without_texts(tmp_path: Path) -> None:
    items = [Item("a", "text of a", [1, 0], page="p.md"), Item("b", "", [0, 1], page="p.md")]
    folder = write_embeddings(tmp_path / "out", items)
    for path in (folder, folder / "c_embeddings.jsonl"):
        assert texts_of(path, {"a", "b", "docs/p.md"}, CorpusOptions()) == {
            "a": "text of a",
            "docs/p.md": "text of a",
        }


def test_the_corpus_of_beir(tmp_path: Path) -> None:
    folder = eval_folder(tmp_path / "set", {"q": "one"}, {}, corpus={"d1": "one", "d2": "two"})
    assert texts_of(folder / "corpus.jsonl", {"d2"}, CorpusOptions()) == {"d2": "two"}


def test_what_cannot_be_read_is_passed_on(tmp_path: Path) -> None:
    folder = write_embeddings(tmp_path / "out", [Item("a", "one", [1, 0])])
    file = folder / "c_embeddings.jsonl"
    file.write_text(file.read_text() + "broken\n")
    found: list[Finding | BadLine] = []
    assert [item.chunk_id for item in corpus_items(folder, CorpusOptions(), found.append)] == ["a"]
    assert len(found) == 1
    with pytest.raises(InputNotFound):
        texts_of(tmp_path / "absent", {"a"}, CorpusOptions())
