"""Conditions in Qdrant's own words, and what of them is decided here because engines do it otherwise.

``filters.matches`` says what a condition means. Engines compare sizes as floats, which do not tell integers
beyond 2^53 apart; they keep the last digit of a float only roughly, read more strings as dates, and take no
name with quotes or backslashes in it. So an engine gets a filter that lets through *at least* what meets the
conditions, and the rest is decided on the payloads that it returns.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from qembed.index.dates import datetime_at, microseconds
from qembed.index.filters import FLOAT_ERROR, SIZES, Condition, matches
from qembed.index.protocol import Hit

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_LONG = re.compile(r"-?[1-9][0-9]{18,299}")


@dataclass(frozen=True, slots=True)
class Engine:
    """How an engine calls things.

    Attributes:
        words: The module with ``Filter``, ``FieldCondition`` and ``MatchValue``.
        numbers: Its range of numbers, called with ``gte``, ``lte`` or both.
        moments: Its range of dates, likewise, with ``datetime``; None where it does not read all of
            ``index.dates``.
        booleans: Whether it matches true and false.
    """

    words: Any
    numbers: Callable[..., Any]
    moments: Callable[..., Any] | None
    booleans: bool = True


def client_engine(*, server: bool = True) -> Engine:
    """Words of qdrant-client, for servers or for its in-memory mode, which before 1.20 reads fewer dates."""
    from qdrant_client import models

    return Engine(models, models.Range, models.DatetimeRange if server else None)


def for_engine(conditions: Sequence[Condition], engine: Engine) -> tuple[Any, Callable[[Hit], bool] | None]:
    """A filter for the engine, and the test of its hits that decides the rest.

    Args:
        conditions: All must be met.
        engine: Whose filter.

    Returns:
        The filter (None: all points), through which comes at least what meets the conditions; and the test,
        None where the filter is exact.
    """
    must, must_not, here = [], [], []
    for condition in conditions:
        field = _field(condition, engine)
        exact = field is not None and _is_exact(condition)
        if not exact:
            here.append(condition)
        if field is not None and condition.operator != "!=":
            must.append(field)
        elif exact:
            must_not.append(field)
    meant = engine.words.Filter(must=must, must_not=must_not) if must or must_not else None
    return meant, partial(_all_met, here) if here else None


def _all_met(conditions: Sequence[Condition], hit: Hit) -> bool:
    return all(matches(hit.payload, condition) for condition in conditions)


def _is_exact(condition: Condition) -> bool:
    """Words alone: with an index for integers an engine's 1 is 1.0 too, and in older clients it is true."""
    word = isinstance(condition.value, str) and condition.operator not in SIZES
    return word and not _is_long_integer(condition)


def _has_range(condition: Condition) -> bool:
    """Qdrant matches integers, words and booleans; an equal float is a range around it, as sizes are."""
    return condition.operator in SIZES or isinstance(condition.value, float)


def _is_long_integer(condition: Condition) -> bool:
    """A word to us (``corpus.normal``), but points of other tools hold such integers as numbers."""
    value = condition.value
    return isinstance(value, str) and condition.operator not in SIZES and bool(_LONG.fullmatch(value))


def _field(condition: Condition, engine: Engine) -> Any:
    """The condition, wider where it is a range; None where the engine has nothing like it."""
    key, value = engine_key(condition.path), condition.value
    if key is None or (isinstance(value, bool) and not engine.booleans):
        return None
    if _is_long_integer(condition):
        as_number = engine.words.FieldCondition(key=key, range=engine.numbers(**_around(float(value))))
        as_word = engine.words.FieldCondition(key=key, match=engine.words.MatchValue(value=value))
        return engine.words.Filter(should=[as_word, as_number])
    if _has_range(condition):
        bounds = _moments(condition) if isinstance(value, str) else _numbers(condition)
        make = engine.moments if isinstance(value, str) else engine.numbers
        return engine.words.FieldCondition(key=key, range=make(**bounds)) if bounds and make else None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return None
    return engine.words.FieldCondition(key=key, match=engine.words.MatchValue(value=value))


def _numbers(condition: Condition) -> dict[str, float]:
    bounds = _around(float(condition.value))
    if condition.operator in SIZES:
        del bounds["lte" if condition.operator[0] == ">" else "gte"]
    return bounds if all(map(math.isfinite, bounds.values())) else {}


def _around(bound: float) -> dict[str, float]:
    margin = max(4 * FLOAT_ERROR * abs(bound), sys.float_info.min)
    return {"gte": bound - margin, "lte": bound + margin}


def _moments(condition: Condition) -> dict[str, datetime]:
    moment = microseconds(condition.value)
    assert moment is not None  # a condition would not have been made of it
    name, bound = ("gte", moment) if condition.operator[0] == ">" else ("lte", moment + 1)
    at = datetime_at(bound)
    return {} if at is None else {name: at}


def engine_key(path: list[str]) -> str | None:
    """The names as a path of Qdrant, in quotes where they need them; None where it cannot have one."""
    if any('"' in name or "\\" in name for name in path):
        return None
    return ".".join(name if _PLAIN.fullmatch(name) else f'"{name}"' for name in path)
