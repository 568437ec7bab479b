"""Conditions in Qdrant's own words; the client and the embedded engine have them under like names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from qembed.index.filters import Condition

_BOUNDS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def qdrant_filter(conditions: Sequence[Condition], words: Any, range_type: Any) -> Any:
    """A filter that all conditions must meet; None without any.

    Args:
        conditions: What to ask.
        words: The module with ``Filter``, ``FieldCondition`` and ``MatchValue``.
        range_type: Its range of numbers, e.g. ``models.Range``.
    """
    if not conditions:
        return None

    def field(condition: Condition) -> Any:
        value, key = condition.value, ".".join(map(_quoted, condition.path))
        if condition.operator in _BOUNDS:
            bounds = range_type(**{_BOUNDS[condition.operator]: float(value)})
            return words.FieldCondition(key=key, range=bounds)
        if isinstance(value, float):
            # Qdrant matches integers, words and booleans; an equal float is an empty range around it.
            return words.FieldCondition(key=key, range=range_type(gte=value, lte=value))
        return words.FieldCondition(key=key, match=words.MatchValue(value=value))

    must = [field(condition) for condition in conditions if condition.operator != "!="]
    must_not = [field(condition) for condition in conditions if condition.operator == "!="]
    return words.Filter(must=must, must_not=must_not)


def _quoted(name: str) -> str:
    """A name in a path of Qdrant: in quotes where it has other characters than its own paths take."""
    return name if _PLAIN.fullmatch(name) else f'"{name}"'
