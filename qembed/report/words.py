"""Numbers as a reader sees them: fixed decimals, real minus signs, units that fit. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

NONE = "–"
"""Where there is no number."""

MINUS = "−"


TONES = {"better": "good", "worse": "bad", "equivalent": "same", "cannot tell": "open"}
"""Verdict -> class of its colour."""

MARKS = {"better": "▲", "worse": "▼", "equivalent": "=", "cannot tell": "?"}
"""Verdict -> its sign, for those who do not see the colour."""


def known(value: float | None) -> bool:
    """A number, not None and not NaN."""
    return value is not None and not math.isnan(value)


def number(value: float | None, digits: int = 3) -> str:
    """Fixed decimals; never a negative zero."""
    if value is None or math.isnan(value):
        return NONE
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """As ``number``, with a plus sign where it is above 0."""
    text = number(value, digits)
    return (
        f"+{text}" if value is not None and text[0].isdigit() and float(text.replace(",", "")) > 0 else text
    )


def interval(low: float | None, high: float | None, *, sign: bool = False) -> str:
    """``0.325 to 0.436``; a dash where there is none."""
    if not known(low) or not known(high):
        return NONE
    show = signed if sign else number
    return f"{show(low)} to {show(high)}"


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return NONE if value is None or math.isnan(value) else f"{value:,.0f}".replace("-", MINUS)


def milliseconds(value: float | None) -> str:
    """One decimal below 100, whole from there on."""
    if value is None or math.isnan(value):
        return NONE
    return number(value, 1 if abs(value) < 100 else 0)


def percent(part: float | None, digits: int = 1) -> str:
    """A share of 1 as a percentage, with its sign; what is less than all is never rounded up to 100 %."""
    if part is None or math.isnan(part):
        return NONE
    most = 100 - 10**-digits if part < 1 else 100
    return f"{number(min(100 * part, most), digits)} %"


def p_value(p: float | None) -> str:
    """``< 0.001`` or three decimals."""
    if p is None or math.isnan(p):
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours, as people say them."""
    if seconds is None or math.isnan(seconds):
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def file_size(size_bytes: float | None) -> str:
    """Bytes in decimal units."""
    if size_bytes is None:
        return NONE
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} GB"


def plural(amount: int, one: str, many: str | None = None) -> str:
    """``1 query``, ``2 queries``."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def no_formula(value: Any) -> Any:
    """A cell of CSV that no spreadsheet runs: a text that begins like a formula gets an apostrophe first."""
    return f"'{value}" if isinstance(value, str) and value.startswith(tuple("=+-@\t\r")) else value
