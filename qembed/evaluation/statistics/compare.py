"""Is one system better than another, on these queries, beyond chance? Estimates, comparisons, verdicts.

Everything is paired by query. Per comparison: the mean difference with its interval and p (``mean``),
corrected over the family of comparisons, and a verdict, in this order:

1. ``equivalent``: both one-sided tests against the margin reject at alpha (Schuirmann 1987; Lakens 2017), not
   corrected over the family. A difference that is real but smaller than the margin is equivalent: the margin
   says what is worth having.
2. ``better`` or ``worse``: the corrected p is at most alpha.
3. ``cannot tell``, with the number of queries that would be needed, where these queries can say.

The p are corrected by Holm's (1979) step-down test. The intervals beside them are at alpha over the size of
the family, so that all of them hold together with the confidence that is said (Bonferroni). Where Holm's test
excludes 0 and such an interval does not, it ends at 0 (Strassburger and Bretz 2008, "Compatible simultaneous
lower confidence bounds for the Holm procedure", Stat. Med. 27; Guilbaud 2008, Biometrical Journal 50). So an
interval excludes 0 or ends there exactly where the verdict may be ``better`` or ``worse``.

How often these verdicts are wrong is measured by benchmarks/statistics_check.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qembed.errors import UsageError
from qembed.evaluation.statistics import power
from qembed.evaluation.statistics.mean import Ends, Sample, clopper_pearson
from qembed.evaluation.statistics.randomisation import sign_flip_p
from qembed.evaluation.statistics.values import Groups, PerQuery, labelled, numbers_of, paired, sample_of
from qembed.evaluation.statistics.verdict import FEW, Comparison, Estimate, Verdict, sentence

__all__ = [
    "Comparison",
    "Estimate",
    "PerQuery",
    "Verdict",
    "compare",
    "compare_family",
    "compare_pairs",
    "holm",
    "mean_interval",
    "sentence",
]

_ROUNDING = 1e-12  # differences below this are ties: the same value, added up in another order


@dataclass(frozen=True, slots=True)
class _Settings:
    margin: float
    confidence: float
    resamples: int
    seed: int

    def __post_init__(self) -> None:
        _check_confidence(self.confidence)
        if not 0 <= self.margin < math.inf:
            raise UsageError(f"the margin is {self.margin}", remedy="give a difference like 0.01, or 0")
        if self.resamples < 1 / self.alpha:
            raise UsageError(
                f"{self.resamples} resamples cannot show p <= {self.alpha:.3g}", remedy="use 10000 resamples"
            )

    @property
    def alpha(self) -> float:
        return round(1 - self.confidence, 12)


def mean_interval(values: PerQuery, *, confidence: float = 0.95, groups: Groups | None = None) -> Estimate:
    """Mean of one system's values and its interval (``mean.Sample``).

    Values that are all 0 or 1 are a proportion and have the interval of Clopper and Pearson, unless there are
    groups.

    Args:
        values: One per query, between 0 and 1; NaN values are left out.
        confidence: Confidence of the interval.
        groups: One label per query.

    Raises:
        UsageError: The confidence makes no sense.
        Mismatch: A value is infinite, or the labels are more or fewer than the values.
    """
    _check_confidence(confidence)
    numbers = numbers_of(values, "the values")
    known = ~np.isnan(numbers)
    labels = None if groups is None else labelled(groups, len(numbers))[known]
    numbers = numbers[known]
    count = len(numbers)
    if count == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(numbers.mean())
    if labels is None and count >= 2 and np.isin(numbers, (0.0, 1.0)).all():
        return Estimate(mean, *clopper_pearson(int(numbers.sum()), count, confidence), count)
    sample = sample_of(numbers, labels, min(0.0, float(numbers.min())), max(1.0, float(numbers.max())))
    return Estimate(mean, *_ends(sample, round(1 - confidence, 12)), count)


def compare(
    baseline: PerQuery,
    system: PerQuery,
    *,
    margin: float = 0.01,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    groups: Groups | None = None,
) -> Comparison:
    """One system against the baseline; ``p_adjusted`` is ``p``. Arguments and errors: ``compare_pairs``."""
    found = compare_pairs(
        {"": (baseline, system)},
        margin=margin,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        groups=groups,
    )
    return found[""]


def compare_family(
    systems: Mapping[str, PerQuery],
    baseline: PerQuery,
    *,
    margin: float = 0.01,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    groups: Groups | None = None,
) -> dict[str, Comparison]:
    """Several systems against one baseline, corrected together. Other arguments and errors:
    ``compare_pairs``."""
    return compare_pairs(
        {name: (baseline, values) for name, values in systems.items()},
        margin=margin,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        groups=groups,
    )


def compare_pairs(
    pairs: Mapping[str, tuple[PerQuery, PerQuery]],
    *,
    margin: float = 0.01,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    groups: Groups | None = None,
) -> dict[str, Comparison]:
    """Several systems, each against a baseline of its own, corrected together.

    Args:
        pairs: Name -> values of the baseline and of the system, one per query, between 0 and 1, in the same
            order of queries. Queries where either side is NaN are left out of that comparison. Where a
            difference is larger than 1, the largest seen is taken for the largest that there is.
        margin: Differences up to this, either way, count as equivalent.
        confidence: Confidence of all intervals together; alpha is 1 - confidence.
        resamples: Number of resamples of the randomisation test.
        seed: Random seed of that test.
        groups: One label per query: queries of one label are drawn together.

    Raises:
        UsageError: A setting makes no sense.
        Mismatch: Two sides have other queries or another number of them, a value is infinite, or the labels
            are more or fewer than the queries.
    """
    settings = _Settings(margin, confidence, resamples, seed)
    tested = {
        name: _test(name, baseline, system, groups, settings) for name, (baseline, system) in pairs.items()
    }
    adjusted = holm([one.p for one in tested.values()])
    return {
        name: _judge(one, corrected, len(tested), settings)
        for (name, one), corrected in zip(tested.items(), adjusted, strict=True)
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
    """Differences of one system with what was computed from them; no sample below one query."""

    differences: npt.NDArray[np.float64]
    baseline: float
    system: float
    sample: Sample | None
    groups: int | None
    p: float
    p_randomisation: float


def _test(
    name: str, baseline: PerQuery, system: PerQuery, groups: Groups | None, settings: _Settings
) -> _Tested:
    reference = numbers_of(baseline, "the baseline")
    values = paired(system, baseline, reference, name)
    known = ~(np.isnan(values) | np.isnan(reference))
    labels = None if groups is None else labelled(groups, len(values))[known]
    values, reference = values[known], reference[known]
    differences = values - reference
    differences[np.abs(differences) < _ROUNDING] = 0.0
    if not len(differences):
        return _Tested(differences, math.nan, math.nan, None, None if labels is None else 0, 1.0, 1.0)
    widest = max(1.0, float(np.abs(differences).max()))
    sample = sample_of(differences, labels, -widest, widest)
    randomised = sign_flip_p(sample.sums[:, None], resamples=settings.resamples, seed=settings.seed)
    return _Tested(
        differences,
        float(reference.mean()),
        float(values.mean()),
        sample,
        None if labels is None else sample.draws,
        sample.p() if sample.draws >= 2 else 1.0,
        float(randomised[0]),
    )


def _judge(tested: _Tested, corrected: float, family: int, settings: _Settings) -> Comparison:
    differences, count, sample = tested.differences, len(tested.differences), tested.sample
    difference = float(differences.mean()) if count else math.nan
    spread = float(differences.std(ddof=1)) if count >= 2 else math.nan
    alpha = settings.alpha
    outer = _agreeing(_ends(sample, alpha / family), difference, shown=corrected <= alpha)
    inner = _ends(sample, alpha, one_sided=True)
    verdict = _verdict(difference, inner, corrected, settings)
    needed = None
    if verdict == "cannot tell" and sample is not None:
        needed = power.queries_needed(
            sample, margin=settings.margin, alpha=alpha / family, alpha_equivalence=alpha
        )
    return Comparison(
        n=count,
        baseline=tested.baseline,
        system=tested.system,
        difference=difference,
        low=outer[0],
        high=outer[1],
        inner_low=inner[0],
        inner_high=inner[1],
        p=tested.p,
        p_adjusted=corrected,
        p_randomisation=tested.p_randomisation,
        effect_size=_effect_size(difference, spread),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        detectable_difference=math.nan
        if sample is None
        else power.detectable_difference(sample, alpha=alpha / family),
        margin=settings.margin,
        verdict=verdict,
        queries_needed=None if needed is None else (max(needed[0], count + 1), max(needed[1], count + 1)),
        small=sample is None or sample.draws < FEW,
        family=family,
        groups=tested.groups,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=settings.seed,
    )


def _agreeing(ends: Ends, difference: float, *, shown: bool) -> Ends:
    """An interval that excludes 0, or ends there, exactly where a difference is shown."""
    low, high = ends
    if not shown:
        return min(low, 0.0), max(high, 0.0)
    return (max(low, 0.0), high) if difference > 0 else (low, min(high, 0.0))


def _verdict(difference: float, inner: Ends, corrected: float, settings: _Settings) -> Verdict:
    if -settings.margin <= inner[0] and inner[1] <= settings.margin:
        return "equivalent"
    if corrected <= settings.alpha:
        return "better" if difference > 0 else "worse"
    return "cannot tell"


def _ends(sample: Sample | None, alpha: float, *, one_sided: bool = False) -> Ends:
    if sample is None or sample.draws < 2:
        return math.nan, math.nan
    return sample.ends(alpha, one_sided=one_sided)


def _effect_size(difference: float, spread: float) -> float:
    if difference == 0:
        return 0.0
    return difference / spread if spread > _ROUNDING else math.nan


def _check_confidence(confidence: float) -> None:
    if not 0.5 < confidence < 1:
        raise UsageError(f"the confidence is {confidence}", remedy="give a share like 0.95")
