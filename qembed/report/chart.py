"""One chart of a page: its picture, the same in words, and the table behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from qembed.report.drawing.data import Key
from qembed.report.drawing.plots import key
from qembed.report.stored import StoredBench
from qembed.report.tables import Table


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    Attributes:
        name: What it is called in code; no two of a page are the same.
        title: What it shows.
        summary: The same in words, for those who do not see it.
        picture: SVG.
        keys: Legend; empty where there is nothing to tell apart.
        table: The numbers behind it; None where another chart's table has them.
        right: Number of the system that the explorer shows on the right when a query is opened here.
    """

    name: str
    title: str
    summary: str
    picture: Markup
    keys: Sequence[Key] = ()
    table: Table | None = None
    right: int | None = None


def system_keys(bench: StoredBench, names: Iterable[str]) -> list[Key]:
    """Legend of systems, the same in every chart."""
    return [Key(key(bench.names.index(name)), bench.labels[name]) for name in names]
