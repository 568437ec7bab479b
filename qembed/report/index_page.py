"""A page that lists the stored benches of a folder, the newest first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from qembed.errors import InputNotFound
from qembed.report.page import render
from qembed.report.stored import read_document, stored_benches
from qembed.report.tables import Cell
from qembed.report.words import MARKS, TONES, count, milliseconds, number, signed

PAGES = ("report.html", "index.html")


@dataclass(frozen=True, slots=True)
class Listed:
    """One bench of the list.

    Attributes:
        name: Name of its folder.
        address: Relative address of its page; None if it has none yet.
        eval_set: Its name.
        about: Queries, whether synthetic.
        created: Day and time.
        measure: The primary one.
        systems: Name, value and verdict of each.
        passed: Whether all gates hold; None without gates.
    """

    name: str
    address: str | None
    eval_set: str
    about: str
    created: str
    measure: str
    systems: list[list[Cell]]
    passed: bool | None


def index_page(reports: Path) -> str:
    """The list as one HTML file; pages are linked relative to ``reports``.

    Raises:
        InputNotFound: There is no stored bench.
        Mismatch: One cannot be read.
    """
    folders = stored_benches(reports)
    if not folders:
        raise InputNotFound(
            f"no stored bench in {str(reports)!r}", remedy="make one: qembed bench EMBEDDINGS -e EVAL_SET"
        )
    found = [_listed(folder, read_document(folder)) for folder in reversed(folders)]
    return render(
        "index.html.j2",
        ("tables.js", "start.js"),
        title=f"Benches in {reports.resolve().name}",
        kind="Benches",
        benches=found,
    )


def _listed(folder: Path, document: dict[str, Any]) -> Listed:
    judged = document["eval_set"]
    queries = count(judged["answerable" if document["measures"] else "queries"])
    page = next((name for name in PAGES if (folder / name).is_file()), None)
    return Listed(
        name=folder.name,
        address=f"{quote(folder.name)}/{page}" if page else None,
        eval_set=judged["name"],
        about=f"{queries} queries{', synthetic' if judged['synthetic'] else ''}",
        created=document["created"][:16].replace("T", " "),
        measure=next(iter(document["measures"]), "not judged yet"),
        systems=[_system(system, next(iter(document["measures"]), "")) for system in document["systems"]],
        passed=document["passed"] if document["gates"] else None,
    )


def _system(system: dict[str, Any], measure: str) -> list[Cell]:
    found = system["comparisons"].get(measure)
    verdict = found["verdict"] if found else ""
    total = system["latency_ms"]["total"]
    return [
        Cell(system["name"]),
        Cell(number(system["estimates"][measure]["mean"]) if measure else ""),
        Cell(signed(found["difference"]) if found else ""),
        Cell(verdict, mark=MARKS.get(verdict, ""), tone=TONES.get(verdict, "")),
        Cell(milliseconds(total["p50"]) if total else "–"),
    ]
