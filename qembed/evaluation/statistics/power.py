"""How many queries it takes: the difference that can be seen, and the queries that a verdict would need.

Paired differences are taken as about normal in their mean; alpha is the risk of a false verdict, power the
chance to reach a true one. Estimates from one sample's spread: an order of magnitude, not a promise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

POWER: Final = 0.8
MOST_QUERIES: Final = 10_000_000
"""Beyond this many queries "how many" has no useful answer."""


def detectable_difference(spread: float, queries: int, *, alpha: float = 0.05) -> float:
    """The least true mean difference that a two-sided test finds with 80 % power.

    ``(t(1 - alpha / 2) + t(0.8)) * spread / sqrt(n)`` with n - 1 degrees of freedom (Bloom 1995, "Minimum
    detectable effects", Evaluation Review 19).

    Args:
        spread: Standard deviation of the per-query differences.
        queries: How many; NaN is returned below 2.
        alpha: Two-sided.
    """
    if queries < 2:
        return math.nan
    return (_student(1 - alpha / 2, queries) + _student(POWER, queries)) * spread / math.sqrt(queries)


def queries_for_difference(difference: float, spread: float, *, alpha: float = 0.05) -> int | None:
    """The least number of queries at which ``difference`` is detectable; None where there is none."""
    if difference == 0:
        return None
    return _least(lambda queries: detectable_difference(spread, queries, alpha=alpha) <= abs(difference))


def queries_for_equivalence(
    difference: float, spread: float, *, margin: float, alpha: float = 0.05
) -> int | None:
    """The least number of queries at which two one-sided tests succeed with 80 % power; None without any.

    The chance that the interval of confidence 1 - 2 alpha lies within the margin, the true difference being
    ``difference`` (Julious 2004, "Sample sizes for clinical trials with normal data", Stat. Med. 23).
    """
    if abs(difference) >= margin:
        return None
    if spread == 0:
        return 2

    def enough(queries: int) -> bool:
        error = spread / math.sqrt(queries)
        critical = _student(1 - alpha, queries)
        upper, lower = (margin - difference) / error - critical, (margin + difference) / error - critical
        return _normal(upper) + _normal(lower) - 1 >= POWER

    return _least(enough)


def _least(enough: Callable[[int], bool]) -> int | None:
    """The least number of queries that is enough, by bisection."""
    if not enough(MOST_QUERIES):
        return None
    low, high = 1, 2
    while not enough(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _student(level: float, queries: int) -> float:
    from scipy import special

    return float(special.stdtrit(queries - 1, level))


def _normal(value: float) -> float:
    from scipy import special

    return float(special.ndtr(value))
