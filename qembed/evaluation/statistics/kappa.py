"""How far two judges agree beyond chance: Cohen's kappa with its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement of two judges on the items that both graded.

    Attributes:
        items: How many both graded.
        agreement: Share of the same grade.
        kappa: Agreement beyond chance: 1 is complete, 0 is chance; NaN where both gave one grade only.
        low: Lower end of the 95 % interval; NaN where ``kappa`` is.
        high: Upper end.
    """

    items: int
    agreement: float
    kappa: float
    low: float
    high: float


def cohens_kappa(grades: Sequence[tuple[int, int]]) -> Kappa:
    """Kappa of pairs of grades, at least one, with the large-sample interval.

    Cohen 1960, "A coefficient of agreement for nominal scales"; the standard error is that of Fleiss, Cohen
    and Everitt 1969, "Large sample standard errors of kappa and weighted kappa", Psychological Bulletin 72.

    Args:
        grades: The grade of each judge, per item.
    """
    kinds = sorted({grade for pair in grades for grade in pair})
    table = np.zeros((len(kinds), len(kinds)))
    for one, other in grades:
        table[kinds.index(one), kinds.index(other)] += 1
    count = len(grades)
    table /= count
    rows, columns, same = table.sum(axis=1), table.sum(axis=0), float(np.trace(table))
    chance = float(rows @ columns)
    if chance >= 1:
        return Kappa(count, same, math.nan, math.nan, math.nan)
    kappa = (same - chance) / (1 - chance)
    diagonal = float(np.diag(table) @ (1 - (rows + columns) * (1 - kappa)) ** 2)
    spread = table * (columns[:, None] + rows[None, :]) ** 2
    off = (1 - kappa) ** 2 * float(spread.sum() - np.trace(spread))
    variance = (diagonal + off - (kappa - chance * (1 - kappa)) ** 2) / (1 - chance) ** 2 / count
    error = 1.959964 * math.sqrt(max(variance, 0.0))
    return Kappa(count, same, kappa, max(kappa - error, -1.0), min(kappa + error, 1.0))
