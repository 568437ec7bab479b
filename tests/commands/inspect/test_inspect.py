"""``qembed.inspect``: counts that can be checked by hand, with and without a tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import qembed
from qembed.commands.inspect import inspect as api
from qembed.corpus import CorpusOptions
from qembed.corpus.statistics import Distribution
from qembed.errors import InputNotFound, UsageError
from qembed.models import TokenCounter
from qembed.progress import Progress

WriteChunks = Callable[..., Path]


class Words:
    """A tokenizer for tests: words are tokens, and two special ones are added."""

    calls: list[int]

    def __init__(self) -> None:
        self.calls = []

    def __call__(self, texts: Any) -> list[int]:
        self.calls.append(len(texts))
        return [len(text.split()) + 2 for text in texts]


class Recorder(Progress):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.advanced = 0
        self.closed = 0

    def phase(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        self.phases.append(name)

    def advance(self, amount: int, *, texts: int = 0) -> None:
        self.advanced += amount

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Words:
    """Word counts in place of the bundled model's tokenizer, which reads 5 tokens here."""
    counter = Words()
    monkeypatch.setattr(api, "load_tokenizer", lambda source: TokenCounter(counter, 5))
    return counter


@pytest.fixture
def eco(tmp_path: Path, write_chunks: WriteChunks) -> Path:
    pages = {
        "a/1": ["one", "one two three four"],
        "a/2": ["one", "one two three"],
        "b/1": ["one two three four", "one", "one two three four five six"],
    }
    return write_chunks(tmp_path / "eco", pages)


class TestCounts:
    def test_without_a_model(self, eco: Path) -> None:
        found = api.inspect(eco)
        assert (found.collection, found.model, found.max_tokens) == ("eco", None, None)
        assert (found.total.files, found.total.chunks, found.total.unique_texts) == (3, 7, 4)
        assert found.total.tokens is None
        assert found.total.characters == Distribution(3 * 3 + 13 + 2 * 18 + 27, 13, 27, 27)
        assert {name: (h.files, h.chunks, h.unique_texts) for name, h in found.subdirectories.items()} == {
            "a": (2, 4, 3),
            "b": (1, 3, 3),
        }
        assert (found.findings, found.duplicate_ids) == ([], None)

    def test_with_a_model(self, eco: Path, words: Words) -> None:
        found = api.inspect(eco, model="minilm")
        assert found.max_tokens == 5
        assert found.total.tokens is not None
        lengths = [3, 6, 3, 5, 6, 3, 8]
        assert found.total.tokens.lengths == Distribution(sum(lengths), 5, 8, 8)
        assert (found.total.tokens.truncated_chunks, found.total.tokens.tokens_lost) == (3, 1 + 1 + 3)
        in_b = found.subdirectories["b"].tokens
        assert in_b is not None
        assert (in_b.lengths.total, in_b.truncated_chunks, in_b.tokens_lost) == (17, 2, 4)
        assert words.calls == [4], "each unique text is counted once"

    def test_tokens_are_counted_in_blocks(
        self, eco: Path, words: Words, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = api.inspect(eco, model="minilm")
        monkeypatch.setattr(api, "_BLOCK_TEXTS", 2)
        assert api.inspect(eco, model="minilm") == whole
        assert words.calls == [4, 2, 2]

    @given(
        pages=st.lists(st.lists(st.sampled_from(["a", "b b", "c c c", "d d d d"]), max_size=6), max_size=4)
    )
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_against_counting(
        self, tmp_path_factory: pytest.TempPathFactory, write_chunks: WriteChunks, pages: list[list[str]]
    ) -> None:
        root = tmp_path_factory.mktemp("eco")
        write_chunks(root, {f"{number % 2}/{number}": texts for number, texts in enumerate(pages)})
        texts = [text for page in pages for text in page]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(api, "load_tokenizer", lambda source: TokenCounter(Words(), 4))
            patch.setattr(api, "_BLOCK_TEXTS", 3)
            if not pages:
                with pytest.raises(InputNotFound):
                    api.inspect(root, CorpusOptions("c"), model="minilm")
                return
            total = api.inspect(root, CorpusOptions("c"), model="minilm").total
        lengths = [len(text.split()) + 2 for text in texts]
        assert (total.files, total.chunks, total.unique_texts) == (len(pages), len(texts), len(set(texts)))
        assert total.tokens is not None
        assert total.tokens.lengths.total == sum(lengths)
        assert total.tokens.tokens_lost == sum(max(length - 4, 0) for length in lengths)
        assert total.tokens.truncated_chunks == sum(length > 4 for length in lengths)

    def test_nothing_can_be_read(self, tmp_path: Path, words: Words) -> None:
        (tmp_path / "a.json").write_text("[1]")
        found = api.inspect(tmp_path, CorpusOptions("c"), model="minilm")
        assert (found.total.files, found.total.chunks, len(found.findings)) == (1, 0, 1)
        assert found.total.tokens is not None
        assert found.subdirectories == {}


class TestDuplicates:
    def test_groups_largest_first_with_an_example(self, eco: Path) -> None:
        groups = api.inspect(eco).duplicate_groups
        assert [(group.copies, group.text, group.characters) for group in groups] == [
            (3, "one", 3),
            (2, "one two three four", 18),
        ]
        assert groups[0].example_id == "eco:a:1.md:chunk:0"

    @pytest.mark.parametrize("shown", [0, 1, 2])
    def test_as_many_as_asked_for(self, eco: Path, shown: int) -> None:
        assert len(api.inspect(eco, groups_shown=shown).duplicate_groups) == shown

    def test_ids(self, eco: Path, write_chunks: WriteChunks) -> None:
        write_chunks(eco, {"a/3": [{"text": "x", "filename": "1.md"}]})
        said = api.inspect(eco).duplicate_ids
        assert said is not None
        assert "eco:a:1.md:chunk:0" in said
        assert "a/1_chunks.json, item 0 and a/3_chunks.json, item 0" in said

    def test_findings_are_told_once(self, eco: Path, write_chunks: WriteChunks) -> None:
        # Groups and ids each make a further walk.
        write_chunks(eco, {"a/3": [{"text": ""}, {"text": "x", "filename": "1.md", "index": 0}]})
        found = api.inspect(eco)
        assert found.duplicate_ids
        assert found.duplicate_groups
        assert [finding.kind for finding in found.findings] == ["empty-text"]


class TestCalls:
    def test_a_path_may_be_a_string(self, eco: Path) -> None:
        assert qembed.inspect(str(eco)).total.chunks == 7  # type: ignore[arg-type]

    def test_progress(self, eco: Path) -> None:
        progress = Recorder()
        api.inspect(eco, progress=progress)
        assert (progress.phases, progress.advanced, progress.closed) == (["reading chunks"], 7, 1)

    def test_progress_ends_with_an_error(self, tmp_path: Path) -> None:
        progress = Recorder()
        with pytest.raises(InputNotFound):
            api.inspect(tmp_path, progress=progress)
        assert progress.closed == 1

    def test_a_name_that_cannot_be_used(self, eco: Path) -> None:
        with pytest.raises(UsageError):
            api.inspect(eco, CorpusOptions(collection="a/b"))

    def test_the_bundled_tokenizer(self, eco: Path, minilm: Path) -> None:
        found = api.inspect(eco, model="minilm")
        assert found.max_tokens == 256
        assert found.total.tokens is not None
        assert found.total.tokens.lengths.total == np.sum([3, 6, 3, 5, 6, 3, 8])
