"""What stands in a picture of a report: its marks with their words and place, and its texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree


@dataclass(frozen=True)
class Mark:
    """One mark.

    Attributes:
        words: Its name.
        href: Where it leads; empty for nowhere.
        boxes: Left, top, right, bottom of each of its paths.
        inks: Variable of the colour of each.
    """

    words: str
    href: str
    boxes: list[tuple[float, float, float, float]]
    inks: list[str | None]

    @property
    def middle(self) -> tuple[float, float]:
        """Of the last path, which is the point itself."""
        left, top, right, bottom = self.boxes[-1]
        return (left + right) / 2, (top + bottom) / 2


def marks(picture: str) -> list[Mark]:
    """Every mark of a picture, in its order."""
    found = []
    for element in ElementTree.fromstring(picture).iter():
        if element.get("class") == "mark":
            paths = list(element.iter("path"))
            found.append(
                Mark(
                    element.findtext("title", ""),
                    element.get("href", ""),
                    [_box(path) for path in paths],
                    [_ink(path) for path in paths],
                )
            )
    return found


def texts(picture: str) -> list[str]:
    """Every text of a picture."""
    return [element.text or "" for element in ElementTree.fromstring(picture).iter("text")]


def _box(path: ElementTree.Element) -> tuple[float, float, float, float]:
    numbers = [float(value) for value in re.findall(r"-?\d+\.?\d*", path.get("d", ""))]
    dx, dy = (float(value) for value in re.findall(r"-?\d+\.?\d*", path.get("transform", "0 0")))
    across, down = [x + dx for x in numbers[0::2]], [y + dy for y in numbers[1::2]]
    return min(across), min(down), max(across), max(down)


def _ink(path: ElementTree.Element) -> str | None:
    return next(ink for ink in (path.get("fill"), path.get("stroke")) if ink != "none")
