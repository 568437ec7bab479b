"""Pictures as SVG, drawn by matplotlib when the page is made: sharp in print, there without JavaScript.

matplotlib lays out and chooses ticks. What it writes has style attributes, which the page's policy forbids,
colours that cannot follow light and dark, and ids that no two pictures may share. ``Picture.markup`` mends
that: styles become attributes, colours become variables of the page, letters have the page's font, and every
mark has a name that is read aloud and shown on hover and focus. (Vega through vl-convert draws as well, but
brings 84 MB; matplotlib is here already, with ranx.)

Texts of users never go through matplotlib, which has no font for them: an ``x`` stands in their place.
Positions are units of the ``viewBox``, from the upper left corner; a letter is 12 units high.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from itertools import groupby
from typing import TYPE_CHECKING, ParamSpec
from urllib.parse import quote
from xml.etree import ElementTree as Xml

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.artist import Artist

P = ParamSpec("P")

WIDTH = 400
"""Units across; on a wide screen a unit is a little more than a pixel, on a phone a little less."""

INKS = (
    *("text", "quiet", "line", "ground", "band", "good", "bad", "same", "open"),
    *(f"s{at}" for at in range(6)),
    *(f"t{at}" for at in range(8)),
)
"""Variables of ``page.css``: letters, lines, verdicts, six systems, eight parts of a whole."""

_STYLE = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 12, "path.simplify": False}
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_KEPT = (
    "fill",
    "fill-opacity",
    "stroke",
    "stroke-opacity",
    "stroke-width",
    "stroke-dasharray",
    "opacity",
    "text-anchor",
)


def ink(name: str) -> str:
    """The colour that stands for a variable of the page, until ``markup`` puts the variable there."""
    return f"#{INKS.index(name) + 1:06x}"


def styled(draw: Callable[P, Markup]) -> Callable[P, Markup]:
    """Draw with matplotlib's own defaults and ours, whatever the user's are."""

    @wraps(draw)
    def drawn(*args: P.args, **named: P.kwargs) -> Markup:
        from matplotlib import style

        with style.context(["default", _STYLE]):
            return draw(*args, **named)

    return drawn


@dataclass(frozen=True, slots=True)
class _Said:
    words: str
    query: str | None


class Picture:
    """A figure with one pair of axes; to be used within ``styled``.

    Attributes:
        axes: matplotlib's.
        height: Units.
        width: Units.
    """

    def __init__(
        self,
        height: float,
        *,
        width: float = WIDTH,
        left: float = 40,
        right: float = 28,
        top: float = 24,
        bottom: float = 40,
    ) -> None:
        from matplotlib.figure import Figure

        self.height, self.width = height, width
        self._said: list[_Said] = []
        self._words: list[str] = []
        self._figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        inner = (width - left - right) / width, (height - top - bottom) / height
        self.axes = self._figure.add_axes((left / width, bottom / height, *inner))
        self._figure.patch.set_visible(False)
        self.axes.patch.set_visible(False)
        self.axes.spines[:].set_visible(False)
        self.axes.tick_params(length=0, pad=6, labelcolor=ink("quiet"))
        self.axes.tick_params(axis="x", pad=10)

    def words(
        self,
        x: float,
        y: float,
        words: str,
        colour: str = "quiet",
        *,
        anchor: str = "left",
    ) -> None:
        """Words at a place; cut where they would be wider than the picture."""
        text = self._figure.text(
            x / self.width, 1 - y / self.height, "x", ha=anchor, va="baseline", color=ink(colour)
        )
        text.set_gid(f"words {len(self._words)}")
        self._words.append(_fitting(words, self.width))

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the axes is, in units."""
        at, up = self.axes.transData.transform((x, y))
        return float(at), self.height - float(up)

    def say(self, words: str, *artists: Artist, query: str | None = None) -> None:
        """Make artists one mark with a name; with a query, also a link to it."""
        for artist in artists:
            artist.set_gid(f"mark {len(self._said)}")
            artist.set_zorder(4)
        self._said.append(_Said(words, query))

    def markup(self, label: str) -> Markup:
        """The element; ``label`` is read aloud, and empty where words stand beside it."""
        file = io.BytesIO()
        self._figure.savefig(file, format="svg")
        root = Xml.fromstring(file.getvalue())
        shapes = {
            f"#{shape.get('id')}": shape.get("d", "") for shape in root.iter(f"{_SVG}path") if shape.get("id")
        }
        drawn = groupby(_leaves(root), key=lambda found: found[0])
        inner = "".join(self._part(owner, [leaf for _, leaf in leaves], shapes) for owner, leaves in drawn)
        named = f'role="group" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
        return Markup(
            f'<svg class="drawing" viewBox="0 0 {self.width:g} {self.height:g}" {named}>{inner}</svg>'
        )

    def _part(self, owner: str, leaves: list[Xml.Element], shapes: dict[str, str]) -> str:
        kind, _, at = owner.partition(" ")
        words = self._words[int(at)] if kind == "words" else None
        inner = "".join(_element(leaf, shapes, words) for leaf in leaves)
        if kind != "mark":
            return f'<g aria-hidden="true">{inner}</g>'
        said = self._said[int(at)]
        inner = f"<title>{escape(_plain(said.words))}</title>{inner}"
        focus = f'class="mark" tabindex="{-1 if int(at) else 0}"'
        if said.query is None:
            return f'<g {focus} role="img">{inner}</g>'
        return f'<a {focus} href="#q={quote(said.query, safe="")}">{inner}</a>'


def _leaves(element: Xml.Element, owner: str = "") -> Iterator[tuple[str, Xml.Element]]:
    """Paths, uses and texts, each with the mark or the words that it belongs to."""
    name = element.get("id", "")
    if name.startswith(("mark ", "words ")):
        owner = name
    for child in element:
        tag = child.tag.removeprefix(_SVG)
        if tag in ("path", "use", "text"):
            yield owner, child
        elif tag != "defs":
            yield from _leaves(child, owner)


def _element(leaf: Xml.Element, shapes: dict[str, str], words: str | None) -> str:
    """One element with attributes alone: no style, no id, no font."""
    styles = dict(part.split(": ", 1) for part in leaf.get("style", "").split("; ") if part)
    found = {key: _variable(styles[key]) for key in _KEPT if styles.get(key, "start") != "start"}
    more = "".join(f' {key}="{value}"' for key, value in found.items())
    x, y = _short(leaf.get("x", "0")), _short(leaf.get("y", "0"))
    if leaf.tag == f"{_SVG}text":
        return f'<text x="{x}" y="{y}"{more}>{escape(leaf.text if words is None else words)}</text>'
    if leaf.tag == f"{_SVG}use":
        return f'<path d="{_short(shapes[leaf.get(_LINK, "")])}" transform="translate({x} {y})"{more}/>'
    return f'<path d="{_short(leaf.get("d", ""))}"{more}/>'


def _variable(value: str) -> str:
    return f"var(--{INKS[int(value[1:], 16) - 1]})" if value.startswith("#") else _short(value)


def _short(text: str) -> str:
    """Numbers with one digit, and no space that is not needed."""
    rounded = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.1f}".replace(".0", ""), text)
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", rounded).strip()


def _plain(words: str) -> str:
    """On one line, without control characters; joiners stay, which make one letter of several."""
    shown = (letter if letter.isprintable() or letter in "\u200c\u200d" else " " for letter in words)
    return " ".join("".join(shown).split())


def _fitting(words: str, room: float) -> str:
    """No wider than ``room`` in any usual font; what is left out becomes an ellipsis."""
    plain = _plain(words)
    widths = [13.0 if unicodedata.east_asian_width(letter) in "WF" else 7.4 for letter in plain]
    if sum(widths) <= room:
        return plain
    kept, used = 0, 10.0
    while used + widths[kept] <= room:
        used += widths[kept]
        kept += 1
    return f"{plain[:kept].rstrip()}…"
