"""Dates and times in payloads: which strings are some, and which moment they mean. Pure.

    2024-01-31
    2024-01-31T12:00      2024-01-31T12:00:00      2024-01-31T12:00:00.123456
    2024-01-31T12:00:00Z  2024-01-31T12:00:00+01   2024-01-31T12:00:00.5+0100  2024-01-31T12:00:00+01:00

A blank may stand for the T. Without an offset it is UTC, and without a time the beginning of the day. This is
what Qdrant's engine and its client both read alike, and what Python, pandas and Arrow write.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_HOURS, _MINUTES = r"(?:[01]\d|2[0-3])", r"[0-5]\d"
_MOMENT = re.compile(
    rf"(?P<day>\d{{4}}-\d\d-\d\d)([T ](?P<time>{_HOURS}:{_MINUTES})((?P<seconds>:{_MINUTES})"
    rf"(\.(?P<fraction>\d{{1,9}}))?([Zz]|(?P<sign>[+-])(?P<hours>{_HOURS})(:?(?P<minutes>{_MINUTES}))?)?)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(value: object) -> int | None:
    """The moment that a string means, in microseconds since 1970 in UTC; smaller fractions are cut off.

    None for whatever else it is, dates that no calendar has included.
    """
    return _moment(value) if isinstance(value, str) else None


@lru_cache(maxsize=4096)  # days come again and again
def _moment(text: str) -> int | None:
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    try:
        local = datetime.fromisoformat(
            f"{found['day']} {found['time'] or '00:00'}{found['seconds'] or ':00'}"
        )
    except ValueError:  # no such day
        return None
    offset = timedelta(hours=int(found["hours"] or 0), minutes=int(found["minutes"] or 0)) // _MICROSECOND
    fraction = int((found["fraction"] or "").ljust(6, "0")[:6])
    return (local - _EPOCH) // _MICROSECOND + fraction - (-offset if found["sign"] == "-" else offset)


def datetime_at(moment: int) -> datetime | None:
    """The moment in UTC; None where Python's years, 1 to 9999, do not reach."""
    try:
        return _EPOCH.replace(tzinfo=UTC) + moment * _MICROSECOND
    except OverflowError:
        return None
