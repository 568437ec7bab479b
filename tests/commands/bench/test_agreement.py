"""Two files of embeddings without judgements: how far they find the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_folders import Item, library_items, write_embeddings, write_query_vectors

from qembed.commands.bench.agreement import Agreement, agreement, agreement_document
from qembed.errors import InputNotFound, Mismatch, UsageError
from qembed.evaluation.diagnose.agreement import rank_biased_overlap
from qembed.evaluation.systems.side import SideOptions

TEXTS = 40
QUERIES = {f"q{number}": f"question {number}" for number in range(12)}


def sides(folder: Path, items: list[Item], vectors: dict[str, list[float]]) -> SideOptions:
    return SideOptions(
        write_embeddings(folder / "out", items), query_vectors=write_query_vectors(folder / "asked", vectors)
    )


def compare(one: SideOptions, other: SideOptions, queries: Path | dict[str, str] = QUERIES) -> Agreement:
    return agreement(one.embeddings, other.embeddings, queries, new=one, old=other)


@pytest.fixture
def asked() -> dict[str, list[float]]:
    return dict(zip(QUERIES, np.random.default_rng(3).normal(size=(12, 12)).tolist(), strict=True))


@pytest.fixture
def new(tmp_path: Path, asked: dict[str, list[float]]) -> SideOptions:
    return sides(tmp_path / "new", library_items()[0], asked)


def test_with_itself(new: SideOptions) -> None:
    found = compare(new, new)
    assert found.queries == 12
    assert found.shared_texts == TEXTS
    assert {k: (value.mean, value.low, value.high) for k, value in found.overlaps.items()} == {
        1: (1, 1, 1),
        10: (1, 1, 1),
    }
    assert found.rbo.mean == pytest.approx(1)


def test_other_ids_and_copies_do_not_matter(
    new: SideOptions, tmp_path: Path, asked: dict[str, list[float]]
) -> None:
    renamed = [replace(item, id=f"z:{99 - at}") for at, item in enumerate(library_items()[0])]
    found = compare(new, sides(tmp_path / "old", renamed[::-1], asked))
    assert found.rbo.mean == pytest.approx(1)
    assert len(found.sides[0].collection) == TEXTS
    assert found.sides[0].collection.records == 50


def test_the_numbers(new: SideOptions, tmp_path: Path, asked: dict[str, list[float]]) -> None:
    """Against plain numpy: the baseline has the same texts, with vectors of another dimension."""
    items, vectors = library_items()
    turned = {query: vector[:6] for query, vector in asked.items()}
    old = [replace(item, vector=item.vector[:6]) for item in items]
    found = compare(new, sides(tmp_path / "old", old, turned))

    def order(width: int, query: str) -> list[str]:
        rows = vectors[:, :width] / np.linalg.norm(vectors[:, :width], axis=1, keepdims=True)
        return [f"c:{at:02d}" for at in np.argsort(-(rows @ np.array(asked[query][:width])))]

    lists = {query: (order(12, query), order(6, query)) for query in QUERIES}
    for k in (1, 10):
        shares = [len(set(one[:k]) & set(other[:k])) / k for one, other in lists.values()]
        assert found.overlaps[k].mean == pytest.approx(np.mean(shares))
        assert 0 < found.overlaps[k].mean < 1
    biased = {query: rank_biased_overlap(one, other, 0.9) for query, (one, other) in lists.items()}
    assert found.rbo.mean == pytest.approx(np.mean(list(biased.values())))
    assert found.least == tuple(
        (query, pytest.approx(biased[query])) for query in sorted(biased, key=biased.__getitem__)[:5]
    )


def test_a_cutoff_that_takes_all_texts_says_nothing_and_is_left_out(
    tmp_path: Path, asked: dict[str, list[float]]
) -> None:
    items = library_items()[0][:6]
    one = sides(tmp_path / "one", items, asked)
    other = sides(tmp_path / "other", [replace(item, vector=item.vector[::-1]) for item in items], asked)
    assert set(compare(one, other).overlaps) == {1}
    alone = sides(tmp_path / "alone", items[:1], asked)
    assert set(compare(alone, alone).overlaps) == {1}


def test_queries_from_a_file(new: SideOptions, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text("".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text in QUERIES.items()))
    assert compare(new, new, file).queries == 12


def test_document(new: SideOptions) -> None:
    found = agreement_document(compare(new, new))
    assert list(found) == [
        "schema",
        "measures",
        "sides",
        "shared_texts",
        "queries",
        "overlap",
        "rank_biased_overlap",
        "least",
    ]
    assert (found["schema"], found["measures"]) == ("qembed.agreement/1", "agreement, not quality")
    assert set(found["overlap"]["10"]) == {"mean", "low", "high", "n"}
    assert found["rank_biased_overlap"]["p"] == 0.9
    assert found["least"][0]["query_id"] == "q0"
    json.dumps(found)


class TestBadInput:
    def test_no_query(self, new: SideOptions, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no query to ask") as caught:
            compare(new, new, {})
        assert "_id" in str(caught.value.remedy)
        (tmp_path / "none.jsonl").write_text("")
        with pytest.raises(UsageError, match="no query to ask") as caught:
            compare(new, new, tmp_path / "none.jsonl")
        assert str(tmp_path / "none.jsonl") == caught.value.where

    def test_no_file(self, new: SideOptions, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound):
            compare(new, new, tmp_path / "absent.jsonl")
        with pytest.raises(InputNotFound, match="absent"):
            compare(new, SideOptions(tmp_path / "absent"))

    def test_no_text_in_common(self, new: SideOptions, tmp_path: Path, asked: dict[str, list[float]]) -> None:
        items = [replace(item, text=f"cut {item.text}") for item in library_items()[0]]
        with pytest.raises(Mismatch, match="no text in common") as caught:
            compare(new, sides(tmp_path / "old", items, asked))
        assert str(tmp_path / "old") in str(caught.value.where)

    def test_the_baseline_s_model_is_named_by_its_own_option(self, new: SideOptions) -> None:
        with pytest.raises(UsageError, match="no manifest") as caught:
            compare(new, SideOptions(new.embeddings))
        assert "--baseline-model" in str(caught.value.remedy)

    def test_one_query_has_no_interval(self, new: SideOptions) -> None:
        found = compare(new, new, {"q0": "question 0"})
        assert found.rbo.mean == pytest.approx(1)
        assert found.rbo.low != found.rbo.low
