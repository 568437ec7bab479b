"""One chart as data: what ``templates/charts.js`` draws, the same in words, and the table behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qembed.report.tables import Table


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    Attributes:
        name: Its id in the page.
        kind: Which function of ``charts.js`` draws it.
        title: What it shows.
        summary: The same in words, for those who do not see it.
        data: For that function.
        table: The numbers behind it; None where another chart's table has them.
        wide: Takes the whole width.
    """

    name: str
    kind: str
    title: str
    summary: str
    data: dict[str, Any]
    table: Table | None = None
    wide: bool = False
