"""Latency: what is run, what is counted."""

from __future__ import annotations

import pytest

from qembed.evaluation.diagnose.latency import latency_of, time_queries, total


def test_percentiles() -> None:
    found = latency_of([float(number) for number in range(1, 101)])
    assert (found.p50, found.p95, found.queries) == (50.5, 96.0, 100)
    few = latency_of([3.0, 1.0, 2.0])
    assert (few.p25, few.p50, few.p75, few.p95) == (1.5, 2.0, 2.5, None)
    assert latency_of([1.0] * 99).p95 is None


def test_the_first_queries_warm_up_untimed() -> None:
    asked: list[int] = []
    times = time_queries(asked.append, [4, 7, 9])
    assert asked == [4, 7, 4, 7, 9]
    assert len(times) == 3
    assert min(times) >= 0


def test_no_query() -> None:
    assert time_queries(lambda _: None, []) == []


def test_a_total_is_the_sum_of_each_query_and_not_of_percentiles() -> None:
    found = total({"encode": [1.0, 10.0, 1.0], "retrieve": [10.0, 1.0, 1.0]})
    assert found.p50 == pytest.approx(11.0)
