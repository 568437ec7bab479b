"""A verdict in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qembed.evaluation.statistics.compare import compare
from qembed.evaluation.statistics.verdict import brief, sentence


def drawn(queries):
    """Differences of which half are 0."""
    generator = np.random.default_rng(0)
    return np.where(generator.random(queries) < 0.5, 0, generator.normal(0.05, 0.2, queries))


FOUND = compare(np.zeros(150), drawn(150))


@pytest.mark.parametrize(
    ("changes", "names", "text"),
    [
        (
            {"verdict": "better", "difference": 0.061, "low": 0.034, "high": 0.088, "p_adjusted": 0.0004},
            (),
            "better: +0.061 nDCG@10 (0.034 to 0.088), p = 0.0004, 150 queries",
        ),
        (
            {"verdict": "worse", "difference": -0.061, "low": -0.088, "high": -0.034, "p_adjusted": 0.00001},
            ("maxsim", "vectors"),
            "worse than vectors: maxsim -0.061 nDCG@10 (-0.088 to -0.034), p < 0.0001, 150 queries",
        ),
        (
            {"verdict": "equivalent", "difference": -0.0001, "low": -0.004, "high": 0.004, "p_adjusted": 1.0},
            ("int8", "fp32"),
            "equivalent to fp32 within ±0.01: int8 0.000 nDCG@10 (-0.004 to 0.004), p = 1, 150 queries",
        ),
        (
            {
                "verdict": "cannot tell", "difference": 0.012, "low": -0.006, "high": 0.031,
                "p_adjusted": 0.1834, "queries_needed": (392, 2_010),
            },
            ("maxsim", "vectors"),
            "cannot tell maxsim from vectors: +0.012 nDCG@10 (-0.006 to 0.031), p = 0.18, 150 queries; "
            "about 400 to 2,100 queries would be needed",
        ),
    ],
)  # fmt: skip
def test_sentences(changes, names, text):
    found = replace(FOUND, **({"queries_needed": None} | changes))
    assert sentence(found, "nDCG@10", *names) == text


def test_sentences_of_very_few_queries():
    assert sentence(compare([], []), "MRR") == "cannot tell: no query has a value of MRR for both"
    assert sentence(compare([0.1], [0.2]), "MRR") == ("cannot tell: +0.100 MRR, p = 1, 1 query only")


@pytest.mark.parametrize(
    ("queries", "said"),
    [
        ((7, 7), "7"),
        ((26, 26), "26"),
        ((287, 391), "290 to 400"),
        ((20_001, 1_000_000), "21,000 to 1,000,000"),
    ],
)
def test_the_number_of_queries_is_rounded_up_to_what_is_known(queries, said):
    found = replace(FOUND, verdict="cannot tell", queries_needed=queries)
    assert sentence(found, "MRR").endswith(f"about {said} queries would be needed")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": "better"}, "better"),
        ({"verdict": "worse", "n": 12, "small": True}, "worse; only 12 queries"),
        ({"verdict": "equivalent"}, "equivalent within 0.01"),
        ({"verdict": "cannot tell"}, "cannot tell"),
        (
            {"verdict": "cannot tell", "queries_needed": (410, 910)},
            "cannot tell; needs about 410 to 910 queries",
        ),
    ],
)
def test_a_verdict_in_a_table(changes, said):
    assert brief(replace(FOUND, **({"queries_needed": None} | changes))) == said
