"""The paired randomisation test, for those who compare with other evaluations: no verdict rests on it.

It holds where two systems are interchangeable, query by query. Where their means are equal and differences
are skewed it does not (``mean`` says how far off it is).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Columns = npt.NDArray[np.float64]
"""float64, shape (queries, columns): one value per query and system, none of them NaN."""

_CELLS = 2_000_000  # numbers drawn at a time: 16 MB of float64, of which 4 MB are kept
_SAME = 1e-10  # sums that differ by less, relative to the sum of absolute values, differ by rounding only


def sign_flip_p(differences: Columns, *, resamples: int, seed: int) -> npt.NDArray[np.float64]:
    """Two-sided p of the paired randomisation test: each query's difference could have had the other sign.

    Fisher's test as Smucker, Allan and Carterette (2007, "A comparison of statistical significance tests for
    information retrieval evaluation", CIKM) recommend it, on the mean difference. Queries that do not differ
    play no part. Exact where all 2^m signs of the m others are no more than ``resamples``; else drawn, with
    p = (1 + at least as large) / (1 + resamples), which is never 0 (Phipson and Smyth 2010).

    Args:
        differences: (queries, columns).
        resamples: How many sign patterns at most.
        seed: Random seed of the draws.

    Returns:
        float64 (columns,), above 0; 1 where nothing differs.
    """
    queries, columns = differences.shape
    scale = np.abs(differences).sum(axis=0)
    differing = np.count_nonzero(differences, axis=0)
    observed = np.abs(differences.sum(axis=0)) - _SAME * scale
    result = np.ones(columns)
    exact = differing <= math.log2(resamples)
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
def _drawn_signs(queries: int, rows: int, seed: int, first: int) -> npt.NDArray[np.int8]:
    """One sign per query: int8 (rows, queries) of -1 and 1."""
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
