"""What a sample says about the mean that it was drawn from: interval and p, which agree by construction.

Two tests, and both must reject:

- Student's t, two-sided at alpha. Of the tests in use it keeps its level best on retrieval measures (Urbano,
  Lima and Hanjalic 2019, "Statistical significance testing in information retrieval", SIGIR; Sakai 2016,
  "Statistical significance, power, and sample sizes", SIGIR). Not where differences are skewed and queries
  are few: where nine queries in ten lose a little and the tenth gains a lot, it calls equal systems worse on
  half of all samples of 6 queries, a third of those of 10, an eighth of those of 20, and so do the
  randomisation test and the bootstrap.
- Gaffke's bound (``bounds``), one-sided at alpha, towards which such a sample errs. It holds for every
  distribution of bounded values, and is what a rule of three is for proportions.

So an interval of confidence 1 - alpha ends, on each side, where the farther of the two ends; p is the larger
of the two p. With groups of queries (paraphrases, queries of one page), what is drawn is a group: t is that
of a ratio of sums over groups with the cluster-robust variance (Liang and Zeger 1986), groups - 1 degrees of
freedom; the bound weighs whole groups, as a cluster bootstrap does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qembed.evaluation.statistics.bounds import chance_below_zero

Floats = npt.NDArray[np.float64]
Ends = tuple[float, float]

_SMALLEST_P = 1e-9  # the accuracy of the bound's chances
_CLOSE = 1e-6


@dataclass(frozen=True, slots=True)
class Sample:
    """Independent draws: queries, or groups of them.

    Attributes:
        sums: (draws,) float64; sum of the values of each.
        sizes: (draws,) float64; how many values that is, 1 without groups.
        lowest: The least value that a query can have.
        highest: The greatest.
    """

    sums: Floats
    sizes: Floats
    lowest: float
    highest: float

    @property
    def mean(self) -> float:
        """Over all queries."""
        return float(self.sums.sum() / self.sizes.sum())

    @property
    def draws(self) -> int:
        """Independent ones."""
        return len(self.sums)

    @property
    def error(self) -> float:
        """Standard error of the mean; 0 where all draws have the same mean."""
        draws = self.draws
        squares = float(((self.sums - self.mean * self.sizes) ** 2).sum())
        return math.sqrt(squares * draws / (draws - 1)) / float(self.sizes.sum())

    def turned(self) -> Sample:
        """The same with the other sign."""
        return Sample(-self.sums, self.sizes, -self.highest, -self.lowest)

    def p(self) -> float:
        """Two-sided, of the mean being 0; at least 1e-9, and 1 where it is 0."""
        mean, error = self.mean, self.error
        if mean == 0:
            return 1.0
        student = 2 * _student_tail(abs(mean) / error, self.draws) if error > 0 else 0.0
        bound = (self if mean > 0 else self.turned()).chance_not_above(0.0)
        return min(1.0, max(student, bound, _SMALLEST_P))

    def ends(self, alpha: float, *, one_sided: bool = False) -> Ends:
        """Ends of the interval: t at ``alpha``, two-sided unless ``one_sided``; the bound at ``alpha`` at
        each."""
        reach = student(1 - alpha if one_sided else 1 - alpha / 2, self.draws) * self.error
        return self._low(reach, alpha), -self.turned()._low(reach, alpha)

    def just_shown(self, alpha: float) -> float:
        """The mean above 0 at which a sample of this shape has p = ``alpha``."""
        reach = student(1 - alpha / 2, self.draws) * self.error
        return _root(lambda mean: -_normal(self.chance_not_above(0.0, mean=mean), alpha), reach, self.highest)

    def _low(self, reach: float, alpha: float) -> float:
        """Lower end: ``reach`` below the mean, or the bound where that is lower."""
        end = max(self.mean - reach, self.lowest)
        if end == self.lowest:
            return end
        return _root(lambda value: _normal(self.chance_not_above(value), alpha), self.lowest, end)

    def chance_not_above(self, value: float, *, mean: float | None = None, copies: float = 1.0) -> float:
        """Gaffke's one-sided p of the mean being ``value`` or less.

        Args:
            value: The difference under the null hypothesis.
            mean: The sample is moved to this mean first; None leaves it where it is.
            copies: So many times the sample.
        """
        shift = 0.0 if mean is None else mean - self.mean
        values = self.sums + (shift - value) * self.sizes
        worst = float(self.sizes.max()) * (self.lowest - value)
        return chance_below_zero(values, copies, worst)


def _normal(chance: float, alpha: float) -> float:
    """How far a chance is above alpha, in normal quantiles: nearly linear, so roots are found fast."""
    from scipy import special

    return float(special.ndtri(min(max(chance, _SMALLEST_P), 1 - _SMALLEST_P)) - special.ndtri(alpha))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function crosses 0, to 1e-6; the nearer end where it does not."""
    from scipy import optimize

    if low >= high or function(low) >= 0:
        return low
    if function(high) <= 0:
        return high
    return float(optimize.brentq(function, low, high, xtol=_CLOSE))


def student(level: float, draws: int) -> float:
    """Quantile of Student's t with ``draws`` - 1 degrees of freedom."""
    from scipy import special

    return float(special.stdtrit(draws - 1, level))


def _student_tail(t: float, draws: int) -> float:
    from scipy import special

    return float(special.stdtr(draws - 1, -t))


def clopper_pearson(successes: int, trials: int, confidence: float) -> Ends:
    """Exact interval of a proportion (Clopper and Pearson 1934)."""
    from scipy import special

    tail = (1 - confidence) / 2
    rest = trials - successes
    low = float(special.betaincinv(successes, rest + 1, tail)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, rest, 1 - tail)) if rest else 1.0
    return low, high
