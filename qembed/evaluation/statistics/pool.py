"""What a verdict owes to who was judged: pools that knew one system better than another.

Unjudged results count as irrelevant. Where the qrels were pooled from one system, another that finds what it
did not find is called worse with confidence. Two checks stand beside each verdict:

- the bounds of ``holes``: the least and the greatest difference over all that unjudged results might be;
- the same comparison on condensed lists, from which unjudged results are removed (Sakai 2007, "Alternatives
  to bpref", SIGIR). They err the other way: what only one system found counts neither for it nor against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from qembed.evaluation.statistics.verdict import Comparison, Verdict
from qembed.records import Qrels, Run

ONE_SIDED: Final = 0.05
"""Shares of judged results that differ by at least this much are those of a pool that knew one system
better."""


@dataclass(frozen=True, slots=True)
class Pool:
    """How well two compared systems were judged.

    Attributes:
        judged: Share of the system's first ten results that are judged.
        judged_baseline: The same of the baseline.
        one_sided: The two differ by at least 5 points.
        could_turn: Another verdict is possible, whatever it is, once everything is judged.
        condensed: The comparison on judged results alone; None where neither of the two above is so.
    """

    judged: float
    judged_baseline: float
    one_sided: bool
    could_turn: bool
    condensed: Comparison | None

    @property
    def doubtful(self) -> bool:
        """Whether the verdict holds only on what was judged."""
        return self.one_sided or self.could_turn


def one_sided(judged: float, judged_baseline: float) -> bool:
    """Whether a pool knew one of two systems better."""
    return abs(judged - judged_baseline) >= ONE_SIDED - 1e-9


def could_turn(whatever: tuple[float, float] | None, found: Comparison) -> bool:
    """Whether the verdict would be another at some difference that unjudged results allow.

    The intervals are moved along with the difference.

    Args:
        whatever: Least and greatest difference (``holes.hole_bounds``); None or NaN where they are not known.
        found: The comparison as it is.
    """
    if whatever is None or not whatever[0] <= whatever[1] or found.low != found.low:
        return False
    low, high = min(whatever[0], found.difference), max(whatever[1], found.difference)
    if high - low < 1e-9:
        return False
    nearest = min(max(0.0, low), high)
    return any(
        _moved(found, difference) != _moved(found, found.difference) for difference in (low, nearest, high)
    )


def condensed(run: Run, qrels: Qrels) -> Run:
    """The run without what nobody judged."""
    return {
        query: {unit: score for unit, score in scores.items() if unit in qrels.get(query, {})}
        for query, scores in run.items()
    }


def doubt(pool: Pool | None) -> str:
    """What a verdict must carry where it rests on the pool; empty where it does not."""
    if pool is None or not pool.doubtful:
        return ""
    whose, judged = ("its", pool.judged)
    if pool.judged > pool.judged_baseline:
        whose, judged = ("the first row's", pool.judged_baseline)
    return f"on what was judged; {unjudged(judged)} of {whose} first ten are unjudged"


def unjudged(judged: float) -> str:
    """``58 %``; 100 % and 0 % only where it is all and none."""
    share = 1 - judged
    return f"{min(max(round(100 * share), int(share > 0)), 100 - int(share < 1))} %"


def _moved(found: Comparison, difference: float) -> Verdict:
    """The verdict at another difference."""
    shift = difference - found.difference
    if -found.margin <= found.inner_low + shift and found.inner_high + shift <= found.margin:
        return "equivalent"
    if found.low + shift > 0 or (found.verdict == "better" and shift >= 0):
        return "better"
    if found.high + shift < 0 or (found.verdict == "worse" and shift <= 0):
        return "worse"
    return "cannot tell"
