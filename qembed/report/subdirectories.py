"""What each system finds of each subdirectory, with intervals, made as those of every mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from qembed.report.asked import asked
from qembed.report.chart import Chart, system_keys
from qembed.report.drawing.data import Axis, Point, Row, look
from qembed.report.drawing.plots import rows
from qembed.report.stored import StoredBench, subdirectory_of
from qembed.report.tables import Cell, Table, counted
from qembed.report.words import NONE, known, percent

_MOST_SUBDIRECTORIES = 15
FEW = 10
"""Fewer relevant items than this say little, and the chart says so."""


Items: TypeAlias = list[tuple[str, float]]
"""Per relevant item its query, and 1 if it was found; items of one query are one draw."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Share of the relevant items that a system finds in a subdirectory, its interval, and their number."""

    share: float
    low: float | None
    high: float | None
    count: int


def items_by_place(bench: StoredBench, system: str) -> dict[str, Items]:
    """Subdirectory -> its relevant items, and whether the system found them."""
    level = bench.document["eval_set"]["level"]
    places: dict[str, Items] = {}
    for fate in bench.fates:
        if fate.system == system:
            found = float(fate.stage == "found")
            places.setdefault(subdirectory_of(fate.unit, level), []).append((fate.query_id, found))
    return places


def share_of(items: Items) -> float:
    """Share of the items that were found."""
    return sum(found for _, found in items) / len(items)


def _place(items: Items) -> _Place:
    from qembed.evaluation.statistics.compare import mean_interval

    one = mean_interval([found for _, found in items], groups=[query for query, _ in items])
    low, high = (one.low, one.high) if known(one.low) else (None, None)
    return _Place(one.mean, low, high, len(items))


def subdirectory_chart(bench: StoredBench) -> Chart | None:
    """The share found by the two systems of the headline; None where there is one subdirectory."""
    items = {name: found for name in bench.names if (found := items_by_place(bench, name))}
    systems = list(items)
    if not systems or len(items[systems[0]]) < 2:
        return None
    shares = {name: {place: _place(own) for place, own in items[name].items()} for name in systems}
    question = asked(bench)
    pair = [name for name in systems if question and name in (question.old, question.new)] or systems[:1]
    named = question.new if question and question.new in pair else pair[0]
    totals = {place: one.count for place, one in shares[systems[0]].items()}
    places = sorted(totals, key=lambda place: (-totals[place], place))
    cutoff = next(iter(bench.document["waterfalls"].values()))["k"]
    title = f"Found among the first {cutoff}, by subdirectory"
    left_out = len(places) - _MOST_SUBDIRECTORIES
    more = f" {left_out} smaller ones are in the table." if left_out > 0 else ""
    return Chart(
        "subdirectories",
        title,
        f"Of what is relevant, {bench.labels[named]} finds {_least_and_most(shares[named], places)}. "
        f"Line: 95 % interval; items of one query count as one draw.{more}",
        rows(
            title,
            [
                _place_row(place, totals[place], pair, shares, bench)
                for place in places[:_MOST_SUBDIRECTORIES]
            ],
            Axis("share found", 0, 1, "share"),
        ),
        system_keys(bench, pair),
        _place_table(bench, shares, systems, places),
    )


def _least_and_most(shares: dict[str, _Place], places: list[str]) -> str:
    """Where the least and where the most is found; small subdirectories are left out if two are larger."""
    own = [place for place in places if place in shares]
    enough = [place for place in own if shares[place].count >= FEW]
    compared = sorted(enough if len(enough) > 1 else own, key=lambda place: shares[place].share)
    least, most = (f"{place} ({percent(shares[place].share, 0)})" for place in (compared[0], compared[-1]))
    rest = f", of those with {FEW} relevant items or more" if len(enough) > 1 else ""
    return f"least in {least} and most in {most}{rest}"


def _place_row(
    place: str, total: int, pair: list[str], shares: dict[str, dict[str, _Place]], bench: StoredBench
) -> Row:
    points, looks = [], []
    for name in pair:
        one = shares[name].get(place)
        if one is None:
            continue
        said = f"{bench.labels[name]} finds {percent(one.share, 0)} of {one.count}{_place_interval(one)}"
        points.append(Point(one.share, 0, said, one.low, one.high))
        looks.append(look(bench.names.index(name)))
    few = ", too few to say much" if total < FEW else ""
    return Row(f"{place} ({total} relevant{few})", points, looks)


def _place_interval(one: _Place) -> str:
    return (
        "" if one.low is None or one.high is None else f" ({percent(one.low, 0)} to {percent(one.high, 0)})"
    )


def _place_table(
    bench: StoredBench, shares: dict[str, dict[str, _Place]], systems: list[str], places: list[str]
) -> Table:
    table = []
    for place in places:
        cells: list[Cell] = []
        for name in systems:
            one = shares[name].get(place)
            cells.append(
                Cell(percent(one.share), one.share, _place_interval(one).strip(" ()"))
                if one
                else Cell(NONE, -1)
            )
        table.append([Cell(place), counted(shares[systems[0]][place].count), *cells])
    head = ["Subdirectory", ">relevant", *(f">{bench.labels[name]}" for name in systems)]
    return Table("Share found", head, table, True)
