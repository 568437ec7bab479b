"""Conditions on payload fields, as typed on a command line: ``chunk_index>=3``, ``kind=class``. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from qembed.errors import UsageError

Operator: TypeAlias = Literal["!=", ">=", "<=", "=", ">", "<"]
Value: TypeAlias = str | int | float | bool
_KEY = r"[\w\-:@/]+|\"[^\"]+\""
_PATTERN = re.compile(
    rf"\s*((?:{_KEY})(?:\.(?:{_KEY}))*)\s*({'|'.join(get_args(Operator))})\s*(.*?)\s*$", re.DOTALL
)
_EXACT_FLOAT = 2**53
"""From here on a float does not tell every integer from the next."""
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""As JSON writes numbers: 007, 1_000 and NaN stay words."""
_SIZES: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Attributes:
        field: Name of a payload field; dots go into nested objects (``original.token_count``), and a name
            in quotes is taken as it is (``"Header 1"``, ``"a.b"``).
        operator: ``=``, ``!=``, ``>``, ``>=``, ``<``, ``<=``; the last four compare numbers.
        value: To compare with.
    """

    field: str
    operator: Operator
    value: Value

    @property
    def path(self) -> list[str]:
        """The names on the way to the field, outermost first."""
        return [name.strip('"') for name in re.findall(_KEY, self.field)]

    @property
    def beyond_floats(self) -> bool:
        """Whether it compares sizes with an integer that engines, which compare floats, would round."""
        return self.operator in _SIZES and isinstance(self.value, int) and abs(self.value) >= _EXACT_FLOAT


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
    if operator in ("=", "!=") and isinstance(value, int) and not -(2**63) <= value < 2**63:
        value = match[3]  # what metadata holds of such integers (corpus.normal)
    if operator not in ("=", "!=") and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise UsageError(f"{text!r} compares sizes, but {match[3]!r} is not a number", remedy="use = or !=")
    return Condition(match[1], operator, value)


def matches(payload: Mapping[str, Any], condition: Condition) -> bool:
    """Whether a payload meets a condition, as Qdrant decides it.

    One of several values in a list is enough. ``!=`` is met wherever ``=`` is not, also without the field.
    """
    values = _values_at(payload, condition.path)
    if condition.operator in _SIZES:
        compare, bound = _SIZES[condition.operator], condition.value
        assert not isinstance(bound, str)  # ``parse_condition`` compares sizes of numbers only
        return any(_is_number(value) and compare(value, bound) for value in values)
    equal = any(_equal(value, condition.value) for value in values)
    return equal if condition.operator == "=" else not equal


def _values_at(payload: Mapping[str, Any], path: list[str]) -> list[Any]:
    value: Any = payload
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return []
        value = value[key]
    return value if isinstance(value, list) else [value]


def _equal(value: Any, wanted: Value) -> bool:
    if isinstance(wanted, float):
        return _is_number(value) and bool(value == wanted)
    return type(value) is type(wanted) and bool(value == wanted)  # True is no 1, and 1.0 is no 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(text: str) -> Value:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if not _NUMBER.fullmatch(text):
        return text
    if len(text) <= 300 and text.lstrip("-").isdigit():
        return int(text)
    return float(text) if abs(float(text)) != float("inf") else text
