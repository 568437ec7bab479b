"""What a verdict owes to who was judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qembed.evaluation.statistics.compare import compare
from qembed.evaluation.statistics.pool import Pool, condensed, could_turn, doubt, one_sided, unjudged

FOUND = compare(np.zeros(150), np.zeros(150))


def found(verdict, difference, reach):
    """A comparison whose intervals reach that far."""
    ends = {"low": difference - reach, "high": difference + reach}
    inner = {"inner_low": difference - 0.8 * reach, "inner_high": difference + 0.8 * reach}
    return replace(FOUND, verdict=verdict, difference=difference, **ends, **inner, margin=0.01)


@pytest.mark.parametrize(
    ("verdict", "difference", "reach", "whatever", "turns"),
    [
        ("better", 0.10, 0.05, (0.08, 0.20), False),
        ("better", 0.10, 0.05, (0.04, 0.10), True),  # still above 0, and no longer beyond chance
        ("better", 0.10, 0.05, (-0.30, 0.40), True),
        ("worse", -0.10, 0.05, (-0.30, -0.06), False),
        ("worse", -0.10, 0.05, (-0.10, 0.02), True),
        ("equivalent", 0.0, 0.005, (-0.005, 0.005), False),
        ("equivalent", 0.0, 0.005, (-0.005, 0.03), True),
        ("cannot tell", 0.02, 0.05, (-0.01, 0.04), False),
        ("cannot tell", 0.02, 0.05, (0.02, 0.08), True),
        ("cannot tell", 0.02, 0.05, (-0.30, 0.02), True),
        ("cannot tell", 0.012, 0.005, (-0.001, 0.012), True),  # equivalent between the ends
    ],
)
def test_any_verdict_may_turn(verdict, difference, reach, whatever, turns):
    assert could_turn(whatever, found(verdict, difference, reach)) is turns
    opposite = {"better": "worse", "worse": "better"}.get(verdict, verdict)
    mirrored = (-whatever[1], -whatever[0])
    assert could_turn(mirrored, found(opposite, -difference, reach)) is turns


@pytest.mark.parametrize("verdict", ["better", "worse", "equivalent", "cannot tell"])
def test_a_full_pool_turns_nothing(verdict):
    difference = {"better": 0.1, "worse": -0.1}.get(verdict, 0.0)
    comparison = found(verdict, difference, 0.005 if verdict == "equivalent" else 0.05)
    assert not could_turn((difference, difference), comparison)
    assert not could_turn(None, comparison)
    assert not could_turn((float("nan"), float("nan")), comparison)
    assert not one_sided(1.0, 1.0)
    assert doubt(Pool(1.0, 1.0, False, False, None)) == doubt(None) == ""


def test_a_better_that_only_holm_shows_is_not_turned_by_nothing():
    """Its interval ends at 0, where a moved one would no longer exclude it."""
    comparison = replace(found("better", 0.05, 0.05), low=0.0)
    assert not could_turn((0.05, 0.2), comparison)
    assert could_turn((0.01, 0.2), comparison)


@pytest.mark.parametrize(
    ("judged", "baseline", "sided"), [(0.42, 1, True), (0.95, 1, True), (0.96, 1, False)]
)
def test_one_sided(judged, baseline, sided):
    assert one_sided(judged, baseline) is sided
    assert one_sided(baseline, judged) is sided


def test_words():
    assert doubt(Pool(0.42, 1.0, True, False, FOUND)) == (
        "on what was judged; 58 % of its first ten are unjudged"
    )
    assert doubt(Pool(1.0, 0.42, True, False, FOUND)) == (
        "on what was judged; 58 % of the first row's first ten are unjudged"
    )
    assert [unjudged(share) for share in (1.0, 0.999, 0.001, 0.0)] == ["0 %", "1 %", "99 %", "100 %"]


def test_condensed_lists_keep_what_is_judged():
    run = {"q": {"a": 3.0, "x": 2.0, "b": 1.0}, "other": {"a": 1.0}}
    assert condensed(run, {"q": {"a": 1, "b": 0}}) == {"q": {"a": 3.0, "b": 1.0}, "other": {}}
