"""A page over all stored benches of a folder: trends per eval set, and what changed in the last one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from qembed.errors import InputNotFound, Mismatch
from qembed.report.chart import Chart
from qembed.report.drawing.data import Axis, Key, Point, Series
from qembed.report.drawing.plots import key, scatter
from qembed.report.names import display_names
from qembed.report.page import render
from qembed.report.stored import read_document, stored_benches
from qembed.report.tables import Cell
from qembed.report.words import MARKS, TONES, count, interval, known, milliseconds, number, signed

PAGES = ("report.html", "index.html")


@dataclass(frozen=True, slots=True)
class Listed:
    """One bench of the list.

    Attributes:
        name: Name of its folder.
        address: Address of its page, relative; None where it has none yet.
        about: Queries, whether synthetic.
        created: Day and time.
        systems: Name, value, change since the bench before, difference to the first row, verdict, time.
        passed: Whether all gates hold; None without gates.
        turned: Systems whose verdict is another than in the bench before.
    """

    name: str
    address: str | None
    about: str
    created: str
    systems: list[list[Cell]]
    passed: bool | None
    turned: list[str]


@dataclass(frozen=True, slots=True)
class Group:
    """All benches of one eval set, as it was judged, on one measure.

    Attributes:
        title: The eval set.
        measure: What decides; "not judged yet" where nothing is.
        words: The last bench against the one before.
        trend: The measure of every system over time, with intervals; None for a single bench.
        benches: The newest first.
    """

    title: str
    measure: str
    words: str
    trend: Chart | None
    benches: list[Listed]


def index_page(reports: Path) -> str:
    """The benches as one HTML file; pages are linked relative to ``reports``.

    Raises:
        InputNotFound: There is no stored bench.
        Mismatch: One cannot be read.
    """
    folders = stored_benches(reports)
    if not folders:
        raise InputNotFound(
            f"no stored bench in {str(reports)!r}", remedy="make one: qembed bench EMBEDDINGS -e EVAL_SET"
        )
    groups: dict[tuple[str, str, str], list[tuple[Path, dict[str, Any]]]] = {}
    for folder in folders:
        document = read_document(folder)
        try:
            judged = document["eval_set"]
            key = judged["name"], judged["sha256"], next(iter(document["measures"]), "")
        except (KeyError, TypeError) as error:
            raise Mismatch(
                f"bench.json lacks {error}", where=str(folder), remedy="bench again, or move the folder away"
            ) from None
        groups.setdefault(key, []).append((folder, document))
    newest = sorted(groups.items(), key=lambda item: item[1][-1][1]["created"], reverse=True)
    return render(
        "index.html.j2",
        ("charts.js", "tables.js", "start.js"),
        title=f"Benches in {reports.resolve().name}",
        kind="Benches",
        groups=[_group(key, found) for key, found in newest],
    )


def _group(key: tuple[str, str, str], found: list[tuple[Path, dict[str, Any]]]) -> Group:
    name, sha256, measure = key
    documents = [document for _, document in found]
    systems = list(dict.fromkeys(system["name"] for document in documents for system in document["systems"]))
    labels = {system: label for document in documents for system, label in display_names(document).items()}
    listed = [
        _listed(folder, document, documents[at - 1] if at else None)
        for at, (folder, document) in enumerate(found)
    ]
    return Group(
        title=f"{name} ({sha256[:8]})",
        measure=measure or "not judged yet",
        words=_last(listed, found, measure),
        trend=_trend(documents, systems, labels, measure) if measure and len(found) > 1 else None,
        benches=listed[::-1],
    )


def _last(listed: Sequence[Listed], found: Sequence[tuple[Path, dict[str, Any]]], measure: str) -> str:
    """The last bench against the one before, in a sentence."""
    if not measure:
        return "Nothing is judged yet."
    if len(found) < 2:
        return "One bench so far: the next with the same judgements is compared with it."
    (before, old), (after, new) = found[-2:]
    first = new["systems"][0]
    was = next((system for system in old["systems"] if system["name"] == first["name"]), None)
    words = f"{after.name} against {before.name}: "
    if was:
        values = [system["estimates"][measure]["mean"] or 0.0 for system in (was, first)]
        label = display_names(new)[first["name"]]
        words += f"{label} {number(values[0])} → {number(values[1])} ({signed(values[1] - values[0])}). "
    turned = listed[-1].turned
    words += f"Another verdict: {'; '.join(turned)}." if turned else "No verdict is another."
    return words


def _trend(
    documents: Sequence[dict[str, Any]], systems: Sequence[str], labels: dict[str, str], measure: str
) -> Chart:
    """Value and interval of each system, bench by bench; a ring where the verdict is another than before."""
    points: dict[int, list[Point]] = {}
    for at, system, estimate, turned in _values(documents, systems, measure):
        low, mean, high = estimate["low"], estimate["mean"], estimate["high"]
        span = f" ({interval(low, high)})" if known(low) else ""
        said = f"{documents[at]['created'][:10]}, {measure} {number(mean)}{span}"
        said += ", another verdict than before" * turned
        points.setdefault(system, []).append(Point(at, mean, said, low, high, ring=turned))
    series = [Series(labels[systems[at]], at, found) for at, found in sorted(points.items())]
    ends = [end for one in series for point in one.points for end in (point.y, point.low, point.high)]
    reached = [end for end in ends if end is not None]
    title = f"{measure} over time"
    return Chart(
        "trend",
        title,
        "Line: 95 % interval. A ring marks another verdict than in the bench before. The numbers are below.",
        scatter(
            title,
            series,
            Axis("benches, the newest last", -0.4, len(documents) - 0.6),
            Axis(measure, min(reached), max(reached)),
            names=[document["created"][:10] for document in documents],
        ),
        [Key(key(one.at), one.name) for one in series],
    )


def _values(
    documents: Sequence[dict[str, Any]], systems: Sequence[str], measure: str
) -> Iterator[tuple[int, int, dict[str, Any], bool]]:
    """Position of bench and system, the estimate, and whether the verdict is another than before."""
    before: dict[str, str] = {}
    for at, document in enumerate(documents):
        for system in document["systems"]:
            name, estimate = system["name"], system["estimates"][measure]
            verdict = system["comparisons"].get(measure, {"verdict": ""})["verdict"]
            if known(estimate["mean"]):
                yield at, systems.index(name), estimate, before.get(name, verdict) != verdict
            before[name] = verdict


def _listed(folder: Path, document: dict[str, Any], before: dict[str, Any] | None) -> Listed:
    judged, labels = document["eval_set"], display_names(document)
    measure = next(iter(document["measures"]), "")
    queries = count(judged["answerable" if measure else "queries"])
    page = next((name for name in PAGES if (folder / name).is_file()), None)
    old = {system["name"]: system for system in before["systems"]} if before else {}
    turned = []
    for system in document["systems"]:
        now, was = (_verdict(one, measure) for one in (system, old.get(system["name"])))
        if now and was and now != was:
            turned.append(f"{labels[system['name']]} was {was}, is {now}")
    return Listed(
        name=folder.name,
        address=f"{quote(folder.name)}/{page}" if page else None,
        about=f"{queries} queries{', synthetic' if judged['synthetic'] else ''}{_by_models(document)}",
        created=document["created"][:16].replace("T", " "),
        systems=[
            _system(system, measure, labels[system["name"]], old.get(system["name"]))
            for system in document["systems"]
        ],
        passed=document["passed"] if document["gates"] else None,
        turned=turned,
    )


def _by_models(document: dict[str, Any]) -> str:
    found = document.get("judges")
    count = sum(found["by_model"].values()) if found else 0
    return f", {count:,} of {found['grades']:,} grades by a model" if found and count else ""


def _verdict(system: dict[str, Any] | None, measure: str) -> str:
    found = system["comparisons"].get(measure) if system else None
    return str(found["verdict"]) if found else ""


def _system(system: dict[str, Any], measure: str, label: str, before: dict[str, Any] | None) -> list[Cell]:
    found, verdict = system["comparisons"].get(measure), _verdict(system, measure)
    mean, total = system["estimates"].get(measure, {}).get("mean"), system["latency_ms"]["total"]
    was = before["estimates"].get(measure, {}).get("mean") if before else None
    return [
        Cell(label),
        Cell(number(mean)),
        Cell(signed(mean - was) if known(mean) and known(was) else "–"),
        Cell(signed(found["difference"]) if found else ""),
        Cell(verdict, mark=MARKS.get(verdict, ""), tone=TONES.get(verdict, "")),
        Cell(milliseconds(total["p50"]) if total else "–"),
    ]
