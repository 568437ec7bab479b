"""Milliseconds of each stage of one query, measured warm, one query at a time, as a user waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

WARM_UP_QUERIES = 2
LEAST_FOR_P95 = 100


@dataclass(frozen=True, slots=True)
class Latency:
    """Times of one stage, over the queries that were timed, in milliseconds.

    Attributes:
        p50: Median.
        p25: First quartile; half of the times lie between it and ``p75``.
        p75: Third quartile.
        p95: 95th percentile; None below ``LEAST_FOR_P95`` queries, where it would be one of the slowest few.
        queries: How many were timed.
    """

    p50: float
    p25: float
    p75: float
    p95: float | None
    queries: int


def latency_of(milliseconds: Sequence[float]) -> Latency:
    """Percentiles of some times, at least one."""
    times = np.asarray(milliseconds, dtype=np.float64)
    p25, p50, p75 = np.percentile(times, [25, 50, 75]).tolist()
    p95 = float(np.percentile(times, 95, method="higher")) if len(times) >= LEAST_FOR_P95 else None
    return Latency(p50, p25, p75, p95, len(times))


def time_queries(stage: Callable[[int], object], queries: Sequence[int]) -> list[float]:
    """Milliseconds of ``stage(query)`` for each query; the first two run once before, untimed.

    Args:
        stage: Does the work of one query.
        queries: Positions of the queries.
    """
    for query in queries[:WARM_UP_QUERIES]:
        stage(query)
    times = []
    for query in queries:
        started = perf_counter()
        stage(query)
        times.append((perf_counter() - started) * 1000)
    return times


def total(stages: Mapping[str, Sequence[float]]) -> Latency:
    """All stages together: the sum per query, then the percentiles. All stages timed the same queries."""
    return latency_of(np.sum([list(times) for times in stages.values()], axis=0).tolist())
