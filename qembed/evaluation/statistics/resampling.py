"""What chance could have done: bootstrap intervals of a mean, and the sign-flip test of mean differences.

Pure array arithmetic over many columns at once: the resamples depend on the seed and on the number of
queries alone, so all systems of a family are judged on the same ones, one matrix product serves them all, and
what was drawn once is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Columns = npt.NDArray[np.float64]
"""float64, shape (queries, columns): one value a query and system, none of them NaN."""

_CELLS = 2_000_000  # numbers drawn at a time: 16 MB of float64, of which 4 MB are kept
_SAME = 1e-10  # sums that differ by less, relative to the sum of absolute values, differ by rounding only


def bootstrap_means(samples: Columns, *, resamples: int, seed: int) -> npt.NDArray[np.float64]:
    """Means of resamples drawn with replacement, less the mean of the sample.

    Args:
        samples: (queries, columns), at least one query.
        resamples: How many.
        seed: Of the draws.

    Returns:
        float64 (columns, resamples), ascending in each row.
    """
    queries, columns = samples.shape
    centred = samples - samples.mean(axis=0)
    means = np.empty((columns, resamples))
    for first, rows in _blocks(resamples, queries):
        counts = _drawn_counts(queries, rows, seed, first).astype(np.float64)
        means[:, first : first + rows] = (counts @ centred).T / queries
    means.sort(axis=1)
    return means


def intervals(samples: Columns, means: npt.NDArray[np.float64], confidence: float) -> npt.NDArray[np.float64]:
    """The wider, at each end, of the BCa and the percentile interval, both at small-sample levels.

    BCa (Efron 1987, "Better bootstrap confidence intervals", JASA 82, with the acceleration of a mean)
    follows skewed values; where most differences are 0 it is too narrow, and the percentile interval is
    better. Both are too narrow for few queries: as in Hesterberg (2015, "What teachers should know about the
    bootstrap", The American Statistician 69, the expanded percentile interval) Student's t times
    sqrt(n / (n - 1)) takes the place of the normal quantile. Coverage of each: docs/measures.md.

    Args:
        samples: (queries, columns), at least two queries.
        means: What ``bootstrap_means`` made of them.
        confidence: E.g. 0.95.

    Returns:
        float64 (2, columns): lower and upper ends. A constant column has its value at both. Where BCa is
        undefined (all resamples on one side of the mean) the percentile interval alone.
    """
    from scipy import special

    queries, columns = samples.shape
    tail = (1 + confidence) / 2
    reach = float(special.stdtrit(queries - 1, tail)) * np.sqrt(queries / (queries - 1))
    centre = samples.mean(axis=0)
    result = np.empty((2, columns))
    for column in range(columns):
        levels = special.ndtr([-reach, reach])
        low, high = np.quantile(means[column], levels)
        bca = bca_levels(samples[:, column], means[column], reach)
        if bca is not None:
            bca_low, bca_high = np.quantile(means[column], bca)
            low, high = min(low, bca_low), max(high, bca_high)
        result[:, column] = centre[column] + low, centre[column] + high
    return result


def bca_levels(
    sample: npt.NDArray[np.float64], means: npt.NDArray[np.float64], reach: float
) -> npt.NDArray[np.float64] | None:
    """Which quantiles of the resampled means are the ends of the BCa interval; None where it is undefined.

    Args:
        sample: (queries,).
        means: (resamples,), less the mean of the sample.
        reach: Distance of both ends in standard errors: 1.96 gives Efron's interval of 95 %.
    """
    from scipy import special

    centred = sample - sample.mean()
    squares = float((centred**2).sum())
    close = _SAME * float(np.abs(sample).sum()) / len(sample)
    below = (np.mean(means < -close) + np.mean(means <= close)) / 2
    if squares <= close**2 or not 0 < below < 1:
        return None
    bias = float(special.ndtri(below))
    # Of a mean: the jackknife's values differ from it by centred / (n - 1).
    acceleration = float((centred**3).sum()) / (6 * squares**1.5)
    shifted = bias + np.array([-reach, reach])
    damping = 1 - acceleration * shifted
    if (damping <= 0).any():
        return None
    levels: npt.NDArray[np.float64] = special.ndtr(bias + shifted / damping)
    return levels


def sign_flip_p(differences: Columns, *, resamples: int, seed: int) -> npt.NDArray[np.float64]:
    """Two-sided p of the paired randomisation test: each query's difference could have had the other sign.

    Fisher's test as Smucker, Allan and Carterette (2007, "A comparison of statistical significance tests for
    information retrieval evaluation", CIKM) recommend it, on the mean difference. Queries that do not differ
    play no part. Exact where all 2^m signs of the m others are no more than ``resamples``; else drawn, with
    p = (1 + at least as large) / (1 + resamples), which is never 0 (Phipson and Smyth 2010).

    Args:
        differences: (queries, columns).
        resamples: How many sign patterns at most.
        seed: Of the draws.

    Returns:
        float64 (columns,), above 0; 1 where nothing differs.
    """
    queries, columns = differences.shape
    scale = np.abs(differences).sum(axis=0)
    differing = np.count_nonzero(differences, axis=0)
    observed = np.abs(differences.sum(axis=0)) - _SAME * scale
    result = np.ones(columns)
    exact = 2.0**differing <= resamples
    for column in np.flatnonzero(exact & (differing > 0)):
        values = differences[:, column]
        totals = _all_sign_sums(values[values != 0])
        result[column] = np.mean(np.abs(totals) >= observed[column])
    drawn = np.flatnonzero(~exact)
    if len(drawn):
        values, least = differences[:, drawn], observed[drawn]
        at_least = np.zeros(len(drawn))
        for first, rows in _blocks(resamples, queries):
            signs = _drawn_signs(queries, rows, seed, first).astype(np.float64)
            at_least += (np.abs(signs @ values) >= least).sum(axis=0)
        result[drawn] = (1 + at_least) / (1 + resamples)
    return result


@lru_cache(maxsize=64)
def _drawn_counts(queries: int, rows: int, seed: int, first: int) -> npt.NDArray[np.uint16]:
    """How often each resample holds each query: uint16 (rows, queries)."""
    generator = np.random.default_rng([seed, first, queries, 0])
    drawn = generator.integers(0, queries, size=(rows, queries), dtype=np.int32)
    drawn += queries * np.arange(rows, dtype=np.int32)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=rows * queries)
    return counts.reshape(rows, queries).astype(np.uint16)


@lru_cache(maxsize=64)
def _drawn_signs(queries: int, rows: int, seed: int, first: int) -> npt.NDArray[np.int8]:
    """One sign a query: int8 (rows, queries) of -1 and 1."""
    generator = np.random.default_rng([seed, first, queries, 1])
    return generator.integers(0, 2, size=(rows, queries), dtype=np.int8) * np.int8(2) - np.int8(1)


def _all_sign_sums(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sums of the values under each of their 2^m sign patterns."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate((sums - value, sums + value))
    return sums


def _blocks(resamples: int, queries: int) -> Iterator[tuple[int, int]]:
    """First resample and number of resamples of each block; bounded memory."""
    rows = max(1, _CELLS // max(queries, 1))
    for first in range(0, resamples, rows):
        yield first, min(rows, resamples - first)
