"""What a comparison of two systems says, in numbers and in one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qembed.evaluation.measures import Measure

Verdict: TypeAlias = Literal["better", "worse", "equivalent", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its bootstrap interval.

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
        low: Lower end of the difference's interval at ``confidence``; NaN below two queries.
        high: Upper end.
        inner_low: Lower end at confidence 1 - 2 alpha (0.90 for 0.95), on which equivalence is decided.
        inner_high: Upper end.
        p: Two-sided, of the paired randomisation test; never 0, 1 where nothing differs.
        p_adjusted: After Holm's correction over the family; ``p`` itself for a single comparison.
        effect_size: Cohen's d_z: mean difference over standard deviation of the differences; 0 where nothing
            differs, NaN where every query differs by the same amount, or below two queries.
        wins: Queries on which the system is better.
        ties: Queries without a difference.
        losses: Queries on which it is worse.
        detectable_difference: The least true difference that as many such queries show with 80 % power.
        margin: Differences up to this, either way, are not worth having.
        verdict: See the module.
        queries_needed: When the verdict is ``cannot tell``: about how many queries would give one with 80 %
            power if the true difference were the observed one; None where it cannot be computed.
        small: Too few queries for any verdict.
        confidence: Of ``low`` and ``high``; alpha is what it lacks to 1.
        resamples: Of bootstrap and test.
        seed: Of both.
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
    effect_size: float
    wins: int
    ties: int
    losses: int
    detectable_difference: float
    margin: float
    verdict: Verdict
    queries_needed: int | None
    small: bool
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
        text += ", too few for any verdict"
    if comparison.queries_needed is not None:
        text += f"; about {_rounded_up(comparison.queries_needed):,} queries would be needed"
    return text


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
    """To two digits: "about 400" claims no more than is known."""
    step: int = 10 ** max(len(str(queries)) - 2, 0)
    return -(-queries // step) * step
