"""JSON read exactly: integers of any length, numbers that no float holds, keys that stand twice. Pure.

orjson is fast, but it reads integers beyond 64 bits as floats and keeps the last of two values of one key.
These functions notice both and read such documents again, more slowly.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

_MAX_DIGITS = 4000
"""Python refuses to read longer integers."""
_LONG_INTEGER = re.compile(rb"(?<![\d.eE])\d{19,}(?![\d.eE])")


class Digits(str):
    """A number that Python cannot hold, as it was written."""

    __slots__ = ()


def exact_integer(digits: str) -> int | Digits:
    """An integer of any length; as it was written where Python would refuse to read it."""
    return int(digits) if len(digits) <= _MAX_DIGITS else Digits(digits)


def exact_float(digits: str) -> float | Digits:
    """A float; as it was written where it would become infinite."""
    value = float(digits)
    return value if math.isfinite(value) else Digits(digits)


def loads(text: str) -> Any:
    """``json.loads``, exactly; takes lone surrogates, and NaN and Infinity, as writers of JSON do.

    Raises:
        json.JSONDecodeError: The text is no JSON document.
        RecursionError: It is nested too deeply.
    """
    return json.loads(text, parse_int=exact_integer, parse_float=exact_float)


def load_bytes(data: bytes) -> Any:
    """A document in UTF-8, exactly; by orjson where that makes no difference.

    Raises:
        orjson.JSONDecodeError: It is none, or only ``loads`` can read it.
    """
    return loads(data.decode()) if has_long_integer(data) else orjson.loads(data)


def has_long_integer(data: bytes) -> bool:
    """Whether an integer that may not fit 64 bits is in a document."""
    return _LONG_INTEGER.search(data) is not None


def repeated_keys(data: bytes, value: Any) -> list[str]:
    """Keys that stand twice in one object of a document; every reader keeps only the last.

    Args:
        data: The document.
        value: What a reader has made of it.
    """
    if data.count(b'":') == _keys_in(value):  # nearly always: one end of a key per key
        return []
    found: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            seen: set[str] = set()
            found.extend(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return made

    json.loads(data.decode(), object_pairs_hook=pairs)
    return found


def _keys_in(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_keys_in, value.values()))
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        return sum(map(_keys_in, value))
    return 0
