"""Gates: how they are written, and what an interval says of them."""

from __future__ import annotations

import numpy as np
import pytest

from qembed.errors import UsageError
from qembed.evaluation.diagnose.gates import hold_difference, hold_value, parse_gate
from qembed.evaluation.measures import Measure
from qembed.evaluation.statistics.compare import Estimate, compare


@pytest.mark.parametrize(
    ("text", "system", "measure", "least", "other"),
    [
        ("nDCG@10>=0.45", None, Measure("nDCG", 10), 0.45, None),
        ("ndcg@10 >= .45", None, Measure("nDCG", 10), 0.45, None),
        ("vectors > maxsim:minilm: MRR@10>=0.5", "vectors > maxsim:minilm", Measure("MRR", 10), 0.5, None),
        ("maxsim:minilm: MRR@10>=0.5", "maxsim:minilm", Measure("MRR", 10), 0.5, None),
        ("recall@100 no worse than baseline", None, Measure("recall", 100), None, "baseline"),
        ("recall(rel=2)@5 not worse than bm25", None, Measure("recall", 5, 2), None, "bm25"),
        ("vectors + bm25: MAP no worse than vectors", "vectors + bm25", Measure("MAP"), None, "vectors"),
    ],
)
def test_forms(
    text: str, system: str | None, measure: Measure, least: float | None, other: str | None
) -> None:
    gate = parse_gate(text)
    assert (gate.system, gate.measure, gate.least, gate.other) == (system, measure, least, other)


@pytest.mark.parametrize(
    "text", ["", "nDCG@10", "nDCG@10 > 0.4", "nDCG@10>=", "nDCG@10>=1.2.3", "better>=0.3"]
)
def test_what_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError):
        parse_gate(text)


@pytest.mark.parametrize(
    ("mean", "low", "high", "outcome", "passed"),
    [
        (0.50, 0.46, 0.54, "holds", True),
        (0.50, 0.45, 0.54, "holds", True),
        (0.47, 0.40, 0.54, "holds, not certain", True),
        (0.44, 0.40, 0.48, "fails, not certain", False),
        (0.40, 0.36, 0.44, "fails", False),
        (0.40, 0.36, 0.45, "fails, not certain", False),
    ],
)
def test_values(mean: float, low: float, high: float, outcome: str, passed: bool) -> None:
    result = hold_value(parse_gate("nDCG@10>=0.45"), Estimate(mean, low, high, 100))
    assert (result.outcome, result.passed) == (outcome, passed)
    assert f"{mean:.3f}" in result.words
    assert ("cannot decide" in result.words) == ("not certain" in outcome)


def test_a_value_without_an_interval_is_not_certain() -> None:
    result = hold_value(parse_gate("nDCG@10>=0.45"), Estimate(0.5, float("nan"), float("nan"), 1))
    assert result.outcome == "holds, not certain"
    assert result.words.startswith("nDCG@10 is 0.500, at least 0.45 is wanted")
    nothing = Estimate(float("nan"), float("nan"), float("nan"), 0)
    assert not hold_value(parse_gate("nDCG@10>=0.45"), nothing).passed


@pytest.mark.parametrize(
    ("shift", "outcome"), [(0.1, "holds"), (0.0, "holds"), (-0.005, "holds"), (-0.1, "fails")]
)
def test_no_worse_allows_the_margin(shift: float, outcome: str) -> None:
    base = np.random.default_rng(0).uniform(0.2, 0.8, 1000)
    noise = np.random.default_rng(1).normal(0, 0.01, 1000)
    comparison = compare(base, base + shift + noise - noise.mean(), margin=0.01)
    assert hold_difference(parse_gate("nDCG@10 no worse than baseline"), comparison).outcome == outcome


def test_words_of_a_difference() -> None:
    gate = parse_gate("MRR no worse than baseline")
    words = hold_difference(gate, compare(np.arange(60) / 100, np.arange(60) / 100 + 0.3, margin=0)).words
    assert words == "MRR differs by +0.300 (+0.237 to +0.334) from baseline, +0 or more is wanted"
    one = hold_difference(gate, compare([0.5], [0.25], margin=0.01))
    assert one.outcome == "fails, not certain"
    assert one.words.startswith("MRR differs by -0.250 from baseline, -0.01 or more is wanted;")


def test_fewer_than_20_queries_are_not_certain() -> None:
    gate = parse_gate("MRR no worse than baseline")
    outcomes = [hold_difference(gate, compare([0.0] * n, [1.0] * n)).outcome for n in (19, 20)]
    assert outcomes == ["holds, not certain", "holds"]
    outcomes = [hold_value(parse_gate("MRR>=0.5"), Estimate(0.1, 0.05, 0.2, n)).outcome for n in (19, 20)]
    assert outcomes == ["fails, not certain", "fails"]
