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

_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"([T ](?P<time>\d\d:\d\d)((?P<seconds>:\d\d)(\.(?P<fraction>\d{1,9}))?"
    r"(?P<offset>[Zz]|(?P<sign>[+-])(?P<hours>\d\d)(:?(?P<minutes>\d\d))?)?)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(value: object) -> int | None:
    """The moment that a string means, in microseconds since 1970 in UTC; smaller fractions are cut off.

    None for whatever else it is, dates that no calendar has included.
    """
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        written = f"{found['day']} {found['time'] or '00:00'}{found['seconds'] or ':00'}"
        local = datetime.strptime(written, "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None
    hours, minutes = int(found["hours"] or 0), int(found["minutes"] or 0)
    if hours > 23 or minutes > 59 or (found["seconds"] or "") > ":59":
        return None
    offset = timedelta(hours=hours, minutes=minutes) // _MICROSECOND
    fraction = int((found["fraction"] or "").ljust(6, "0")[:6])
    return (local - _EPOCH) // _MICROSECOND + fraction - (-offset if found["sign"] == "-" else offset)


def datetime_at(moment: int) -> datetime | None:
    """The moment in UTC; None where Python's years, 1 to 9999, do not reach."""
    try:
        return _EPOCH.replace(tzinfo=UTC) + moment * _MICROSECOND
    except OverflowError:
        return None
