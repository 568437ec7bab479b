"""BM25: its scores against the formula written out."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.evaluation.retrieve.bm25 import BM25, CODE, PLAIN, B, Recipe
from qembed.evaluation.retrieve.ordering import ranked


def formula(recipe: Recipe, texts: list[str], query: str) -> list[float]:
    """BM25 as Lucene has it: idf = ln(1 + (N - df + .5) / (df + .5)), tf / (tf + k1 (1 - b + b l / avg))."""
    counts = [Counter(recipe.words(text)) for text in texts]
    lengths = [sum(count.values()) for count in counts]
    average = sum(lengths) / len(texts)
    scores = []
    for count, length in zip(counts, lengths, strict=True):
        score = 0.0
        for word in recipe.words(query):
            having = sum(word in other for other in counts)
            idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            if count[word]:
                score += idf * count[word] / (count[word] + recipe.k1 * (1 - B + B * length / average))
        scores.append(score)
    return scores


words = st.sampled_from(["vector", "point", "filter", "the", "delete_points", "HnswConfig", "config", "x"])
texts = st.lists(words, max_size=8).map(" ".join)


@given(
    st.sampled_from([CODE, PLAIN]),
    st.lists(texts, min_size=1, max_size=12),
    texts,
    st.integers(1, 14),
    st.randoms(),
)
def test_scores_are_those_of_the_formula(
    recipe: Recipe, corpus: list[str], query: str, depth: int, random: object
) -> None:
    ids = [f"c:{number:02d}" for number in range(len(corpus))]
    random.shuffle(ids)  # type: ignore[attr-defined]
    (found,) = BM25(ids, corpus, recipe).search_many([query], depth)
    wanted = (
        dict(zip(ids, formula(recipe, corpus, query), strict=True)) if any(map(recipe.words, corpus)) else {}
    )
    assert found == {item: pytest.approx(wanted[item], abs=1e-9) for item in found}
    assert all(score > 0 for score in found.values())
    assert len(found) == min(depth, sum(score > 1e-12 for score in wanted.values()))
    assert list(found) == ranked(found)
    for item in set(wanted) - set(found):  # worse than the last, or a copy of equal score with a later id
        if wanted[item] > 1e-12:
            assert wanted[item] < found[list(found)[-1]] + 1e-9
    same = dict(zip(ids, corpus, strict=True))
    for item in set(same) - set(found):
        assert all(other < item for other in found if same[other] == same[item])


def test_ties_at_the_cut_go_by_id() -> None:
    ids = [f"c:{number:02d}" for number in range(40, 0, -1)]
    bm25 = BM25([*ids, "other"], ["the same text"] * 40 + ["something else"])
    (found,) = bm25.search_many(["same text"], 10)
    assert list(found) == sorted(ids)[:10]
    assert len(set(found.values())) == 1


def test_rare_words_and_short_texts_first() -> None:
    bm25 = BM25(
        ["long", "short", "common", "none"],
        ["quantization " + "filler " * 50, "quantization", "vector " * 3 + "filler", "unrelated"],
    )
    assert next(iter(bm25.search_many(["vector quantization"], 10)[0])) in ("short", "common")
    assert list(bm25.search_many(["quantization"], 10)[0]) == ["short", "long"]
    assert list(bm25.search_many(["quantizing"], 10)[0]) == ["short", "long"]  # by their stem


def test_several_queries_and_their_order() -> None:
    bm25 = BM25(["a", "b"], ["apple", "banana"])
    assert len(bm25) == 2
    assert [list(found) for found in bm25.search_many(["banana", "cherry", "", "apple", "the"], 5)] == [
        ["b"],
        [],
        [],
        ["a"],
        [],
    ]


@pytest.mark.parametrize("corpus", [[], [""], ["", "the and"]])
def test_no_words(corpus: list[str]) -> None:
    bm25 = BM25([str(number) for number in range(len(corpus))], corpus)
    assert bm25.search_many(["anything", ""], 3) == [{}, {}]
    assert bm25.search_many([], 3) == []


def test_ids_and_texts_of_two_lengths() -> None:
    with pytest.raises(ValueError, match="zip"):
        BM25(["a"], ["x", "y"])


def test_it_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    BM25(["a", "b"], ["apple pie", "banana"]).search_many(["apple"] * 100, 1)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


SCORES = """
from qembed.evaluation.retrieve.bm25 import BM25
texts = [f"word{n % 7} and word{n % 5} with snake_case{n % 3} HnswConfig" for n in range(50)]
print(BM25([f"c:{n}" for n in range(50)], texts).search_many(["word1 word2 word3 case1 config snake"], 20))
"""


@pytest.mark.slow
def test_the_seed_of_hashes_does_not_matter() -> None:
    outputs = set()
    for seed in ("0", "1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", SCORES],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert "c:" in outputs.pop()
