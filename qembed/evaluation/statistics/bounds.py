"""What queries that were not drawn could still change: Gaffke's bound of the mean of bounded values.

A sample of which every query loses a little says nothing about the one query in fifty that gains a lot.
Student's t and the bootstrap take what they did not see as absent, and call such a system worse. Gaffke's
(2005, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable",
Math. Methods of Statistics 14) bound adds one query with the worst possible value to the sample and weighs
all of them at random, uniformly (the Bayesian bootstrap, Rubin 1981). For values of 0 and 1 it is the bound
of Clopper and Pearson (1934). For no difference at all it is the rule of three: up to 3 / n of all queries
may differ.

That it holds for every distribution on a bounded interval and every number of queries is conjectured, with no
counterexample known (Learned-Miller and Thomas 2019, arXiv:1905.06208; Phan, Thomas and Learned-Miller 2021,
"Towards practical mean bounds for small samples", ICML, prove it of a wider one).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_STEP: Final = 0.1
_MOST_STEPS: Final = 20_000
_FIRST: Final = -8.0
_LOOK: Final = 2.5
_NEGLIGIBLE: Final = -21.0  # logarithm of 1e-9


def chance_below_zero(values: Floats, copies: float = 1.0, extra: float = 0.0) -> float:
    """Chance that the randomly weighted sum of the values and of one more is below 0.

    The weights are exponential: those of the Bayesian bootstrap before they are divided by their sum, which
    does not change the sign.

    Args:
        values: (n,).
        copies: How often the sample stands there; 2.5 is a sample two and a half times as large.
        extra: The value of the one more.

    Returns:
        The chance, to about 1e-8: Gil-Pelaez' (1951) inversion of the characteristic function
        prod (1 - i t value)^-copies, by the trapezoid rule over log t, which converges exponentially. 0 where
        no value is below 0.
    """
    different, counts = np.unique(values, return_counts=True)
    every, shapes = np.append(different, extra), np.append(counts * copies, 1.0)
    if not (every < 0).any():
        return 0.0
    if not (every > 0).any():
        return 1.0
    first, last, step = _grid(every, shapes)
    products = np.outer(every, np.exp(np.arange(first, last, step)))
    # Modulus and phase of the characteristic function.
    terms = np.exp(-0.5 * (shapes @ np.log1p(products**2))) * np.sin(shapes @ np.arctan(products))
    # Before the first step the terms are proportional to t: a geometric series.
    before = terms[0] / np.expm1(step)
    return float(np.clip(0.5 - step * (before + terms.sum()) / np.pi, 0.0, 1.0))


def _grid(values: Floats, shapes: Floats) -> tuple[float, float, float]:
    """First and last log t, and a step in which the phase turns by no more than about one radian."""
    centre = -0.5 * float(np.log((shapes * values**2).sum()))
    first = last = centre + _FIRST
    turning = 0.0
    while True:
        times = np.exp(last + np.arange(0.0, _LOOK, 0.5))
        products = np.outer(values, times)
        size = -0.5 * (shapes @ np.log1p(products**2))
        turns = np.abs(shapes @ (products / (1 + products**2)))
        turning = max(turning, float((turns * (size > _NEGLIGIBLE)).max()))
        last += _LOOK
        if size[-1] < _NEGLIGIBLE:
            break
    return first, last, max(min(_STEP, 1 / max(turning, 1.0)), (last - first) / _MOST_STEPS)
