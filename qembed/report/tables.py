"""Tables of the page as rows of cells: what is shown, and what is sorted by. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qembed.evaluation.statistics.verdict import Comparison
from qembed.report.stored import StoredBench, comparison_of
from qembed.report.words import (
    MARKS,
    NONE,
    TONES,
    count,
    interval,
    milliseconds,
    number,
    p_value,
    percent,
    plural,
    signed,
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        text: What is shown.
        sort: What the column is sorted by; the text when None.
        note: A second, smaller line.
        mark: A sign with a meaning, e.g. ``▲``.
        meaning: The sign in words, for those who hear the page.
        tone: Class of the sign's colour.
    """

    text: str
    sort: float | str | None = None
    note: str = ""
    mark: str = ""
    meaning: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        head: Names of the columns; one that begins with ``>`` holds numbers.
        rows: As long as the head.
        sortable: The reader may sort it.
        foot: Rows that stay last.
        note: What its columns mean, below it.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]] = ()
    sortable: bool = False
    foot: Sequence[Sequence[Cell]] = ()
    note: str = ""


def cells(*texts: Any) -> list[Cell]:
    """Plain cells."""
    return [text if isinstance(text, Cell) else Cell(str(text)) for text in texts]


def numeric(value: float | None, digits: int = 3) -> Cell:
    """A number that sorts as one."""
    return Cell(number(value, digits), value)


def counted(value: float | None) -> Cell:
    """A whole number that sorts as one."""
    return Cell(count(value), value)


RECORD = ">won / tied / lost"
"""Head of the column of ``record``."""


def record(found: Mapping[str, Any] | None) -> Cell:
    """Queries won, tied and lost; a dash for the row that the others are compared with."""
    if found is None:
        return Cell(NONE, 0)
    return Cell(f"{found['wins']} / {found['ties']} / {found['losses']}", found["wins"] - found["losses"])


def record_words(found: Comparison) -> str:
    """The same in a sentence."""
    return f"{plural(found.wins, 'query', 'queries')} won, {found.ties:,} tied, {found.losses:,} lost"


def record_note(measure: str, other: str) -> str:
    """What the three numbers of ``record`` mean, wherever they stand."""
    return f"Won, tied, lost: queries for which {measure} is higher than, equal to, or lower than {other}."


def quality_table(bench: StoredBench) -> Table:
    """Every system on every measure, with intervals; signs where a difference to the first row is shown."""
    rows = []
    for system in bench.systems:
        label = bench.labels[system["name"]]
        row = [Cell(label, note=system["name"] if system["name"] != label else "")]
        for at, measure in enumerate(bench.measures):
            row.append(_quality(system, measure, whole=at == 0))
        row.append(record(system["comparisons"].get(bench.primary)))
        rows.append(row)
    foot = [_ceiling(bench)] if bench.document["ceilings"] else []
    head = ["System", *(f">{name}" for name in bench.measures), RECORD]
    note = record_note(bench.primary, "that of the first row")
    return Table("Quality of every system", head, rows, True, foot, note)


def time_table(bench: StoredBench) -> Table | None:
    """Latency by stage, and what reranking costs; None where nothing was timed."""
    timed = [system for system in bench.systems if system["latency_ms"]["total"]]
    if not timed:
        return None
    stages = list(dict.fromkeys(stage for system in timed for stage in system["latency_ms"]["stages"]))
    reranked = any(system["reranking"] for system in timed)
    head = ["System", *(f">{stage}, ms" for stage in stages), ">all, ms", ">half of them, ms"]
    rows = []
    for system in timed:
        times, work = system["latency_ms"], system["reranking"]
        row = [Cell(bench.labels[system["name"]])]
        row += [
            _time(times["stages"][stage]["p50"]) if stage in times["stages"] else Cell(NONE, -1)
            for stage in stages
        ]
        total = times["total"]
        spread = f"{milliseconds(total['p25'])} to {milliseconds(total['p75'])}"
        row += [_time(total["p50"]), Cell(spread, total["p75"] - total["p25"])]
        if reranked:
            row.append(counted(work["pairs_per_second"]) if work else Cell(NONE, -1))
            row.append(counted(work["truncated_pairs"]) if work else Cell(NONE, -1))
        rows.append(row)
    if reranked:
        head += [">pairs per second", ">truncated pairs"]
    queries = timed[0]["latency_ms"]["total"]["queries"]
    return Table(
        f"Time of a query: medians of {queries} queries, one at a time, on a warm machine", head, rows, True
    )


def comparison_table(bench: StoredBench) -> Table | None:
    """Every comparison with the first row, in numbers; None where there is only one system."""
    rows = []
    for system in bench.systems[1:]:
        for measure, document in system["comparisons"].items():
            found = comparison_of(document)
            rows.append(
                [
                    Cell(bench.labels[system["name"]]),
                    Cell(measure),
                    Cell(signed(found.difference), found.difference),
                    Cell(interval(found.low, found.high, sign=True), found.low),
                    Cell(p_value(found.p_adjusted), found.p_adjusted),
                    numeric(found.effect_size, 2),
                    numeric(found.detectable_difference),
                    Cell(found.verdict, mark=MARKS[found.verdict], tone=TONES[found.verdict]),
                ]
            )
    head = ["System", "Measure", ">difference", ">95 % interval", ">p", ">effect", ">could show", "Verdict"]
    return (
        Table(f"Against {bench.labels[bench.names[0]]}, query by query", head, rows, True) if rows else None
    )


def gate_table(bench: StoredBench) -> Table | None:
    """Conditions that were set beforehand; None without any."""
    rows = []
    for gate in bench.document["gates"]:
        held = gate["passed"]
        outcome = Cell(
            "holds" if held else "fails", mark="✓" if held else "✗", tone="good" if held else "bad"
        )
        rows.append([outcome, Cell(gate["gate"]), Cell(gate["system"]), Cell(gate["words"])])
    return Table("Gates", ["Outcome", "Condition", "System", "What was found"], rows) if rows else None


def _quality(system: dict[str, Any], measure: str, *, whole: bool) -> Cell:
    estimate = system["estimates"][measure]
    judged = measure.startswith("judged@")
    text = percent(estimate["mean"], 0) if judged else number(estimate["mean"])
    found = system["comparisons"].get(measure)
    verdict = found["verdict"] if found else ""
    shown = verdict in ("better", "worse")
    mean = estimate["mean"]
    return Cell(
        text,
        -1 if mean is None else mean,
        note=interval(estimate["low"], estimate["high"]) if whole else "",
        mark=MARKS[verdict] if shown else "",
        meaning=f"{verdict} than the first row" if shown else "",
        tone=TONES[verdict] if shown else "",
    )


def _ceiling(bench: StoredBench) -> list[Cell]:
    depth = max(bench.document["ceilings"], key=int)
    value = bench.document["ceilings"][depth]
    rest = len(bench.measures)
    return [
        Cell(f"best order of the first {depth}", note="what a perfect reranker would reach"),
        numeric(value),
        *[Cell("", -1)] * rest,
    ]


def _time(value: float | None) -> Cell:
    return Cell(milliseconds(value), -1 if value is None else value)
