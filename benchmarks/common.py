"""What the benchmarks share: the texts they measure with, the machine's line, tables in markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

import qembed
from qembed.corpus import read_chunks
from qembed.models.device import device_name


def unique_texts(folder: Path) -> list[str]:
    """Every text of a collection once, in file order."""
    return list(dict.fromkeys(chunk.text for chunk in read_chunks(folder)))


def sample(texts: Sequence[str], size: int, seed: int = 0) -> list[str]:
    """At most ``size`` of the texts, chosen and ordered at random."""
    order = np.random.default_rng(seed).permutation(len(texts))[:size]
    return [texts[position] for position in order]


def cpu_line() -> str:
    """Model and count of the processors."""
    return f"{device_name('cpu')}, {os.cpu_count()} cores"


def machine_line(libraries: Sequence[str] = (), device: str | None = None) -> str:
    """Date, machine and versions: what a number needs beside it."""
    versions = [f"qembed {qembed.__version__}", *(f"{name} {version(name)}" for name in libraries)]
    versions.append(f"Python {platform.python_version()}")
    return ", ".join([f"{datetime.now(UTC):%Y-%m-%d}", device or cpu_line(), *versions])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """A table that reads well unrendered too; columns ``left`` are text, the others numbers."""
    cells = [list(map(str, row)) for row in (header, *rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]
    lines = []
    for row in cells:
        padded = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(padded)} |")
    rule = ["-" * width if column in left else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]])
