"""Bounds over holes, held against all that the holes could be."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.errors import UsageError
from qembed.evaluation.measures import evaluate, parse_measure
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.statistics.holes import BOUNDED, hole_bounds

MEASURES = ["nDCG", "nDCG@3", "recall@3", "precision@3", "MRR", "MRR@2", "hit@1", "hit@3", "recall(rel=2)@3"]
JUDGED = st.dictionaries(st.sampled_from("abcde"), st.integers(-1, 3), max_size=5)
SCORES = st.dictionaries(st.sampled_from("abcdevwxyz"), st.integers(0, 3).map(float), max_size=8)


def all_differences(judged, baseline, system, text, grade):
    """The difference under each choice of relevant holes down to the cutoff, as one query a choice."""
    cutoff = parse_measure(text).cutoff
    holes = sorted({*ranked(baseline)[:cutoff], *ranked(system)[:cutoff]} - {*judged})
    qrels = {
        str(number): judged | {hole: grade for hole, relevant in zip(holes, choice, strict=True) if relevant}
        for number, choice in enumerate(product((False, True), repeat=len(holes)))
    }
    before, after = (evaluate(qrels, dict.fromkeys(qrels, run), [text])[text] for run in (baseline, system))
    return after - before


@pytest.mark.parametrize("text", MEASURES)
@given(judged=JUDGED, baseline=SCORES, system=SCORES)
def test_the_bounds_are_the_extremes_of_all_choices_of_holes(text, judged, baseline, system):
    rel = 2 if "rel=2" in text else 1
    bounds = hole_bounds({"q": judged}, {"q": baseline}, {"q": system}, text)
    if max(judged.values(), default=0) < rel:
        assert all(map(math.isnan, bounds))
        return
    differences = all_differences(judged, baseline, system, text, max(judged.values()))
    assert bounds == pytest.approx((differences.min(), differences.max()), abs=1e-12)


@pytest.mark.parametrize("text", MEASURES)
@given(judged=JUDGED, baseline=SCORES, system=SCORES)
def test_turned_round(text, judged, baseline, system):
    qrels, one, other = {"q": judged}, {"q": baseline}, {"q": system}
    low, high = hole_bounds(qrels, one, other, text)
    assert hole_bounds(qrels, other, one, text) == pytest.approx((-high, -low), nan_ok=True)


def test_by_hand():
    """Of two lists of two, the system's has one hole, the baseline's another; both found a."""
    qrels = {"q": {"a": 1}}
    baseline, system = {"q": {"a": 2.0, "x": 1.0}}, {"q": {"y": 2.0, "a": 1.0}}
    assert hole_bounds(qrels, baseline, system, "precision@2") == (-0.5, 0.5)
    assert hole_bounds(qrels, baseline, system, "MRR@2") == (-0.5, 0.0)
    assert hole_bounds(qrels, baseline, system, "recall@2") == (-0.5, 0.5)


def test_without_holes_the_bounds_are_the_difference():
    qrels = {"q": {"a": 1, "b": 0}}
    low, high = hole_bounds(qrels, {"q": {"b": 2.0, "a": 1.0}}, {"q": {"a": 2.0, "b": 1.0}}, "MRR")
    assert low == high == 0.5


def test_the_mean_is_over_queries_that_have_a_value():
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}, "none": {"a": 0}}
    system = {query: {"y": 2.0, "a": 1.0} for query in qrels}
    assert hole_bounds(qrels, {}, system, "precision@2") == (0.5, 1.0)


def test_the_grade_of_a_hole():
    qrels = {"q": {"a": 1}, "other": {"b": 3}}
    baseline, system = {"q": {"a": 1.0}}, {"q": {"y": 1.0}}
    assert hole_bounds({"q": {"a": 1}}, baseline, system, "nDCG@1", grade=1) == (-1.0, 0.0)
    wide = hole_bounds(qrels, baseline, system, "nDCG@1")
    assert wide == pytest.approx((-0.5, (1 - 1 / 3) / 2))
    with pytest.raises(UsageError, match="not relevant"):
        hole_bounds(qrels, baseline, system, "recall(rel=2)@10", grade=1)


@pytest.mark.parametrize("text", ["MAP", "Rprec", "judged@10"])
def test_measures_without_bounds(text):
    assert text.partition("@")[0] not in BOUNDED
    assert all(map(math.isnan, hole_bounds({"q": {"a": 1}}, {}, {}, text)))


@pytest.mark.parametrize("qrels", [{}, {"q": {}}, {"q": {"a": 0}}])
def test_nothing_to_measure(qrels):
    assert all(map(math.isnan, hole_bounds(qrels, {"q": {"a": 1.0}}, {}, "nDCG@10")))
