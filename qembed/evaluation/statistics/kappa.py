"""How far two judges agree beyond chance: Cohen's kappa, plain and weighted, with its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qembed.evaluation.statistics.mean import Floats, clopper_pearson


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement of two judges on the items that both graded.

    Attributes:
        items: How many both graded.
        agreement: Share of the same grade.
        agreement_low: Lower end of its 95 % interval (Clopper and Pearson 1934).
        agreement_high: Upper end.
        kappa: Agreement beyond chance: 1 is complete, 0 is chance; NaN where both gave one grade only.
        low: Lower end of the 95 % interval; NaN where ``kappa`` is.
        high: Upper end.
        weighted: Kappa that counts a difference of two grades four times one of one grade; the same as
            ``kappa`` for two grades.
        weighted_low: Lower end of the 95 % interval.
        weighted_high: Upper end.
    """

    items: int
    agreement: float
    agreement_low: float
    agreement_high: float
    kappa: float
    low: float
    high: float
    weighted: float
    weighted_low: float
    weighted_high: float


def cohens_kappa(grades: Sequence[tuple[int, int]]) -> Kappa:
    """Kappa of pairs of grades, at least one, with large-sample intervals.

    Cohen 1960, "A coefficient of agreement for nominal scales", Educ. Psychol. Meas. 20; weighted by the
    squared distance of the grades, since these are ordered: Cohen 1968, "Weighted kappa", Psychological
    Bulletin 70. Standard errors: Fleiss, Cohen and Everitt 1969, "Large sample standard errors of kappa and
    weighted kappa", Psychological Bulletin 72. Published agreement of models with people is the plain one.

    Args:
        grades: The grade of each judge, per item.
    """
    kinds = sorted({grade for pair in grades for grade in pair})
    table = np.zeros((len(kinds), len(kinds)))
    for one, other in grades:
        table[kinds.index(one), kinds.index(other)] += 1
    count, same = len(grades), int(np.trace(table))
    distance = np.subtract.outer(kinds, kinds) / max(kinds[-1] - kinds[0], 1)
    return Kappa(
        count,
        same / count,
        *clopper_pearson(same, count, 0.95),
        *_kappa(table / count, np.eye(len(kinds)), count),
        *_kappa(table / count, 1 - distance**2, count),
    )


def _kappa(table: Floats, weights: Floats, count: int) -> tuple[float, float, float]:
    """Kappa and its interval, of shares per pair of grades and the worth of each pair."""
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    seen, chance = float((weights * table).sum()), float(rows @ weights @ columns)
    if chance >= 1 - 1e-12:
        return math.nan, math.nan, math.nan
    kappa = (seen - chance) / (1 - chance)
    expected = (weights @ columns)[:, None] + (rows @ weights)[None, :]
    spread = float((table * (weights - expected * (1 - kappa)) ** 2).sum())
    variance = (spread - (kappa - chance * (1 - kappa)) ** 2) / (1 - chance) ** 2 / count
    error = 1.959964 * math.sqrt(max(variance, 0.0))
    return kappa, max(kappa - error, -1.0), min(kappa + error, 1.0)
