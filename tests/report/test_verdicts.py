"""Verdicts as sentences."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from qembed.report.stored import StoredBench
from qembed.report.verdicts import advice, answerability, answers, basis, headline, in_order

COMPARED = {"n": 150, "margin": 0.01, "wins": 60, "ties": 50, "losses": 40, "small": False}


def changed(full: StoredBench, system: int, **comparison: Any) -> StoredBench:
    """The bench with another comparison of one system; times without it."""
    document = copy.deepcopy(full.document)
    document["systems"][system]["comparisons"]["nDCG@10"].update(
        COMPARED | {"queries_needed": None} | comparison
    )
    document["systems"][0]["latency_ms"]["total"] = {"p50": 300.0, "p95": 400.0, "queries": 20}
    document["systems"][system]["latency_ms"]["total"] = {"p50": 384.4, "p95": 500.0, "queries": 20}
    return replace(full, document=document)


@pytest.mark.parametrize(
    ("comparison", "sentence"),
    [
        (
            {"verdict": "better", "difference": 0.0611, "low": 0.0341, "high": 0.0879},
            "Reranking with good improves nDCG@10 by 0.061 (0.034 to 0.088) over the vectors alone on 150 "
            "queries; it adds 84.4 ms a query.",
        ),
        (
            {"verdict": "worse", "difference": -0.0611, "low": -0.0879, "high": -0.0341},
            "Reranking with good is worse: nDCG@10 falls by 0.061 (0.034 to 0.088) against the vectors alone "
            "on 150 queries; it adds 84.4 ms a query.",
        ),
        (
            {"verdict": "equivalent", "difference": -0.0011, "low": -0.0043, "high": 0.0021},
            "Reranking with good makes no difference that matters: nDCG@10 differs by −0.001 (−0.004 to "
            "+0.002) from the vectors alone on 150 queries, less than 0.01 either way; it adds 84.4 ms a "
            "query.",
        ),
        (
            {"verdict": "cannot tell", "difference": 0.01, "low": -0.02, "high": 0.04, "queries_needed": 392},
            "Cannot tell: reranking with good changes nDCG@10 by +0.010 (−0.020 to +0.040) against the "
            "vectors alone on 150 queries; it adds 84.4 ms a query. About 400 queries would be needed.",
        ),
        (
            {"verdict": "cannot tell", "difference": 0.5, "low": None, "high": None, "n": 1, "small": True},
            "Cannot tell: reranking with good changes nDCG@10 by +0.500 against the vectors alone on 1 "
            "query; it adds 84.4 ms a query.",
        ),
    ],
)
def test_sentences(full: StoredBench, comparison: dict[str, Any], sentence: str) -> None:
    at = full.names.index("vectors > good")
    answer = answers(changed(full, at, **comparison))[at - 1]
    assert answer.sentence == sentence
    assert answer.question == "Does it help to rerank with good?"
    assert ("too few queries" in answer.details) is bool(comparison.get("small"))


def test_one_answer_a_system_and_no_two_questions_alike(full: StoredBench) -> None:
    found = answers(full)
    assert len(found) == len(full.names) - 1
    assert len({answer.question for answer in found}) == len(found)


def test_what_was_shown_comes_first(full: StoredBench) -> None:
    better = changed(full, 3, verdict="better", difference=0.2)
    found = [answer.verdict for answer in in_order(answers(better))]
    assert found[0] == "better"
    assert found == sorted(found, key=["better", "worse", "equivalent", "cannot tell"].index)


def test_what_unjudged_results_could_change_is_said(full: StoredBench) -> None:
    assert "whatever the unjudged results are" in answers(full)[0].details


class TestHeadline:
    def test_the_largest_gain_comes_first(self, full: StoredBench) -> None:
        better = changed(full, 1, verdict="better", difference=0.1)
        better = changed(better, 3, verdict="better", difference=0.2)
        assert headline(answers(better), better) == (
            "Reranking with good is better than the vectors alone. So is keyword search (BM25)."
        )

    def test_nothing_shown(self, full: StoredBench) -> None:
        assert headline(answers(full), full) == "Nothing is shown to be better than the vectors alone."

    def test_one_system(self, full: StoredBench) -> None:
        alone = replace(full, document={**full.document, "systems": full.systems[:1]})
        assert headline(answers(alone), alone).startswith("Only the vectors alone was measured")


def test_basis(full: StoredBench) -> None:
    rows = dict(basis(full))
    assert rows["Eval set"] == "library: 20 queries with an answer; 50 judgements of pages"
    assert rows["Pool"] == "the first 3 of each system were judged"
    assert "vectors 17 %" in rows["Judged"]
    assert rows["Search"].startswith("exact search over 40 texts of 12 dimensions")


def test_advice(full: StoredBench) -> None:
    document = copy.deepcopy(full.document)
    document["frontiers"]["vectors > good"] |= {"chosen": 20, "falls_after": 50}
    document["frontiers"]["vectors > bad"] |= {"chosen": 0}
    found = list(advice(replace(full, document=document)))
    assert found[0] == (
        "vectors > good: rerank 20 candidates; no depth is shown to be better than that. "
        "Deeper than 50 is worse."
    )
    assert found[1] == "vectors > bad: no depth is shown to be better than no reranking at all."


def test_answerability(full: StoredBench) -> None:
    assert answerability(full) is None
    judged = {**full.document["eval_set"], "queries": 30}
    document = {**full.document, "answerability": {"vectors": 0.524}, "eval_set": judged}
    words = answerability(replace(full, document=document))
    assert words is not None
    assert words.startswith("10 queries have no answer")
    assert words.endswith("vectors 0.52.")
