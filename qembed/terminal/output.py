"""Printing of results: tables for people; JSON, CSV or Markdown for programs. Data goes to stdout."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click
import orjson

from qembed.report.words import no_formula
from qembed.terminal.visible import escaped_json, visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from qembed.terminal.options import Form

Item = TypeVar("Item")
MAX_WIDTH = 100
"""Wider lines are hard to read, however wide the terminal is."""
PIPE_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Column(Generic[Item]):
    """A column of the rows that a command prints.

    Attributes:
        name: Heading in CSV, in snake_case with its unit; tables show spaces instead of underscores.
        value: Returns the unrounded value of an item; None and NaN leave the cell empty.
        shown: Formats a number for people; such a column is aligned right. None for text.
        detail: The column is in CSV only.
        narrow: A shorter heading for the terminal.
    """

    name: str
    value: Callable[[Item], Any]
    shown: Callable[[Any], str] | None = None
    detail: bool = False
    narrow: str = ""

    def head(self, *, narrow: bool = False) -> str:
        """The heading as ``table`` takes it; with ``narrow``, one word per line."""
        words = self.narrow or self.name.replace("_", "\n") if narrow else self.name.replace("_", " ")
        return (">" if self.shown else "") + words

    def text(self, item: Item) -> str:
        """The cell of a table."""
        value = self.value(item)
        if _absent(value):
            return "-"
        if isinstance(value, bool):
            return "yes" if value else "no"
        return self.shown(value) if self.shown else str(value)


def print_rows(columns: Sequence[Column[Item]], items: Iterable[Item], form: Form | None = None) -> None:
    """Print one row per item as a table, as CSV (RFC 4180, UTF-8) or as a Markdown table."""
    if form == "csv":
        file = io.StringIO(newline="")
        writer = csv.writer(file)
        writer.writerow(column.name for column in columns)
        writer.writerows([_plain(column.value(item)) for column in columns] for item in items)
        # As bytes: text would get the platform's line ends and encoding.
        click.echo(file.getvalue().encode("utf-8", "backslashreplace"), nl=False)
        return
    columns = [column for column in columns if not column.detail]
    heads = [column.head(narrow=form is None) for column in columns]
    rows = [[column.text(item) for column in columns] for item in items]
    if form == "md":
        from qembed.report.markdown import escaped, table_lines

        say("\n".join(table_lines(heads, [map(escaped, row) for row in rows])))
        return
    from rich.text import Text

    made = table(*heads)
    for row in rows:
        made.add_row(*map(Text, row))
    console().print(made)


def print_values(values: dict[str, Any], form: Form | None = None) -> None:
    """Print named values, one per row; tables show their names with spaces."""

    def named(pair: tuple[str, Any]) -> str:
        return pair[0] if form == "csv" else pair[0].replace("_", " ")

    name: Column[tuple[str, Any]] = Column("name", named)
    value: Column[tuple[str, Any]] = Column("value", lambda pair: pair[1], _significant)
    print_rows([name, value], values.items(), form)


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text, with nothing in it that steers a terminal."""
    click.echo(visible(text), err=err, nl=nl)


def put(data: str) -> None:
    """Print data for another program, e.g. a page of HTML, as it is."""
    click.echo(data, nl=not data.endswith("\n"))


def aside(*lines: str) -> None:
    """Print notes to stderr, so that stdout holds data only."""
    for line in lines:
        say(line, err=True)


def _absent(value: Any) -> bool:
    return value is None or value != value


def _plain(value: Any) -> Any:
    """The cell of CSV."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if _absent(value) else no_formula(value)


def _significant(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return quantity(value) if isinstance(value, int) else str(value)


def print_json(document: Any) -> None:
    """Print one indented JSON document; text in it stays as it is, in JSON's own escapes where need be."""
    try:
        option = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_DATACLASS
        click.echo(escaped_json(orjson.dumps(document, option=option).decode()))
    except orjson.JSONEncodeError:  # names of files that are not UTF-8
        click.echo(json.dumps(document, indent=2, default=_as_json))


def _as_json(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def console(*, stderr: bool = False) -> Console:
    """Make a console: at most 100 columns on a terminal, 80 in a pipe. NO_COLOR and COLUMNS are honoured."""
    from rich.console import Console
    from rich.segment import Segment

    class VisibleConsole(Console):
        """Every text that is drawn passes here."""

        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                text = segment.text if segment.control else visible(segment.text)
                yield segment if text == segment.text else Segment(text, segment.style)

    made = VisibleConsole(stderr=stderr, highlight=False, emoji=False)
    if not made.file.isatty() and "COLUMNS" not in os.environ:
        made.width = PIPE_WIDTH  # rich would take the width of whatever terminal stdin or stderr is
    made.width = min(made.width, MAX_WIDTH)
    return made


def table(*columns: str) -> Table:
    """Make an empty table. A column whose name begins with ``>`` holds numbers and is aligned right.

    A table that is too wide for the terminal is printed as several tables that repeat the first column, so no
    number is ever cut.
    """
    from qembed.terminal.folding import FoldingTable

    made = FoldingTable()
    for column in columns:
        right = column.startswith(">")
        made.add_column(
            column.removeprefix(">"), justify="right" if right else "left", overflow="fold", no_wrap=right
        )
    return made


def grid(rows: Sequence[tuple[Any, ...]], *, indent: int = 2) -> RenderableType:
    """Lay out rows without lines; the last column is folded. Cells are plain text, not markup."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2, 0, 0))
    for number in range(len(rows[0]) - 1 if rows else 0):
        made.add_column(no_wrap=True, justify="right" if number else "left")
    made.add_column(overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return Padding(made, (0, 0, 0, indent), expand=False)


def quantity(number: float) -> str:
    """Format a number with thousands separators."""
    return f"{number:,.0f}"


def share(part: float, whole: float) -> str:
    """Format a part of a whole in percent."""
    return f"{part / whole:.0%}" if whole else "-"


def duration(seconds: float) -> str:
    """Format seconds, e.g. ``4.2 s``, ``3 min 05 s`` or ``2 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def file_size(size_bytes: float) -> str:
    """Format bytes in decimal units."""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} GB"
