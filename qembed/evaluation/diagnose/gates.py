"""Conditions that a bench must meet, for CI: parsed, and compared with the numbers. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qembed.errors import UsageError
from qembed.evaluation.measures import Measure, parse_measure
from qembed.evaluation.statistics.compare import Comparison, Estimate
from qembed.evaluation.statistics.verdict import FEW

Outcome: TypeAlias = Literal["holds", "holds, not certain", "fails, not certain", "fails"]

_ABSOLUTE = re.compile(r"(?:(?P<system>.+?):\s+)?(?P<measure>[^<>=]+?)\s*>=\s*(?P<value>-?[\d.]+)")
_RELATIVE = re.compile(
    r"(?:(?P<system>.+?):\s+)?(?P<measure>\S+)\s+(?:no|not)\s+worse\s+than\s+(?P<other>.+)", re.IGNORECASE
)
_FORMS = "'nDCG@10>=0.45', 'recall@100 no worse than baseline', or with a system: 'fusion: MRR@10>=0.5'"


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition on one system.

    Attributes:
        text: As it was written.
        system: The system whose numbers count; the first row of the table when None.
        measure: Which.
        least: The value that the mean must reach; None for a gate against another system.
        other: The system that it must not be worse than; None for a gate on a value.
    """

    text: str
    system: str | None
    measure: Measure
    least: float | None
    other: str | None


@dataclass(frozen=True, slots=True)
class GateResult:
    """What the numbers say of a gate.

    Attributes:
        gate: The condition.
        outcome: ``holds`` and ``fails`` where the whole interval says so; with ``not certain`` behind it
            where the interval reaches over the bound, or there are fewer than 20 queries, and only the mean
            decides.
        words: The same with numbers, one sentence.
    """

    gate: Gate
    outcome: Outcome
    words: str

    @property
    def passed(self) -> bool:
        """Whether the mean meets the condition."""
        return self.outcome.startswith("holds")


def parse_gate(text: str) -> Gate:
    """A gate from its text.

    Raises:
        UsageError: Neither form; or a measure that is not known.
    """
    found = _ABSOLUTE.fullmatch(text.strip())
    if found:
        try:
            least = float(found["value"])
        except ValueError:
            raise UsageError(f"{found['value']!r} in the gate {text!r} is not a number") from None
        return Gate(text, found["system"], parse_measure(found["measure"]), least, None)
    found = _RELATIVE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"the gate {text!r} cannot be read", remedy=f"write {_FORMS}")
    return Gate(text, found["system"], parse_measure(found["measure"]), None, found["other"])


def hold_value(gate: Gate, estimate: Estimate) -> GateResult:
    """A gate on a value against a mean with its interval."""
    assert gate.least is not None
    outcome = _outcome(estimate.mean, estimate.low, estimate.high, gate.least, small=estimate.n < FEW)
    words = f"{gate.measure} is {estimate.mean:.3f}{_interval(estimate, '.3f')}"
    return GateResult(gate, outcome, f"{words}, at least {gate.least:g} is wanted{_certainty(outcome)}")


def hold_difference(gate: Gate, comparison: Comparison) -> GateResult:
    """A gate against another system: the difference must not lie below minus the margin (non-inferiority)."""
    bound = 0.0 - comparison.margin
    outcome = _outcome(comparison.difference, comparison.low, comparison.high, bound, small=comparison.small)
    words = (
        f"{gate.measure} differs by {comparison.difference:+.3f}{_interval(comparison, '+.3f')} "
        f"from {gate.other}"
    )
    return GateResult(gate, outcome, f"{words}, {bound:+g} or more is wanted{_certainty(outcome)}")


def _outcome(mean: float, low: float, high: float, bound: float, *, small: bool) -> Outcome:
    if low >= bound and not small:
        return "holds"
    if high < bound and not small:
        return "fails"
    return "holds, not certain" if mean >= bound else "fails, not certain"


def _interval(found: Estimate | Comparison, form: str) -> str:
    return "" if math.isnan(found.low) else f" ({found.low:{form}} to {found.high:{form}})"


def _certainty(outcome: Outcome) -> str:
    return "; these queries cannot decide it for certain" if "not certain" in outcome else ""
