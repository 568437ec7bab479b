"""Tables that are split by columns where the terminal is too narrow for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table

_TIGHT, _EASY = 14, 24
"""Fewest characters of a longer text per line: if that avoids a second table, and otherwise."""
_EDGES, _BETWEEN = 2, 2
"""Characters at the sides of a table, and between two columns."""


class FoldingTable(Table):
    """A table without side lines. Columns that do not fit go into further tables, after the first column."""

    def __init__(self) -> None:
        super().__init__(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render one table, or several below each other."""
        width = options.max_width - _EDGES
        groups = list(fold(self._needed(console, _TIGHT), width))
        if len(groups) > 1:
            groups = list(fold(self._needed(console, _EASY), width))
        if len(groups) < 2:
            yield from super().__rich_console__(console, options)
            return
        for group in groups:
            yield self._of(group)

    def _needed(self, console: Console, text: int) -> list[int]:
        """Smallest width of each column: whole numbers, whole words, ``text`` characters of a text."""
        unbounded = console.options.update(max_width=10_000)
        found = []
        for column in self.columns:
            head, *cells = [
                Measurement.get(console, unbounded, cell) for cell in (column.header, *column.cells)
            ]
            longest = max((cell.maximum for cell in cells), default=0)
            word = min(_EASY, max((cell.minimum for cell in cells), default=0))
            if column.no_wrap:
                found.append(max(longest, head.maximum))
            else:
                found.append(max(min(longest, text), word, head.minimum))
        return found

    def _of(self, group: Sequence[int]) -> Table:
        """Make a table of some of the columns."""
        part = FoldingTable()
        columns = [self.columns[at] for at in group]
        for column in columns:
            part.add_column(
                column.header, justify=column.justify, overflow=column.overflow, no_wrap=column.no_wrap
            )
        for row, *cells in zip(self.rows, *(column.cells for column in columns), strict=True):
            part.add_row(*cells, style=row.style, end_section=row.end_section)
        return part


def fold(widths: Sequence[int], width: int) -> Iterator[list[int]]:
    """Split columns into groups that fit into ``width``; each group begins with column 0.

    Args:
        widths: Characters that each column needs; two more separate it from the next.
        width: Characters per line.

    Yields:
        Positions of columns.
    """
    group, used = [0], widths[0] if widths else 0
    for at, needed in enumerate(widths[1:], start=1):
        if used + _BETWEEN + needed > width and len(group) > 1:
            yield group
            group, used = [0], widths[0]
        group.append(at)
        used += _BETWEEN + needed
    yield group
