"""How many queries it takes: the difference that can be seen, and the queries that a verdict would need.

Both take the sample's own differences as the shape of all others, move their mean and make more or fewer of
them, and ask the two tests of ``mean`` what they would say. A mean is taken to vary as Student's t does;
alpha is that of the test, so of the whole family divided by its size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from qembed.evaluation.statistics.mean import Sample, student

POWER: Final = 0.8
PILOT: Final = 0.8
"""Confidence of the interval of the true difference, from which a range of queries is made."""

MOST_QUERIES: Final = 1_000_000
"""Beyond this many queries "how many" has no useful answer."""

Range = tuple[int, int]


def detectable_difference(sample: Sample, *, alpha: float = 0.05) -> float:
    """The smallest true mean difference that is shown with 80 % power, in either direction.

    The mean that would just be shown, plus ``t(0.8)`` standard errors (Bloom 1995, "Minimum detectable
    effects", Evaluation Review 19, with both tests in place of t alone). NaN below two draws.
    """
    if sample.draws < 2:
        return math.nan
    just_shown = max(sample.just_shown(alpha), sample.turned().just_shown(alpha))
    return just_shown + student(POWER, sample.draws) * sample.error


def queries_needed(sample: Sample, *, margin: float, alpha: float, alpha_equivalence: float) -> Range | None:
    """From how many to how many queries a verdict would take, with 80 % power.

    The pilot's noise is in it: the true difference is taken to lie in its 80 % interval, and the ends of that
    are asked for.

    Returns:
        For ``better`` or ``worse`` where that interval excludes 0; for ``equivalent`` where it lies within
        the margin; the fewer of both. None where neither is so: the sample does not say which verdict more
        queries would bring.
    """
    if sample.draws < 2:
        return None
    reach = student((1 + PILOT) / 2, sample.draws) * sample.error
    low, high = sample.mean - reach, sample.mean + reach
    far = max(abs(low), abs(high))
    near = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    found: list[Range | None] = []
    if near > 0:
        found.append(
            _range(
                queries_for_difference(math.copysign(far, sample.mean), sample, alpha=alpha),
                queries_for_difference(math.copysign(near, sample.mean), sample, alpha=alpha),
            )
        )
    if far < margin:
        found.append(
            _range(
                queries_for_equivalence(near, sample, margin=margin, alpha=alpha_equivalence),
                queries_for_equivalence(far, sample, margin=margin, alpha=alpha_equivalence),
            )
        )
    return min((one for one in found if one is not None), key=lambda one: one[1], default=None)


def queries_for_difference(difference: float, sample: Sample, *, alpha: float = 0.05) -> int | None:
    """The least number of queries that show ``difference`` with 80 % power; None where a million do not."""
    side = sample if difference > 0 else sample.turned()

    def enough(copies: float) -> bool:
        draws, error = _larger(side, copies)
        mean = abs(difference) - student(POWER, draws) * error
        return (
            mean > 0
            and mean >= student(1 - alpha / 2, draws) * error
            and side.chance_not_above(0.0, mean=mean, copies=copies) <= alpha
        )

    return _least(enough, sample) if difference else None


def queries_for_equivalence(
    difference: float, sample: Sample, *, margin: float, alpha: float = 0.05
) -> int | None:
    """The least number of queries at which a true ``difference`` is shown to be within the margin; None
    without.

    Both one-sided tests, at the farther end of the margin with 90 % power each, so 80 % at least (Julious
    2004, "Sample sizes for clinical trials with normal data", Stat. Med. 23, for t alone).
    """

    def enough(copies: float) -> bool:
        draws, error = _larger(sample, copies)
        mean = abs(difference) + student((1 + POWER) / 2, draws) * error
        return margin - mean >= student(1 - alpha, draws) * error and all(
            side.chance_not_above(-margin, mean=-mean, copies=copies) <= alpha
            for side in (sample, sample.turned())
        )

    return _least(enough, sample) if abs(difference) < margin else None


def _larger(sample: Sample, copies: float) -> tuple[int, float]:
    """Draws and standard error of a sample so many times as large."""
    return max(2, round(sample.draws * copies)), sample.error / math.sqrt(copies)


def _range(low: int | None, high: int | None) -> Range | None:
    return None if low is None or high is None else (low, high)


def _least(enough: Callable[[float], bool], sample: Sample) -> int | None:
    """The least number of queries that is enough, by bisection over how often the sample is taken."""
    queries = float(sample.sizes.sum())
    if not enough(MOST_QUERIES / queries):
        return None
    low, high = 1, 2
    while not enough(high / queries):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle / queries) else (middle, high)
    return high
