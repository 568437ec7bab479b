"""How the ranking of ``verify`` looks in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qembed.api.verify_ranking import Ranking
    from qembed.evaluation.statistics import Estimate

_STYLES = {"better": "green", "worse": "bold red", "equivalent": "green", "cannot tell": "yellow"}


def render_ranking(found: Ranking) -> Iterator[RenderableType]:
    """What the drift does to judged queries, part by part."""
    from rich.text import Text

    yield Text("ranking of judged queries", style="bold")
    yield grid(_facts(found), indent=2)
    if found.changed:
        yield Text()
        yield Text(f"queries whose {found.measure} changed most", style="bold")
        heads = ("stored", "reference", "query")
        rows: list[tuple[Any, ...]] = [tuple(Text(head, style="dim") for head in heads)]
        rows += [
            (f"{one.stored:.3f}", f"{one.reference:.3f}", f"{one.query_id}: {one.text}")
            for one in found.changed
        ]
        yield grid(rows, indent=2)


def _facts(found: Ranking) -> list[tuple[Any, ...]]:
    from rich.text import Text

    from qembed.cli.output import quantity

    verdict, _, numbers = found.words.partition(": ")
    rows: list[tuple[Any, ...]] = [
        (
            "eval set",
            f"{found.eval_set}: {quantity(found.answerable)} of {quantity(found.queries)} queries have an "
            f"answer; {found.level}s are judged",
        ),
        (
            "embedded",
            f"{quantity(found.texts)} different texts again, the {found.candidates} nearest of each query; "
            f"queries in {found.query_dtype} and again",
        ),
        (found.measure, f"stored {_estimate(found.stored)}, reference {_estimate(found.reference)}"),
        (
            f"top {found.k}",
            f"the same for {quantity(found.same)} queries, in another order for "
            f"{quantity(found.reordered)}, with other results for {quantity(found.replaced)}",
        ),
        ("beyond", _beyond(found)),
        ("verdict", Text.assemble((verdict, _STYLES[found.comparison.verdict]), f": {numbers}")),
    ]
    if found.synthetic:
        words = "SYNTHETIC: a program made these queries and nobody judged them"
        rows.insert(1, ("", Text(words, style="bold yellow")))
    if found.errors:
        words = f"{quantity(found.errors)} findings cost judgements; qembed evalset check tells"
        rows.insert(1, ("", Text(words, style="yellow")))
    return rows


def _beyond(found: Ranking) -> str:
    from qembed.cli.output import quantity

    drift = f"cosines of queries drifted by {found.largest_drift:.2g} at most"
    if not found.open:
        return f"{drift}; with so little nothing from behind the candidates comes into a top {found.k}"
    return (
        f"{drift}; with as much, a text from behind the candidates could come into the top {found.k} of "
        f"{quantity(found.open)} queries: more --candidates would tell"
    )


def _estimate(one: Estimate) -> str:
    interval = "" if one.low != one.low else f" ({one.low:.3f} to {one.high:.3f})"
    return f"{one.mean:.3f}{interval}"


def grid(rows: list[tuple[Any, ...]], *, indent: int) -> RenderableType:
    """Columns without lines, the last one folded; nothing in them is read as markup."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    for number in range(len(rows[0]) - 1):
        grid.add_column(no_wrap=True, justify="right" if number else "left")
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return Padding(grid, (0, 0, 0, indent), expand=False)
