"""Survey and statistics against implementations that a child could check."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qembed.corpus import CorpusOptions, read_chunks
from qembed.corpus.ids import content_sha256
from qembed.corpus.statistics import (
    Distribution,
    Tokens,
    describe,
    describe_tokens,
    holdings,
    largest_groups,
)
from qembed.corpus.survey import Groups, Survey, group_equal
from qembed.records import Chunk, Place

texts = st.lists(st.sampled_from(["", "a", "b", "c", "d"]), max_size=30)
sizes = st.lists(st.integers(0, 10_000), max_size=40)
parts = st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(["a", "bb", "ccc"])), max_size=40)


def numbers(values: list[int]) -> Any:
    return np.array(values, dtype=np.int64)


def keys_of(values: list[str]) -> Any:
    return np.array([value.encode().ljust(4, b"\0") for value in values], dtype="S4").view("V4")


def naive_groups(values: list[Any]) -> tuple[list[int], list[int]]:
    unique = list(dict.fromkeys(values))
    return [values.index(value) for value in unique], [unique.index(value) for value in values]


def nearest_rank(values: list[int], percent: int) -> int:
    return sorted(values)[max(math.ceil(percent / 100 * len(values)), 1) - 1]


def chunk_of(text: str, subdirectory: str = "docs", name: str = "a", **metadata: Any) -> Chunk:
    metadata = {**metadata, "subdirectory": subdirectory, "content_sha256": content_sha256(text)}
    return Chunk(name, text, metadata, Place(f"{subdirectory}/a.json"))


def surveyed(root: Path, **options: Any) -> Survey:
    survey = Survey()
    reading = CorpusOptions(**options)
    for chunk in read_chunks(root, reading, on_finding=survey.findings.append, on_file=survey.on_file):
        survey.add(chunk)
    return survey


class TestGroups:
    @given(texts)
    @example([])
    def test_against_dictionaries(self, values: list[str]) -> None:
        groups = group_equal(keys_of(values))
        first, inverse = naive_groups(values)
        assert (groups.first.tolist(), groups.inverse.tolist()) == (first, inverse)
        counts = Counter(values)
        assert groups.sizes().tolist() == [counts[value] for value in dict.fromkeys(values)]

    @given(st.lists(st.binary(min_size=16, max_size=16) | st.sampled_from([b"\0" * 16, b"a" + b"\0" * 15])))
    def test_zero_bytes_count(self, keys: list[bytes]) -> None:
        groups = group_equal(np.frombuffer(b"".join(keys), dtype="V16"))
        assert (groups.first.tolist(), groups.inverse.tolist()) == naive_groups(keys)

    @given(texts, st.integers(0, 6))
    def test_largest_groups(self, values: list[str], count: int) -> None:
        groups = group_equal(keys_of(values))
        unique = list(dict.fromkeys(values))
        expected = sorted(((n, value) for value, n in Counter(values).items() if n > 1), key=lambda p: -p[0])
        found = largest_groups(groups, count)
        assert [(copies, unique[text]) for text, copies in found] == expected[:count]


class TestDescribe:
    @given(sizes)
    @example([7])
    @example(list(range(1, 21)))
    def test_against_sorting(self, values: list[int]) -> None:
        expected = Distribution(0, 0, 0, 0)
        if values:
            expected = Distribution(
                sum(values), nearest_rank(values, 50), nearest_rank(values, 95), max(values)
            )
        assert describe(numbers(values)) == expected

    @given(sizes, st.integers(1, 10_000))
    def test_truncation(self, values: list[int], limit: int) -> None:
        tokens = describe_tokens(numbers(values), limit)
        cut = [value for value in values if value > limit]
        assert tokens == Tokens(describe(numbers(values)), len(cut), sum(cut) - limit * len(cut))

    @given(parts, st.integers(1, 5))
    def test_holdings(self, chunks: list[tuple[str, str]], limit: int) -> None:
        all_texts = [text for _, text in chunks]
        first, inverse = naive_groups(all_texts)
        groups = Groups(numbers(first), numbers(inverse))
        lengths = numbers([2 * len(all_texts[position]) for position in first])
        for wanted in "xyz":
            chosen = [text for name, text in chunks if name == wanted]
            positions = numbers([i for i, (name, _) in enumerate(chunks) if name == wanted])
            characters = numbers([len(text) for text in all_texts])
            held = holdings(3, positions, groups, characters, lengths, limit)
            assert (held.files, held.chunks, held.unique_texts) == (3, len(chosen), len(set(chosen)))
            assert held.characters.total == sum(map(len, chosen))
            assert held.tokens == describe_tokens(numbers([2 * len(text) for text in chosen]), limit)
            assert holdings(3, positions, groups, characters, None, 0).tokens is None


class TestSurvey:
    @given(parts)
    def test_against_lists(self, chunks: list[tuple[str, str]]) -> None:
        survey = Survey()
        for subdirectory, text in chunks:
            survey.add(chunk_of(text, subdirectory))
        names = list(dict.fromkeys(name for name, _ in chunks))
        assert len(survey) == len(chunks)
        assert survey.subdirectories == names
        assert [names[code] for code in survey.codes()] == [name for name, _ in chunks]
        assert list(survey.characters) == [len(text) for _, text in chunks]
        groups = survey.groups()
        assert (groups.first.tolist(), groups.inverse.tolist()) == naive_groups([text for _, text in chunks])

    def test_nothing_can_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text("[1, 2]")
        survey = surveyed(tmp_path, collection="c")
        assert (len(survey), len(survey.findings), survey.files["root"]) == (0, 2, 1)
        assert survey.groups().first.tolist() == []
        assert survey.ids.repeated() == frozenset()

    def test_files_by_subdirectory(self, tmp_path: Path, write_chunks: Callable[..., Path]) -> None:
        survey = surveyed(
            write_chunks(tmp_path / "eco", {"a/1": ["x"], "a/2": ["y"], "b/1": ["z"], "t": ["t"]})
        )
        assert {name: survey.files_of(name) for name in survey.subdirectories} == {"root": 1, "a": 2, "b": 1}

    def test_files_that_name_their_subdirectory(self, tmp_path: Path) -> None:
        for number, name in enumerate(["a", "a", "b", None]):
            document = f'{{"subdirectory": "{name}", "chunks": [{{"text": "x"}}, {{"text": "y"}}]}}'
            (tmp_path / f"{number}.json").write_text(document if name else '[{"text": "z"}]')
        survey = surveyed(tmp_path, collection="c")
        assert {name: survey.files_of(name) for name in survey.subdirectories} == {"a": 2, "b": 1, "root": 1}
        assert survey.files.total() == 4


class TestFingerprint:
    def base(self) -> list[Chunk]:
        return [chunk_of("one", name="1", title="t", page=1), chunk_of("two", name="2")]

    def fingerprint(self, chunks: list[Chunk]) -> str:
        survey = Survey()
        for chunk in chunks:
            survey.add(chunk)
        return survey.fingerprint()

    def test_same_chunks_same_fingerprint(self) -> None:
        assert self.fingerprint(self.base()) == self.fingerprint(self.base())

    def test_the_order_of_keys_does_not_matter(self) -> None:
        turned = self.base()
        metadata = dict(reversed(turned[0].metadata.items()))
        turned[0] = Chunk(turned[0].id, turned[0].text, metadata, turned[0].place)
        assert self.fingerprint(turned) == self.fingerprint(self.base())

    @pytest.mark.parametrize(
        "changed",
        [
            [chunk_of("one", name="1", title="t", page=1)],
            [chunk_of("two", name="2"), chunk_of("one", name="1", title="t", page=1)],
            [chunk_of("One", name="1", title="t", page=1), chunk_of("two", name="2")],
            [chunk_of("one", name="x", title="t", page=1), chunk_of("two", name="2")],
            [chunk_of("one", name="1", title="T", page=1), chunk_of("two", name="2")],
            [chunk_of("one", name="1", title="t", page=True), chunk_of("two", name="2")],
            [chunk_of("one", "more", name="1", title="t", page=1), chunk_of("two", name="2")],
        ],
        ids=["fewer", "order", "text", "id", "metadata", "type", "subdirectory"],
    )
    def test_any_change_changes_it(self, changed: list[Chunk]) -> None:
        assert self.fingerprint(changed) != self.fingerprint(self.base())
