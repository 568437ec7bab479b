"""The eval set ``tiny``: every number that its card works out by hand, from the run beside it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from eval_collections import collection_of

from qembed.evaluation.eval_sets.check import check_against
from qembed.evaluation.eval_sets.eval_set import EvalSet, load_eval_set
from qembed.evaluation.eval_sets.runs import read_run
from qembed.evaluation.measures import evaluate, missing_queries
from qembed.evaluation.retrieve.units import Units, units_of
from qembed.records import Qrels, Run

TINY = Path(__file__).resolve().parents[2] / "eval_sets" / "tiny"
MEASURES = ("nDCG@3", "recall@3", "precision@3", "MRR", "MAP", "judged@3")
NONE = math.nan

# From the comment of card.toml.
BY_QUERY = {
    "q1": (1.0, 1.0, 1 / 3, 1.0, 1.0, 2 / 3),
    "q2": (1.761860 / 2.630930, 1.0, 2 / 3, 1 / 2, 7 / 12, 1.0),
    "q3": (0.630930, 1.0, 1 / 3, 1 / 2, 1 / 2, 1.0),
    "q4": (0.0, 0.0, 0.0, 0.0, 0.0, NONE),
    "q5": (NONE, NONE, NONE, NONE, NONE, 1 / 2),
    "q6": (0.630930, 1.0, 1 / 3, 1 / 2, 1 / 2, 1 / 2),
    "q7": (1.0, 1.0, 1 / 3, 1.0, 1.0, 1.0),
    "q8": (0.0, 0.0, 0.0, 1 / 4, 1 / 12, 2 / 3),
}
MEANS = (0.561647, 0.714286, 0.285714, 0.535714, 0.523810, 0.761905)


@pytest.fixture(scope="module")
def eval_set() -> EvalSet:
    return load_eval_set(TINY)


@pytest.fixture(scope="module")
def corpus() -> list[tuple[str, str, str | None]]:
    lines = (TINY / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    return [(entry["_id"], entry["text"], None) for entry in map(json.loads, lines)]


@pytest.fixture(scope="module")
def units(corpus: list[tuple[str, str, str | None]]) -> Units:
    return units_of(collection_of(corpus), "chunk")


@pytest.fixture(scope="module")
def qrels(eval_set: EvalSet, units: Units) -> Qrels:
    return units.qrels(eval_set.qrels)


@pytest.fixture(scope="module")
def run(units: Units) -> Run:
    """The run is over chunks: a text has the score of its best chunk."""
    over_texts: Run = {}
    for query, scores in read_run(TINY / "run.trec").items():
        texts = over_texts.setdefault(query, {})
        for chunk, score in scores.items():
            text = units.name_of[chunk]
            texts[text] = max(score, texts.get(text, score))
    return units.run(over_texts)


def test_it_fits_its_corpus(eval_set: EvalSet, corpus: list[tuple[str, str, str | None]]) -> None:
    findings = check_against(eval_set, {name for name, _, _ in corpus}, set())
    assert [(found.kind, found.reason) for found in findings] == [
        ("unanswerable", "nothing that was judged answers query 'q5'")
    ]
    assert eval_set.findings == ()
    assert (len(corpus), len(eval_set.queries), eval_set.card.pool_depth) == (12, 8, 4)


def test_two_chunks_with_one_text_are_one_unit(units: Units, run: Run) -> None:
    assert units.name_of["c04"] == "c03"
    assert len(units.texts_of) == 11
    assert run["q2"] == {"c05": 0.8, "c02": 0.7, "c03": 0.6}
    assert run["q7"] == {"c03": 0.9, "c01": 0.2}


@pytest.mark.parametrize("query", BY_QUERY)
def test_by_query(qrels: Qrels, run: Run, query: str) -> None:
    values = evaluate(qrels, run, MEASURES).loc[query].to_numpy()
    np.testing.assert_allclose(values, BY_QUERY[query], atol=1e-6)


def test_means(qrels: Qrels, run: Run) -> None:
    frame = evaluate(qrels, run, MEASURES)
    assert tuple(frame.columns) == MEASURES
    np.testing.assert_allclose(frame.mean().to_numpy(), MEANS, atol=1e-6)
    assert frame.count().tolist() == [7] * 6
    assert missing_queries(qrels, run) == ["q4"]


def test_the_comment_says_these_numbers() -> None:
    """So that nobody changes the comment without this test."""
    comment = (TINY / "card.toml").read_text(encoding="utf-8")
    for measure, mean in zip(("nDCG@3", "recall@3", "P@3", "MRR", "MAP", "judged@3"), MEANS, strict=True):
        assert f"{mean:.6f}".removeprefix("0") in comment, measure
    assert "1.761860 / 2.630930 = .669672" in comment
