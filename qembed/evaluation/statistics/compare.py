"""Is one system better than another, on these queries, beyond chance? Estimates, comparisons, verdicts.

Everything is paired by query. Per comparison: the mean difference with its bootstrap interval
(``resampling.intervals``), the p of the paired randomisation test (``resampling.sign_flip_p``), corrected
over the family of comparisons (Holm 1979), and a verdict, in this order:

1. ``cannot tell`` with too few queries: so few that no data could give p <= alpha (fewer than 6 at 95 %).
2. ``equivalent``: the interval of confidence 1 - 2 alpha (90 %) lies within +-margin. These are two one-sided
   tests (Schuirmann 1987; Lakens 2017), each at alpha; they are not corrected over the family. A difference
   that is real but smaller than the margin is equivalent: the margin says what is worth having.
3. ``better`` or ``worse``: the corrected p is at most alpha, and the interval (95 %) excludes 0.
4. ``cannot tell``, with the number of queries that would be needed.

How often these verdicts are wrong is measured by benchmarks/statistics_check.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qembed.errors import Mismatch, UsageError
from qembed.evaluation.statistics import power
from qembed.evaluation.statistics.resampling import bootstrap_means, intervals, sign_flip_p
from qembed.evaluation.statistics.verdict import Comparison, Estimate, Verdict, sentence

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Comparison",
    "Estimate",
    "PerQuery",
    "Verdict",
    "compare",
    "compare_family",
    "holm",
    "mean_interval",
    "sentence",
]

PerQuery: TypeAlias = "pd.Series[float] | npt.NDArray[np.float64] | Sequence[float]"
"""One value a query; NaN where the query has none."""

_ROUNDING = 1e-12  # differences below this are ties: the same value, added up in another order


@dataclass(frozen=True, slots=True)
class _Settings:
    margin: float
    confidence: float
    resamples: int
    seed: int

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence < 1:
            raise UsageError(f"the confidence is {self.confidence}", remedy="give a share like 0.95")
        if not 0 <= self.margin < math.inf:
            raise UsageError(f"the margin is {self.margin}", remedy="give a difference like 0.01, or 0")
        if self.resamples < 1 / self.alpha:
            raise UsageError(
                f"{self.resamples} resamples cannot show p <= {self.alpha:.3g}", remedy="use 10000 resamples"
            )

    @property
    def alpha(self) -> float:
        return round(1 - self.confidence, 12)


def mean_interval(
    values: PerQuery, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """Mean of one system's values and its bootstrap interval (``resampling.intervals``).

    Args:
        values: One a query; NaN values are left out.
        confidence: Of the interval.
        resamples: Of the bootstrap.
        seed: Of the bootstrap; the same seed gives the same interval.

    Raises:
        UsageError: A setting makes no sense.
        Mismatch: A value is infinite.
    """
    settings = _Settings(0.0, confidence, resamples, seed)
    numbers = _numbers(values, "the values")
    numbers = numbers[~np.isnan(numbers)]
    count = len(numbers)
    if count < 2:
        return Estimate(float(numbers[0]) if count else math.nan, math.nan, math.nan, count)
    sample = numbers[:, None]
    means = bootstrap_means(sample, resamples=settings.resamples, seed=settings.seed)
    low, high = intervals(sample, means, confidence)[:, 0]
    return Estimate(float(numbers.mean()), float(low), float(high), count)


def compare(
    baseline: PerQuery,
    system: PerQuery,
    *,
    margin: float = 0.01,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """One system against the baseline; ``p_adjusted`` is ``p``. Arguments and errors: ``compare_family``."""
    family = compare_family(
        {"": system}, baseline, margin=margin, confidence=confidence, resamples=resamples, seed=seed
    )
    return family[""]


def compare_family(
    systems: Mapping[str, PerQuery],
    baseline: PerQuery,
    *,
    margin: float = 0.01,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Several systems against one baseline, with Holm's correction over all of them.

    Args:
        systems: Name -> one value a query, in the baseline's order of queries.
        baseline: One value a query. Queries where either side is NaN are left out of that comparison.
        margin: Differences up to this, either way, count as equivalent.
        confidence: Of the interval; alpha is 1 - confidence.
        resamples: Of bootstrap and randomisation test.
        seed: Of both.

    Raises:
        UsageError: A setting makes no sense.
        Mismatch: Two sides have other queries or another number of them, or a value is infinite.
    """
    settings = _Settings(margin, confidence, resamples, seed)
    reference = _numbers(baseline, "the baseline")
    columns = {name: _paired(values, baseline, reference, name) for name, values in systems.items()}
    groups: dict[bytes, list[str]] = {}  # systems with values for the same queries share their resamples
    for name, values in columns.items():
        groups.setdefault((np.isnan(values) | np.isnan(reference)).tobytes(), []).append(name)
    tested: dict[str, _Tested] = {}
    for names in groups.values():
        known = ~(np.isnan(columns[names[0]]) | np.isnan(reference))
        group = np.stack([columns[name][known] for name in names], axis=1)
        tested.update(zip(names, _test(group, reference[known], settings), strict=True))
    names = list(systems)
    adjusted = holm([tested[name].p for name in names])
    return {
        name: _judge(tested[name], corrected, len(names), settings)
        for name, corrected in zip(names, adjusted, strict=True)
    }


def holm(p: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction: p values as if there had been one test, in the order given."""
    adjusted = [1.0] * len(p)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p)), key=lambda position: p[position])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[position]))
        adjusted[position] = largest
    return adjusted


@dataclass(frozen=True, slots=True)
class _Tested:
    """Differences of one system with what was computed from them."""

    differences: npt.NDArray[np.float64]
    baseline: float
    system: float
    outer: tuple[float, float]
    inner: tuple[float, float]
    p: float


def _test(
    values: npt.NDArray[np.float64], reference: npt.NDArray[np.float64], settings: _Settings
) -> list[_Tested]:
    """Systems (queries, systems) against the reference (queries,), none NaN."""
    differences = values - reference[:, None]
    differences[np.abs(differences) < _ROUNDING] = 0.0
    queries, systems = differences.shape
    outer = inner = np.full((2, systems), math.nan)
    if queries >= 2:
        means = bootstrap_means(differences, resamples=settings.resamples, seed=settings.seed)
        outer = intervals(differences, means, settings.confidence)
        inner = intervals(differences, means, 1 - 2 * settings.alpha)
    p = sign_flip_p(differences, resamples=settings.resamples, seed=settings.seed)
    return [
        _Tested(
            differences[:, column],
            float(reference.mean()) if queries else math.nan,
            float(values[:, column].mean()) if queries else math.nan,
            (float(outer[0, column]), float(outer[1, column])),
            (float(inner[0, column]), float(inner[1, column])),
            float(p[column]),
        )
        for column in range(systems)
    ]


def _judge(tested: _Tested, corrected: float, family: int, settings: _Settings) -> Comparison:
    differences, count = tested.differences, len(tested.differences)
    difference = float(differences.mean()) if count else math.nan
    spread = float(differences.std(ddof=1)) if count >= 2 else math.nan
    small = 2.0 ** (1 - count) > settings.alpha
    verdict: Verdict = "cannot tell" if small else _verdict(tested, corrected, settings)
    needed = None
    if verdict == "cannot tell" and count >= 2:
        needed = _needed(difference, spread, count, family, settings)
    return Comparison(
        n=count,
        baseline=tested.baseline,
        system=tested.system,
        difference=difference,
        low=tested.outer[0],
        high=tested.outer[1],
        inner_low=tested.inner[0],
        inner_high=tested.inner[1],
        p=tested.p,
        p_adjusted=corrected,
        effect_size=_effect_size(difference, spread),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        detectable_difference=power.detectable_difference(spread, count, alpha=settings.alpha),
        margin=settings.margin,
        verdict=verdict,
        queries_needed=needed,
        small=small,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=settings.seed,
    )


def _verdict(tested: _Tested, corrected: float, settings: _Settings) -> Verdict:
    if -settings.margin <= tested.inner[0] and tested.inner[1] <= settings.margin:
        return "equivalent"
    if corrected <= settings.alpha and tested.outer[0] > 0:
        return "better"
    if corrected <= settings.alpha and tested.outer[1] < 0:
        return "worse"
    return "cannot tell"


def _needed(difference: float, spread: float, count: int, family: int, settings: _Settings) -> int | None:
    """Queries for whichever verdict comes first; more than there are, since they did not suffice."""
    alpha = settings.alpha
    ways = (
        power.queries_for_difference(difference, spread, alpha=alpha / family),
        power.queries_for_equivalence(difference, spread, margin=settings.margin, alpha=alpha),
    )
    known = [queries for queries in ways if queries is not None]
    return max(min(known), count + 1) if known else None


def _effect_size(difference: float, spread: float) -> float:
    if difference == 0:
        return 0.0
    return difference / spread if spread > _ROUNDING else math.nan


def _paired(
    values: PerQuery, baseline: PerQuery, reference: npt.NDArray[np.float64], name: str
) -> npt.NDArray[np.float64]:
    """The values of a system, certain to belong to the baseline's queries."""
    side = f"the values of {name!r}" if name else "the values of the system"
    numbers = _numbers(values, side)
    if len(numbers) != len(reference):
        raise Mismatch(
            f"{side} are {len(numbers)}, those of the baseline {len(reference)}",
            remedy="evaluate both runs with the same qrels",
        )
    ours: Any = getattr(values, "index", None)
    theirs: Any = getattr(baseline, "index", None)
    if hasattr(ours, "equals") and hasattr(theirs, "equals") and not ours.equals(theirs):
        raise Mismatch(
            f"{side} belong to other queries than those of the baseline, or stand in another order",
            remedy="evaluate both runs with the same qrels",
        )
    return numbers


def _numbers(values: Any, what: str) -> npt.NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1:
        raise Mismatch(f"{what} have {numbers.ndim} dimensions", remedy="give one value a query")
    if np.isinf(numbers).any():
        raise Mismatch(
            f"{what} have an infinite one", remedy="give finite values, NaN where a query has none"
        )
    return numbers
