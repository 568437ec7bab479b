"""What a comparison of two systems says, in numbers and in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from qembed.evaluation.measures import Measure

Verdict: TypeAlias = Literal["better", "worse", "equivalent", "cannot tell"]


Range: TypeAlias = tuple[int, int]

FEW: Final = 20
"""Below this many queries (or groups of them) a verdict is marked, and no gate is certain."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        mean: Over the queries that have a value; NaN without any.
        low: Lower end; NaN below two queries.
        high: Upper end.
        n: Queries that have a value.
    """

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A system against a baseline on one measure, over the queries for which both have a value.

    Attributes:
        n: Queries.
        baseline: Mean of the baseline.
        system: Mean of the system.
        difference: System less baseline.
        low: Lower end of the difference's interval at ``confidence``, simultaneous over the family: it
            excludes 0 where ``p_adjusted`` is at most alpha, and nowhere else. NaN below two queries.
        high: Upper end.
        inner_low: Lower end of the interval on which equivalence is decided: two one-sided tests at alpha.
        inner_high: Upper end.
        p: Two-sided (``mean.Sample.p``); never 0, 1 where the means are equal.
        p_adjusted: After Holm's correction over the family; ``p`` itself for a single comparison.
        p_randomisation: p of the paired randomisation test, uncorrected; no verdict rests on it.
        effect_size: Cohen's d_z: mean difference over standard deviation of the differences; 0 where nothing
            differs, NaN where every query differs by the same amount, or below two queries.
        wins: Queries on which the system is better.
        ties: Queries without a difference.
        losses: Queries on which it is worse.
        detectable_difference: The smallest true difference that as many such queries show with 80 % power, at
            the level of the family.
        margin: Differences up to this, either way, are not worth having.
        verdict: See ``compare``.
        queries_needed: When the verdict is ``cannot tell``: from how many to how many queries would give one
            with 80 % power; the true difference is taken to lie in its 80 % interval. None where these
            queries do not say which verdict that would be.
        small: Fewer than 20 queries, or groups of them.
        family: Comparisons that were corrected together.
        groups: Groups of queries that were taken as one draw each; None without groups.
        confidence: Confidence of ``low`` and ``high``; alpha is 1 - confidence.
        resamples: Number of resamples of the randomisation test.
        seed: Random seed of that test.
    """

    n: int
    baseline: float
    system: float
    difference: float
    low: float
    high: float
    inner_low: float
    inner_high: float
    p: float
    p_adjusted: float
    p_randomisation: float
    effect_size: float
    wins: int
    ties: int
    losses: int
    detectable_difference: float
    margin: float
    verdict: Verdict
    queries_needed: Range | None
    small: bool
    family: int
    groups: int | None
    confidence: float
    resamples: int
    seed: int


def sentence(comparison: Comparison, measure: Measure | str, system: str = "", baseline: str = "") -> str:
    """The verdict with what it rests on, in one line for people.

    ``better than vectors: maxsim +0.061 nDCG@10 (0.034 to 0.088), p = 0.0004, 150 queries``; without names
    ``better: +0.061 nDCG@10 ...``. The p is the corrected one.
    """
    if comparison.n == 0:
        return f"{_opening(comparison, system, baseline)}: no query has a value of {measure} for both"
    subject = f"{system} " if system and baseline and comparison.verdict != "cannot tell" else ""
    numbers = f"{subject}{_signed(comparison.difference)} {measure}"
    if not math.isnan(comparison.low):
        numbers += f" ({_number(comparison.low)} to {_number(comparison.high)})"
    queries = f"{comparison.n} quer{'y' if comparison.n == 1 else 'ies'}"
    text = f"{_opening(comparison, system, baseline)}: {numbers}, {_p(comparison)}, {queries}"
    if comparison.small:
        text += " only"
    if comparison.queries_needed is not None:
        text += f"; {needed(comparison.queries_needed)} queries would be needed"
    return text


def brief(comparison: Comparison, doubt: str = "") -> str:
    """The verdict for a table; ``doubt`` (``pool.doubt``) is what it must carry."""
    words: str = comparison.verdict
    if words == "equivalent":
        words += f" within {comparison.margin:g}"
    if comparison.small:
        words += f"; only {comparison.n} quer{'y' if comparison.n == 1 else 'ies'}"
    if doubt:
        words += f" {doubt}"
    if comparison.queries_needed is not None:
        words += f"; needs {needed(comparison.queries_needed)} queries"
    return words


def most_telling(found: Sequence[Comparison]) -> int:
    """Position of the comparison for a headline: what is shown to be better first, by its gain."""
    return max(range(len(found)), key=lambda at: (found[at].verdict == "better", found[at].difference))


def needed(queries: Range) -> str:
    """``about 400`` or ``about 400 to 2,100``: to two digits, since no more is known."""
    low, high = (f"{_rounded_up(end):,}" for end in queries)
    return f"about {low}" if low == high else f"about {low} to {high}"


def _opening(comparison: Comparison, system: str, baseline: str) -> str:
    named = system and baseline
    match comparison.verdict:
        case "equivalent":
            return f"equivalent{f' to {baseline}' if named else ''} within ±{comparison.margin:g}"
        case "cannot tell":
            return f"cannot tell{f' {system} from {baseline}' if named else ''}"
        case verdict:
            return f"{verdict}{f' than {baseline}' if named else ''}"


def _p(comparison: Comparison) -> str:
    p = comparison.p_adjusted
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}" if p < 0.001 else f"p = {p:.2g}"


def _signed(value: float) -> str:
    return ("+" if float(_number(value)) > 0 else "") + _number(value)


def _number(value: float) -> str:
    """Three decimals; never "-0.000"."""
    text = f"{value:.3f}"
    return text.lstrip("-") if float(text) == 0 else text


def _rounded_up(queries: int) -> int:
    """Up, to two digits."""
    step: int = 10 ** max(len(str(queries)) - 2, 0)
    return -(-queries // step) * step
