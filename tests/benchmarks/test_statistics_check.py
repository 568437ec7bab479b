"""Simulated systems: false verdicts, equivalence, power. Small here; the benchmark has the tables."""

from __future__ import annotations

import pytest


@pytest.fixture
def simulation(scripts):
    """benchmarks/statistics_check.py; forgotten after the test."""
    return scripts("common", "statistics_check")["statistics_check"]


def test_skewed_differences_of_few_queries_fool_the_randomisation_test_and_not_the_verdict(simulation):
    randomisation, verdict = simulation.false_verdicts(simulation.NULLS["1 in 10 gains .9"], 10, trials=100)
    assert randomisation > 0.2
    assert verdict <= 0.05


def test_rare_losses_are_not_equivalent(simulation):
    assert simulation.false_equivalence(0.04, 0.25, 30, trials=40) == 0


def test_hit_rates_are_covered(simulation):
    assert simulation.proportion_coverage(0.95, 20) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("queries", [6, 10, 20, 50, 100, 200])
def test_false_verdicts_over_1000_trials(simulation, queries):
    for name, shape in simulation.NULLS.items():
        assert simulation.false_verdicts(shape, queries, trials=1000)[1] <= 0.07, name  # 5 % and 3 errors


@pytest.mark.slow
@pytest.mark.parametrize("systems", [1, 3, 5, 10])
def test_power_over_400_trials(simulation, systems):
    reached = simulation.power_reached(simulation.NULLS["nDCG@10"], systems, 100, trials=400)
    assert 0.74 <= reached <= 0.86
