"""Two stored benches compared, as data: one JSON document, or one row per system."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any, Final

import orjson

from qembed.report.compare import Pair, headline
from qembed.report.words import no_formula

SCHEMA: Final = "qembed.compare/1"


def compare_json(pair: Pair) -> str:
    """The comparison as an indented JSON document; what is not defined is null."""
    document = {
        "schema": SCHEMA,
        "first": str(pair.first.folder),
        "second": str(pair.second.folder),
        "measure": pair.measure,
        "headline": headline(pair),
        "warnings": list(pair.warnings),
        "systems": _rows(pair),
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def compare_csv(pair: Pair) -> str:
    """One row per system (RFC 4180), numbers with every digit, a cell empty where nothing is defined."""
    rows = _rows(pair)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(
        {key: "" if value is None or value != value else no_formula(value) for key, value in row.items()}
        for row in rows
    )
    return text.getvalue()


def _rows(pair: Pair) -> list[dict[str, Any]]:
    return [
        {"name": name, "measure": pair.measure, **asdict(found)} for name, found in pair.comparisons.items()
    ]
