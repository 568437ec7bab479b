"""Verdicts as sentences."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from qembed.report.stored import StoredBench
from qembed.report.verdicts import answerability, answers, basis, in_order

COMPARED = {"n": 150, "margin": 0.01, "wins": 60, "ties": 50, "losses": 40, "small": False}


def changed(full: StoredBench, system: int, **comparison: Any) -> StoredBench:
    """The bench with another comparison of one system; times without it."""
    document = copy.deepcopy(full.document)
    document["systems"][system]["comparisons"]["nDCG@10"].update(
        COMPARED | {"queries_needed": None} | comparison
    )
    document["systems"][system]["pool"] = None
    document["systems"][0]["latency_ms"]["total"] = {"p50": 300.0, "p25": 280.0, "p75": 320.0, "queries": 20}
    document["systems"][system]["latency_ms"]["total"] = {
        "p50": 384.4,
        "p25": 360.0,
        "p75": 400.0,
        "queries": 20,
    }
    return replace(full, document=document)


@pytest.mark.parametrize(
    ("comparison", "sentence"),
    [
        (
            {"verdict": "better", "difference": 0.0611, "low": 0.0341, "high": 0.0879},
            "nDCG@10 is 0.061 (0.034 to 0.088) higher than that of New embeddings on 150 queries; it adds "
            "84.4 ms per query.",
        ),
        (
            {"verdict": "worse", "difference": -0.0611, "low": -0.0879, "high": -0.0341},
            "nDCG@10 is 0.061 (0.034 to 0.088) lower than that of New embeddings on 150 queries; it adds "
            "84.4 ms per query.",
        ),
        (
            {"verdict": "equivalent", "difference": -0.0011, "low": -0.0043, "high": 0.0021},
            "nDCG@10 differs by −0.001 (−0.004 to +0.002) from that of New embeddings on 150 queries, less "
            "than 0.01 either way; it adds 84.4 ms per query.",
        ),
        (
            {
                "verdict": "cannot tell",
                "difference": 0.01,
                "low": -0.02,
                "high": 0.04,
                "queries_needed": [392, 2010],
            },
            "nDCG@10 differs by +0.010 (−0.020 to +0.040) from that of New embeddings on 150 queries; it "
            "adds 84.4 ms per query. About 400 to 2,100 queries would be needed.",
        ),
        (
            {"verdict": "cannot tell", "difference": 0.5, "low": None, "high": None, "n": 1, "small": True},
            "nDCG@10 differs by +0.500 from that of New embeddings on 1 query; it adds 84.4 ms per query.",
        ),
    ],
)
def test_sentences(full: StoredBench, comparison: dict[str, Any], sentence: str) -> None:
    at = full.names.index("vectors > good")
    answer = answers(changed(full, at, **comparison))[at - 1]
    assert answer.sentence == sentence
    assert answer.system == "New embeddings + good reranker"
    assert ("only 1 query" in answer.details) is bool(comparison.get("small"))


def test_a_doubtful_pool_is_part_of_the_verdict(full: StoredBench) -> None:
    at = full.names.index("vectors > good")
    alone = full.systems[at]["comparisons"]["nDCG@10"] | {"difference": 0.02, "low": -0.01, "high": 0.05}
    bench = changed(full, at, verdict="worse", difference=-0.06, low=-0.09, high=-0.03)
    bench.systems[at]["pool"] = {
        "judged": 0.42,
        "judged_baseline": 1.0,
        "condensed": alone | {"verdict": "cannot tell"},
    }
    answer = answers(bench)[at - 1]
    assert answer.sentence.endswith(" On what was judged: 58 % of its first ten are unjudged.")
    assert "on judged results alone it differs by +0.020 (−0.010 to +0.050): cannot tell" in answer.details


def test_times_that_do_not_differ_beyond_their_spread(full: StoredBench) -> None:
    at = full.names.index("vectors > good")
    close = changed(full, at)
    close.document["systems"][at]["latency_ms"]["total"]["p50"] = 310.0
    assert answers(close)[at - 1].sentence.endswith("; a query takes about as long.")


def test_one_answer_per_system(full: StoredBench) -> None:
    found = answers(full)
    assert len(found) == len({answer.system for answer in found}) == len(full.names) - 1


def test_what_was_shown_comes_first(full: StoredBench) -> None:
    better = changed(full, 3, verdict="better", difference=0.2)
    found = [answer.verdict for answer in in_order(answers(better))]
    assert found[0] == "better"
    assert found == sorted(found, key=["better", "worse", "equivalent", "cannot tell"].index)


def test_what_unjudged_results_could_change_is_said(full: StoredBench) -> None:
    assert "whatever the unjudged results are" in answers(full)[0].details


def test_basis(full: StoredBench) -> None:
    rows = dict(basis(full))
    assert rows["Eval set"] == "library: 20 queries with an answer; 50 judgements of pages"
    assert rows["Pool"] == "the first 3 of each system were judged"
    share = full.systems[0]["estimates"]["judged@10"]["mean"]
    assert f"New embeddings {100 * share:.0f} %" in rows["Judged"]
    assert rows["Search"].startswith("exact search over 40 texts of 12 dimensions")


def test_answerability(full: StoredBench) -> None:
    assert answerability(full) is None
    judged = {**full.document["eval_set"], "queries": 30}
    document = {**full.document, "answerability": {"vectors": 0.524}, "eval_set": judged}
    words = answerability(replace(full, document=document))
    assert words is not None
    assert words.startswith("For 10 queries nothing that was judged is relevant")
    assert words.endswith("New embeddings 0.52.")
