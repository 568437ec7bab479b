"""``evalset`` from Python: what is read, looked up and written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from eval_folders import eval_folder

from qembed.commands.evalset.evalset import check_eval_set, convert_eval_set, draft_eval_set
from qembed.corpus import CorpusOptions
from qembed.errors import InputNotFound, Mismatch, OutputExists, UsageError
from qembed.evaluation.eval_sets.beir import read_qrels
from qembed.evaluation.eval_sets.eval_set import load_eval_set
from qembed.store import FORMATS, open_writer

WriteChunks = Callable[..., Path]
QUERIES = {"q1": "one", "q2": "two"}
PROSE = "Some words of plain prose that stand below and tell the reader enough to know what is meant here."


class TestCheck:
    def test_the_folders_own_corpus_is_looked_up(self, tmp_path: Path) -> None:
        folder = eval_folder(tmp_path, QUERIES, {"test": ["q1 a 1", "q2 z 1"]}, corpus={"a": "A", "b": "B"})
        checked = check_eval_set(folder)
        assert checked.corpus is not None
        assert (checked.corpus.path, checked.corpus.chunks) == (folder / "corpus.jsonl", 2)
        assert [(found.kind, found.place.line) for found in checked.findings] == [("unknown-item", 3)]
        assert not checked.sound()

    def test_without_a_corpus(self, tmp_path: Path) -> None:
        checked = check_eval_set(eval_folder(tmp_path, QUERIES, {"test": ["q1 a 1", "q2 z 0"]}))
        assert checked.corpus is None
        assert [found.kind for found in checked.findings] == ["unanswerable"]
        assert checked.sound(strict=True), "a note is no warning"

    def test_chunks(self, tmp_path: Path, write_chunks: WriteChunks) -> None:
        chunks = write_chunks(tmp_path / "eco", {"docs/a": ["one", "two"], "docs/b": ["three"]})
        rows = ["q1 eco:docs:a.md:chunk:1 1", "q2 eco:docs:b.md:chunk:0 1"]
        folder = eval_folder(tmp_path / "set", QUERIES, {"test": rows})
        checked = check_eval_set(folder, chunks)
        assert checked.corpus is not None
        assert (checked.findings, checked.corpus.chunks, checked.corpus.pages) == ((), 3, 2)
        other = check_eval_set(folder, chunks, CorpusOptions(collection="other"))
        assert [found.kind for found in other.findings] == ["other-corpus"]
        assert "'other:docs:a.md:chunk:0'" in other.findings[0].reason

    def test_pages(self, tmp_path: Path, write_chunks: WriteChunks) -> None:
        chunks = write_chunks(tmp_path / "eco", {"docs/a": ["one", "two"], "docs/b": ["three"]})
        rows = ["q1 docs/a.md 1", "q2 docs/b.md 1"]
        folder = eval_folder(tmp_path / "set", QUERIES, {"test": rows}, card='level = "page"')
        assert check_eval_set(folder, chunks).findings == ()
        (found,) = check_eval_set(eval_folder(tmp_path / "s", QUERIES, {"test": rows}), chunks).findings
        assert 'write level = "page"' in found.reason

    @pytest.mark.parametrize("format", FORMATS)
    def test_embeddings(self, tmp_path: Path, format: str) -> None:
        if format == "parquet":
            pytest.importorskip("pyarrow")
        metadata = {"subdirectory": "docs", "filename": "a.md"}
        with open_writer(format, tmp_path, "eco", dimension=2, records=2) as writer:  # type: ignore[arg-type]
            writer.add(["a", "b"], ["A", "B"], np.ones((2, 2), dtype=np.float32), [metadata, metadata])
            writer.close()
        folder = eval_folder(tmp_path / "set", QUERIES, {"test": ["q1 a 1", "q2 c 1"]})
        embedded = next(path for path in tmp_path.iterdir() if path.suffix == f".{format}")
        for corpus in (tmp_path, embedded):
            checked = check_eval_set(folder, corpus)
            assert checked.corpus is not None
            assert (checked.corpus.chunks, checked.corpus.pages, checked.corpus.unreadable) == (2, 1, 0)
            assert [(found.kind, found.place.line) for found in checked.findings] == [("unknown-item", 3)]

    def test_what_cannot_be_read_of_the_corpus_is_counted(self, tmp_path: Path) -> None:
        folder = eval_folder(tmp_path, QUERIES, {"test": ["q1 a 1"]}, corpus={"a": "A"})
        with (folder / "corpus.jsonl").open("a") as file:
            file.write("{broken\n")
        checked = check_eval_set(folder)
        assert checked.corpus is not None
        assert checked.corpus.unreadable == 1

    def test_a_corpus_that_is_not_there(self, tmp_path: Path) -> None:
        folder = eval_folder(tmp_path, QUERIES, {"test": ["q1 a 1"]})
        with pytest.raises(InputNotFound):
            check_eval_set(folder, tmp_path / "absent")


class TestConvert:
    def test_there_and_back(self, tmp_path: Path) -> None:
        folder = eval_folder(
            tmp_path / "a",
            QUERIES,
            {"test": ["q1 a 2", "q1 b 0"], "train": ["q2 c 1", "q9 x 1"]},
            card='level = "page"\nname = "mine"',
        )
        there = convert_eval_set(folder, tmp_path / "b", to="trec")
        assert (there.queries, there.judgements, there.findings) == (2, {"test": 2, "train": 2}, ())
        assert {path.relative_to(tmp_path / "b").as_posix() for path in there.files} == {
            "queries.tsv",
            "qrels/test.txt",
            "qrels/train.txt",
            "card.toml",
        }
        convert_eval_set(tmp_path / "b", tmp_path / "c", to="beir")
        for name in ("queries.jsonl", "qrels/test.tsv", "qrels/train.tsv"):
            written = (tmp_path / "c" / name).read_text().replace('":"', '": "').replace('","', '", "')
            assert written == (folder / name).read_text(), name
        first, last = load_eval_set(folder), load_eval_set(tmp_path / "c")
        assert (first.card, first.queries, first.qrels) == (last.card, last.queries, last.qrels)

    def test_negative_grades_stay(self, tmp_path: Path) -> None:
        (tmp_path / "q.txt").write_text("1 0 a -2\n1 0 b 1\n")
        convert_eval_set(tmp_path / "q.txt", tmp_path / "q.tsv", to="beir")
        assert read_qrels(tmp_path / "q.tsv") == {"1": {"a": -2, "b": 1}}

    def test_what_is_lost_is_said(self, tmp_path: Path) -> None:
        folder = eval_folder(tmp_path / "a", QUERIES, {"test": ["q1 a 1", "q2 b high"]})
        converted = convert_eval_set(folder, tmp_path / "b", to="trec")
        assert [(found.kind, found.place.line) for found in converted.findings] == [("bad-grade", 3)]

    def test_nothing_is_replaced(self, tmp_path: Path) -> None:
        folder = eval_folder(tmp_path / "a", QUERIES, {"test": ["q1 a 1"]})
        with pytest.raises(OutputExists):
            convert_eval_set(folder, folder, to="trec")
        with pytest.raises(OutputExists):
            convert_eval_set(folder, folder / "queries.jsonl", to="trec")
        with pytest.raises(OutputExists):
            convert_eval_set(folder / "qrels" / "test.tsv", tmp_path, to="trec")

    def test_ids_with_spaces_are_refused(self, tmp_path: Path) -> None:
        folder = eval_folder(tmp_path / "a", {"q": "one"}, {})
        (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tmy page.md\t1\n")
        with pytest.raises(UsageError, match=r"'my page\.md'"):
            convert_eval_set(folder, tmp_path / "b", to="trec")
        assert not (tmp_path / "b").exists()

    def test_a_run_or_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("1 Q0 a 1 0.5 x\n")
        with pytest.raises(Mismatch, match="is a run"):
            convert_eval_set(tmp_path / "run", tmp_path / "b", to="beir")
        with pytest.raises(InputNotFound, match="no qrels"):
            convert_eval_set(eval_folder(tmp_path / "a", QUERIES, {}), tmp_path / "b", to="trec")


class TestDraft:
    def test_it_is_a_sound_synthetic_set(self, tmp_path: Path, write_chunks: WriteChunks) -> None:
        chunks = write_chunks(
            tmp_path / "eco",
            {
                "docs/a": [f"## Deleting points\n{PROSE}"],
                "more/b": [f"{PROSE}\n## How do I filter points?\n{PROSE}"],
            },
        )
        made = draft_eval_set(chunks, tmp_path / "set")
        assert {query.text for query in made.draft.queries} == {"Deleting points", "How do I filter points?"}
        eval_set = load_eval_set(tmp_path / "set")
        assert eval_set.card == made.card
        assert (eval_set.card.synthetic, eval_set.card.level) == (True, "chunk")
        assert "word for word" in eval_set.card.description
        checked = check_eval_set(tmp_path / "set", chunks)
        assert checked.findings == ()
        lines = (tmp_path / "set" / "queries.jsonl").read_text()
        assert '"metadata":{"kind":"heading","page":"docs/a.md"}' in lines

    def test_a_set_that_was_edited_is_not_lost(self, tmp_path: Path, write_chunks: WriteChunks) -> None:
        chunks = write_chunks(tmp_path / "eco", {"docs/a": [f"## Deleting points\n{PROSE}"]})
        draft_eval_set(chunks, tmp_path / "set")
        (tmp_path / "set" / "queries.jsonl").write_text("mine")
        with pytest.raises(OutputExists):
            draft_eval_set(chunks, tmp_path / "set")
        assert (tmp_path / "set" / "queries.jsonl").read_text() == "mine"
        draft_eval_set(chunks, tmp_path / "set", force=True)
        assert "Deleting points" in (tmp_path / "set" / "queries.jsonl").read_text()

    def test_nothing_to_ask(self, tmp_path: Path, write_chunks: WriteChunks) -> None:
        chunks = write_chunks(tmp_path / "eco", {"docs/a": ["only a text"]})
        with pytest.raises(UsageError, match="no heading, question or docstring in 1 chunks"):
            draft_eval_set(chunks, tmp_path / "set")
        assert not (tmp_path / "set").exists()

    def test_broken_chunks_are_said_once(self, tmp_path: Path, write_chunks: WriteChunks) -> None:
        chunks = write_chunks(tmp_path / "eco", {"docs/a": [f"## Deleting points\n{PROSE}", {"content": ""}]})
        made = draft_eval_set(chunks, tmp_path / "set")
        assert [found.kind for found in made.findings] == ["empty-text"]

    def test_the_real_collection(self, tmp_path: Path, real_data: Path) -> None:
        made = draft_eval_set(real_data / "qdrant_ecosystem", tmp_path / "set", queries=60)
        queries = made.draft.queries
        assert len(queries) == 60
        assert len({query.subdirectory for query in queries}) == 6
        assert len({query.page for query in queries}) > 45
        menus = {
            "Getting Started",
            "Was this page useful?",
            "Ready to get started with Qdrant?",
            "On this page",
        }
        assert not menus & {query.text for query in queries}
