"""Conditions on payload fields, as typed on a command line: ``chunk_index>=3``, ``kind=class``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from qembed.errors import UsageError

Operator: TypeAlias = Literal["!=", ">=", "<=", "=", ">", "<"]
Value: TypeAlias = str | int | float | bool
_PATTERN = re.compile(rf"\s*([\w.\-]+)\s*({'|'.join(get_args(Operator))})\s*(.*?)\s*$", re.DOTALL)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""As JSON writes numbers: 007, 1_000 and NaN stay words."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Attributes:
        field: Name of a payload field; dots go into nested objects (``original.token_count``).
        operator: ``=``, ``!=``, ``>``, ``>=``, ``<``, ``<=``; the last four compare numbers.
        value: To compare with.
    """

    field: str
    operator: Operator
    value: Value


def parse_condition(text: str) -> Condition:
    """Read ``field operator value``; true, false and numbers are taken as such, quotes make a string.

    Raises:
        UsageError: It is no condition, or compares sizes of what is not a number.
    """
    match = _PATTERN.match(text)
    if match is None or not match[3] or match[3][0] == "=":  # == is no operator; quotes protect a value
        raise UsageError(
            f"{text!r} is not a condition", remedy="write FIELD=VALUE, e.g. --filter subdirectory=docs"
        )
    operator: Operator = match[2]  # type: ignore[assignment]  # the pattern allows no other
    value = _value(match[3])
    if operator not in ("=", "!=") and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise UsageError(f"{text!r} compares sizes, but {match[3]!r} is not a number", remedy="use = or !=")
    return Condition(match[1], operator, value)


def _value(text: str) -> Value:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if not _NUMBER.fullmatch(text):
        return text
    if len(text) <= 20 and text.lstrip("-").isdigit() and -(2**63) <= int(text) < 2**63:
        return int(text)
    return float(text) if abs(float(text)) != float("inf") else text
