"""What a picture is made of: axes, points, rows, entries of a legend."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

_MOST_TICKS = 8
SHAPES = "oD^svPX"
"""Seven shapes and six colours: forty-two systems before a pair repeats; colour is never the only sign."""
DASHES = ("-", (0, (6, 3)), (0, (2, 2)), (0, (8, 2, 2, 2)), (0, (1, 2)), (0, (10, 4)))


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction.

    Attributes:
        title: What it measures, with its unit.
        low: Least value that must be on it.
        high: Largest.
        kind: How ticks are chosen and written: whole numbers, numbers, shares of 1, or 1-2-5 per decade.
    """

    title: str
    low: float
    high: float
    kind: Literal["whole", "number", "signed", "share", "log"] = "number"

    def ticks(self) -> list[float]:
        """Round values over the whole axis, few enough for their labels."""
        if self.kind == "log":
            steps = [factor * 10.0**power for power in range(-9, 10) for factor in (1, 2, 5)]
            first = max(bisect_right(steps, self.low * (1 + 1e-9)) - 1, 0)
            last = bisect_left(steps, self.high * (1 - 1e-9))
            return steps[first : max(last, first + 1) + 1]
        from matplotlib.ticker import MaxNLocator

        low, high = self.low, self.high
        if low == high:  # a width of its own around a single value
            more = 1 if self.kind == "whole" else abs(low) / 10 + 0.01
            low, high = low - more * (low != 0), high + more
        locator = MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=self.kind == "whole")
        return [float(tick) for tick in locator.tick_values(low, high)]

    def labels(self) -> list[tuple[float, str]]:
        """Ticks and what stands at them; over several powers of ten, at these only."""
        ticks = self.ticks()
        if self.kind == "log" and len(ticks) > _MOST_TICKS:
            ticks = [tick for tick in ticks if f"{tick:e}".startswith("1.0")]
        return [(tick, self.label(tick)) for tick in ticks]

    def room(self) -> float:
        """Units that the widest label takes beside the axis."""
        return 10 + 7.8 * max(len(words) for _, words in self.labels())

    def label(self, value: float) -> str:
        """``0.05``, ``+0.1``, ``20 %``, ``1,000``: no more digits than are needed."""
        shown = round(100 * value, 9) if self.kind == "share" else round(value, 12)
        text = f"{shown:,.10g}".replace("-", "−")
        plus = "+" if self.kind == "signed" and value > 0 else ""
        return f"{plus}{text}{' %' if self.kind == 'share' else ''}"


@dataclass(frozen=True, slots=True)
class Point:
    """One point.

    Attributes:
        x: Across.
        y: Up.
        said: Its numbers in words.
        low: Lower end of its interval; None where it has none.
        high: Upper end.
        label: Beside it, where there is room.
        ring: It is the one to take.
    """

    x: float
    y: float
    said: str
    low: float | None = None
    high: float | None = None
    label: str = ""
    ring: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one system.

    Attributes:
        name: The system's name for readers.
        at: Number of its colour and shape.
        points: From left to right.
    """

    name: str
    at: int
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a picture of rows.

    Attributes:
        name: Above it.
        points: Values across and their intervals, one below the other; ``y`` is not used.
        looks: Colour and shape of each point.
        words: A second line below the name.
    """

    name: str
    points: Sequence[Point]
    looks: Sequence[tuple[str, str]]
    words: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend."""

    picture: Markup
    label: str


def look(at: int) -> tuple[str, str]:
    """Colour and shape of the system with this number."""
    return f"s{at % 6}", SHAPES[at % 7]
