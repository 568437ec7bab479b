"""Measured quality as columns and as a table of verdicts, which commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from qembed.report.words import number, p_value, signed
from qembed.terminal.output import Column, Item, quantity, table

if TYPE_CHECKING:
    from rich.table import Table

    from qembed.evaluation.statistics.compare import Comparison, Estimate
    from qembed.evaluation.statistics.pool import Pool

VERDICT_STYLES = {"better": "green", "worse": "red", "equivalent": "cyan", "cannot tell": "yellow"}


def estimate_columns(
    measure: str, estimate: Callable[[Item], Estimate], *, detail: bool = False
) -> list[Column[Item]]:
    """A measure's mean with its interval; the latter only in CSV if ``detail``."""
    return [
        Column(measure, lambda item: estimate(item).mean, number),
        Column(f"{measure}_low", lambda item: estimate(item).low, number, detail),
        Column(f"{measure}_high", lambda item: estimate(item).high, number, detail),
    ]


def comparison_columns(
    measure: str, comparison: Callable[[Item], Comparison | None], *, detail: bool = False
) -> list[Column[Item]]:
    """How an item differs from the first row, if it is not that row; only in CSV if ``detail``."""

    def column(
        name: str,
        attribute: str,
        shown: Callable[..., str] | None,
        detail: bool = detail,
        at: int | None = None,
    ) -> Column[Item]:
        def value(item: Item) -> object:
            found = comparison(item)
            part = None if found is None else getattr(found, attribute)
            return part if part is None or at is None else part[at]

        return Column(f"{measure}_{name}", value, shown, detail)

    return [
        column("difference", "difference", signed),
        column("difference_low", "low", signed),
        column("difference_high", "high", signed),
        column("p", "p_adjusted", p_value),
        column("wins", "wins", quantity, True),
        column("ties", "ties", quantity, True),
        column("losses", "losses", quantity, True),
        column("verdict", "verdict", None),
        column("few_queries", "small", None, True),
        column("queries_needed_from", "queries_needed", quantity, at=0),
        column("queries_needed_to", "queries_needed", quantity, at=1),
    ]


def verdict_table(head: str, rows: Iterable[tuple[str, Comparison, Pool | None]]) -> Table:
    """Difference, interval, p and verdict of each row; ``head`` is the heading of the names."""
    from rich.text import Text

    from qembed.evaluation.statistics.pool import doubt
    from qembed.evaluation.statistics.verdict import brief

    made = table(head, ">differs", ">95 % interval", ">p", ">won/tied/lost", "verdict")
    for name, found, pool in rows:
        made.add_row(
            Text(name),
            f"{found.difference:+.3f}",
            "-" if found.low != found.low else f"{found.low:+.3f} {found.high:+.3f}",
            p_value(found.p_adjusted),
            f"{found.wins}/{found.ties}/{found.losses}",
            Text(brief(found, doubt(pool)), style=VERDICT_STYLES[found.verdict]),
        )
    return made
