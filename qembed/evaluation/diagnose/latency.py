"""Milliseconds of each stage of one query, measured warm, one query at a time, as a user waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

WARM_UP_QUERIES = 2


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one stage, over the queries that were timed.

    Attributes:
        p50: Median, milliseconds.
        p95: 95th percentile, milliseconds; the slowest where fewer than 20 queries were timed.
        queries: How many were timed.
    """

    p50: float
    p95: float
    queries: int


def latency_of(milliseconds: Sequence[float]) -> Latency:
    """Percentiles of some times, at least one."""
    times = np.asarray(milliseconds, dtype=np.float64)
    return Latency(float(np.median(times)), float(np.percentile(times, 95, method="higher")), int(times.size))


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
