"""The one form that metadata has: plain JSON, the same in every file and every index. Pure.

A value that JSON, or an index, cannot hold as it is becomes a string that says exactly the same: an integer
beyond 64 bits, a decimal, a date, bytes (base64). ``NaN`` and the infinities become null.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from qembed.corpus.exact_json import Digits, exact_integer

LEAST, MOST = -(2**63), 2**63 - 1
"""Integers that every index compares exactly; Qdrant's are 64 bits with a sign."""

_WHOLE = re.compile(r"-?[0-9]+")
_MOST_MILLISECONDS = 62_000_000_000_000
"""Until 3934, and back to year 5: what ``datetime`` can hold."""

BIG_INTEGER = "integers beyond 64 bits are strings"
HUGE = "numbers that no float holds are strings"
NOT_FINITE = "NaN and infinities are null"
DATES = "dates and times are strings (ISO 8601)"
DECIMALS = "decimals are strings"
BYTES = "bytes are strings (base64)"
OTHERS = "values of other types are strings"
KEYS = "keys that are no strings became strings"
MONGO = "values of MongoDB's extended JSON are plain values"


NAMED = frozenset((BIG_INTEGER, HUGE, NOT_FINITE, OTHERS, KEYS))
"""Changes that a reader of chunks names; the others say exactly what they were."""


def normal_form(value: Any, on_change: Callable[[str], None] = lambda _: None) -> Any:
    """A value as JSON holds it: dicts with string keys, lists, strings, booleans, null, int64 and floats.

    Args:
        value: What a JSON, YAML, TOML or Arrow reader returned, of any depth that Python's stack allows.
        on_change: Called with one of this module's sentences wherever the result is of another type.

    Raises:
        RecursionError: The value is nested too deeply.
    """
    if isinstance(value, Digits):
        return _said(str(value), HUGE, on_change)
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            on_change(KEYS)
        plain = {str(key): normal_form(inner, on_change) for key, inner in value.items()}
        if len(plain) == 1 and (meant := _mongo(*plain.items())) is not None:
            on_change(MONGO)
            return normal_form(meant, on_change)
        return plain
    if isinstance(value, list | tuple | set | frozenset):
        return [normal_form(inner, on_change) for inner in value]
    if isinstance(value, int):
        return _said(str(value), BIG_INTEGER, on_change) if not LEAST <= value <= MOST else int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _said(None, NOT_FINITE, on_change)
    return _other(value, on_change)


def _mongo(item: tuple[str, Any]) -> Any:
    """What the only key of an object and its value mean in MongoDB's extended JSON; None where nothing."""
    key, inner = item
    if key in ("$oid", "$uuid", "$numberDecimal", "$date") and isinstance(inner, str):
        return inner
    if key == "$date" and type(inner) is int and abs(inner) < _MOST_MILLISECONDS:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=inner)).isoformat()
    if key in ("$numberLong", "$numberInt") and isinstance(inner, str) and _WHOLE.fullmatch(inner):
        return exact_integer(inner)
    return None


def _other(value: Any, on_change: Callable[[str], None]) -> Any:
    if callable(getattr(value, "tolist", None)):  # NumPy's scalars and arrays
        return normal_form(value.tolist(), on_change)
    if isinstance(value, Decimal):
        return (
            _said(str(value), DECIMALS, on_change)
            if value.is_finite()
            else _said(None, NOT_FINITE, on_change)
        )
    if isinstance(value, date | time | datetime):
        if value != value:  # pandas' NaT
            return _said(None, NOT_FINITE, on_change)
        return _said(value.isoformat(), DATES, on_change)
    if isinstance(value, bytes | bytearray | memoryview):
        return _said(base64.b64encode(value).decode(), BYTES, on_change)
    return _said(str(value), OTHERS, on_change)


def _said(result: Any, change: str, on_change: Callable[[str], None]) -> Any:
    on_change(change)
    return result
