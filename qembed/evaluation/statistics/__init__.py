"""Intervals, tests, power, verdicts."""
