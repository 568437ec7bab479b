"""Conditions on payload fields, as typed on a command line: ``chunk_index>=3``, ``kind=class``. Pure.

What a condition means is decided here, by ``matches``; ``qdrant_filters`` says what of it engines do alike.
"""

from __future__ import annotations

import math
import operator
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

from qembed.errors import UsageError
from qembed.index.dates import microseconds

Operator: TypeAlias = Literal["!=", ">=", "<=", "=", ">", "<"]
Value: TypeAlias = str | int | float | bool
_KEY = r'[\w\-:@/]+|"(?:[^"\\]|\\.)*"'
_FIELD = rf"(?:{_KEY})(?:\.(?:{_KEY}))*"
_PATTERN = re.compile(rf"\s*({_FIELD})\s*({'|'.join(get_args(Operator))})\s*(.*?)\s*$", re.DOTALL)
_IN_QUOTES = "a name with blanks or other signs stands in quotes"
_ESCAPED = re.compile(r'\\(["\\])')
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""As JSON writes numbers: 007, 1_000 and NaN stay words."""
SIZES: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
"""The operators that compare sizes."""
FLOAT_ERROR = 1e-14
"""How far two floats that count as one may be apart, in proportion. When Qdrant's engine reads a payload, it
changes the last digit of one in ten floats of 16 or 17 digits; those of 15 stay as they are."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Attributes:
        field: Name of a payload field; dots go into nested objects (``original.token_count``). A name in
            quotes is taken as it is (``"Header 1"``, ``"a.b"``), but for ``\\"`` and ``\\\\`` in it.
        operator: ``=``, ``!=``, ``>``, ``>=``, ``<``, ``<=``; the last four compare numbers, or dates.
        value: What to compare with; a date is a string (``index.dates``).

    Raises:
        UsageError: The field is no name, the last four compare with what is neither a number nor a date, or a
            text is not valid Unicode.
    """

    field: str
    operator: Operator
    value: Value

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        for text in (self.field, self.value):
            if isinstance(text, str) and any("\ud800" <= character <= "\udfff" for character in text):
                raise UsageError(f"{text!r} is not valid Unicode", remedy="type it in UTF-8")
        if not re.fullmatch(_FIELD, self.field, re.DOTALL):
            raise UsageError(f"{self.field!r} is no name of a field", remedy=_IN_QUOTES)
        _check_sizes(self.operator, self.value, f"{self.field}{self.operator}{self.value}")

    @property
    def path(self) -> list[str]:
        """The names on the way to the field, outermost first."""
        return list(_path(self.field))


def parse_condition(text: str) -> Condition:
    """Read ``field operator value``; true, false and numbers are taken as such, quotes make a string.

    Raises:
        UsageError: It is no condition, or compares sizes of what is neither a number nor a date.
    """
    match = _PATTERN.match(text)
    if match is None or not match[3] or match[3][0] == "=":  # == is no operator; quotes protect a value
        raise UsageError(
            f"{text!r} is not a condition",
            remedy=f"write FIELD=VALUE, e.g. --filter subdirectory=docs; {_IN_QUOTES}: "
            "--filter '\"Header 1\"=Intro'",
        )
    operator: Operator = match[2]  # type: ignore[assignment]  # the pattern allows no other
    value = _value(match[3])
    if operator in ("=", "!=") and isinstance(value, int) and not -(2**63) <= value < 2**63:
        value = match[3]  # what metadata holds of such integers (corpus.normal)
    _check_sizes(operator, value, text)
    return Condition(match[1], operator, value)


def _check_sizes(operator: Operator, value: Value, text: str) -> None:
    measurable = is_number(value) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
    if operator in SIZES and not measurable and microseconds(value) is None:
        raise UsageError(
            f"{text!r} compares sizes, but {str(value)!r} is not a number or a date",
            remedy="use = or !=; dates are written 2024-01-31 or 2024-01-31T12:00:00Z",
        )


def matches(payload: Mapping[str, Any], condition: Condition) -> bool:
    """Whether a payload meets a condition.

    One of several values in a list is enough. ``!=`` is met wherever ``=`` is not, also without the field.
    Integers compare exactly, floats to 14 digits, dates as moments, to the microsecond.
    """
    values = _values_at(payload, condition.path)
    if condition.operator in SIZES:
        return any(_is_of_size(value, condition.operator, condition.value) for value in values)
    equal = any(_equal(value, condition.value) for value in values)
    return equal if condition.operator == "=" else not equal


def same_number(one: float, other: float) -> bool:
    """Whether two numbers are one: integers exactly, floats to 14 digits (``FLOAT_ERROR``)."""
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    return math.isclose(one, other, rel_tol=FLOAT_ERROR, abs_tol=sys.float_info.min)


def is_number(value: object) -> bool:
    """Whether JSON calls it a number: true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _values_at(payload: Mapping[str, Any], path: list[str]) -> list[Any]:
    value: Any = payload
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return []
        value = value[key]
    return value if isinstance(value, list) else [value]


def _is_of_size(value: Any, operator: Operator, bound: Value) -> bool:
    if isinstance(bound, str):
        moment, than = microseconds(value), microseconds(bound)
        return moment is not None and than is not None and SIZES[operator](moment, than)
    if not is_number(value):
        return False
    return operator in (">=", "<=") if same_number(value, bound) else SIZES[operator](value, bound)


def _equal(value: Any, wanted: Value) -> bool:
    if isinstance(wanted, float):
        return is_number(value) and same_number(value, wanted)
    return type(value) is type(wanted) and bool(value == wanted)  # True is no 1, and 1.0 is no 1


@lru_cache(maxsize=256)  # one condition meets every payload
def _path(field: str) -> tuple[str, ...]:
    names = re.findall(_KEY, field)
    return tuple(_ESCAPED.sub(r"\1", name[1:-1]) if name.startswith('"') else name for name in names)


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
