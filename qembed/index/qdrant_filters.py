"""Conditions in Qdrant's own words; the client and the embedded engine have them under like names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qembed.index.filters import Condition

_BOUNDS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


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
        value = condition.value
        if condition.operator in _BOUNDS:
            bounds = range_type(**{_BOUNDS[condition.operator]: float(value)})
            return words.FieldCondition(key=condition.field, range=bounds)
        if isinstance(value, float):
            # Qdrant matches integers, words and booleans; an equal float is an empty range around it.
            return words.FieldCondition(key=condition.field, range=range_type(gte=value, lte=value))
        return words.FieldCondition(key=condition.field, match=words.MatchValue(value=value))

    must = [field(condition) for condition in conditions if condition.operator != "!="]
    must_not = [field(condition) for condition in conditions if condition.operator == "!="]
    return words.Filter(must=must, must_not=must_not)
