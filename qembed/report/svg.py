"""Drawings as SVG: sharp in print, there without JavaScript, coloured by the page's style in light and dark.

Across, positions are percent of the width, so that letters have one size on a phone and on a wide screen;
down, they are pixels. Nothing has a style attribute, which the page's policy would forbid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log10
from typing import Self

from markupsafe import Markup, escape

SHAPES = (
    "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z",
    "M0 -6L6 0L0 6L-6 0Z",
    "M0 -6L6 5L-6 5Z",
    "M-5 -5H5V5H-5Z",
    "M0 6L6 -5L-6 -5Z",
    "M-5 -2H-2V-5H2V-2H5V2H2V5H-2V2H-5Z",
)
"""Circle, diamond, triangle, square, triangle downward, cross: colour is never the only sign."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Values -> positions.

    Attributes:
        low: Value at ``start``.
        high: Value at ``end``.
        start: Position.
        end: Position.
        log: Positions are those of the logarithm.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Position of a value, within the scale."""
        low, high, at = (log10(x) if self.log else x for x in (self.low, self.high, value))
        share = min(max((at - low) / (high - low), 0), 1) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float, *, log: bool = False) -> Self:
        """A scale of round ends that holds all values."""
        low, high = min(values), max(values)
        if low == high:  # a width of its own around a single value
            low, high = (
                (low / 2, high * 2) if log else (low - abs(low) / 10 - 0.01, high + abs(high) / 10 + 0.01)
            )
        if log:
            return cls(_log_step(low, up=False), _log_step(high, up=True), start, end, log)
        step = _round_step((high - low) / 4)
        return cls(floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step, start, end)

    def ticks(self) -> list[float]:
        """Round values within the scale, few enough for their labels."""
        if self.log:
            powers = range(floor(log10(self.low) + 1e-9), ceil(log10(self.high) - 1e-9) + 1)
            factors = (1, 2, 5) if self.high / self.low <= 1000 else (1,)
            every = [factor * 10.0**power for power in powers for factor in factors]
            return [tick for tick in every if self.low * 0.999 <= tick <= self.high * 1.001]
        step = _round_step((self.high - self.low) / 4)
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [round(at * step, 12) for at in range(first, last + 1)]


@dataclass(slots=True)
class Drawing:
    """What is drawn so far; ``markup`` gives the element."""

    height: float
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A line; ``kind`` is its class."""
        self.parts.append(f'<line x1="{x1:.2f}%" y1="{y1:.1f}" x2="{x2:.2f}%" y2="{y2:.1f}" class="{kind}"/>')

    def bar(self, x1: float, y: float, x2: float, height: float, kind: str, title: str = "") -> None:
        """A rectangle from ``x1`` to ``x2``."""
        inner = f"<title>{escape(title)}</title>" if title else ""
        self.parts.append(
            f'<rect x="{min(x1, x2):.2f}%" y="{y:.1f}" width="{abs(x2 - x1):.2f}%" height="{height:.1f}" '
            f'class="{kind}">{inner}</rect>'
        )

    def mark(self, x: float, y: float, kind: str, shape: int = 0, title: str = "") -> None:
        """A point."""
        inner = f"<title>{escape(title)}</title>" if title else ""
        path = f'<path d="{SHAPES[shape % len(SHAPES)]}" class="{kind}">{inner}</path>'
        self.parts.append(f'<svg x="{x:.2f}%" y="{y:.1f}" overflow="visible">{path}</svg>')

    def text(
        self, x: float, y: float, words: str, kind: str = "", *, dx: float = 0, anchor: str = ""
    ) -> None:
        """Words; ``anchor`` is start (when empty), middle or end."""
        more = (f' dx="{dx:g}"' if dx else "") + (f' text-anchor="{anchor}"' if anchor else "")
        self.parts.append(f'<text x="{x:.2f}%" y="{y:.1f}" class="{kind}"{more}>{escape(words)}</text>')

    def markup(self, label: str) -> Markup:
        """The element; ``label`` is read aloud, and empty where words stand beside it."""
        named = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
        size = f'width="100%" height="{self.height:.0f}"'
        return Markup(f'<svg class="drawing" {size} {named}>{"".join(self.parts)}</svg>')


def tick_label(value: float) -> str:
    """``0.05``, ``20``, ``1,000``: no more digits than are needed."""
    return f"{value:,.10g}".replace("-", "−")


def _round_step(rough: float) -> float:
    power = 10.0 ** floor(log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)


def _log_step(value: float, *, up: bool) -> float:
    """1, 2 or 5 times a power of ten, at ``value`` or next to it."""
    power = 10.0 ** floor(log10(value))
    steps = [power * factor for factor in (1, 2, 5, 10)]
    near = [step for step in steps if (step >= value * 0.9999 if up else step <= value * 1.0001)]
    return min(near) if up else max(near)
