"""How results look: rich tables for people, one JSON document for pipes. Data goes to stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import orjson

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_json(document: Any) -> None:
    """One indented JSON document on stdout."""
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_DATACLASS).decode())


def console(*, stderr: bool = False) -> Console:
    """A rich console: at most 100 columns on a terminal, 80 in a pipe; NO_COLOR is honoured."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    return made if made.width <= 100 else Console(stderr=stderr, highlight=False, width=100)


def table(*columns: str) -> Table:
    """An empty table; a column whose name begins with ``>`` holds numbers and is aligned right."""
    from rich import box
    from rich.table import Table

    made = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        right = column.startswith(">")
        made.add_column(
            column.removeprefix(">"), justify="right" if right else "left", overflow="fold", no_wrap=right
        )
    return made


def quantity(number: float) -> str:
    """A number with thousands separators."""
    return f"{number:,.0f}"


def share(part: float, whole: float) -> str:
    """A part of a whole in percent."""
    return f"{part / whole:.0%}" if whole else "-"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def file_size(size_bytes: float) -> str:
    """Bytes in decimal units."""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} GB"
