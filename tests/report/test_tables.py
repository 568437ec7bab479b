"""Tables: what is marked, and what is sorted by."""

from __future__ import annotations

from qembed.report.stored import StoredBench
from qembed.report.tables import comparison_table, gate_table, quality_table, time_table


def test_only_differences_that_are_shown_are_marked(full: StoredBench) -> None:
    table = quality_table(full)
    for system, row in zip(full.systems, table.rows, strict=True):
        for measure, cell in zip(full.measures, row[1:], strict=False):
            found = system["comparisons"].get(measure, {"verdict": ""})
            assert (cell.mark != "") == (found["verdict"] in ("better", "worse")), (system["name"], measure)
            assert bool(cell.meaning) == bool(cell.mark), "a sign is also said in words"
    assert any(cell.mark == "▼" for row in table.rows for cell in row)


def test_rows_are_as_long_as_the_head_and_the_ceiling_stays_last(full: StoredBench) -> None:
    tables = [quality_table(full), time_table(full), comparison_table(full), gate_table(full)]
    for table in tables:
        assert table is not None
        assert all(len(row) == len(table.head) for row in [*table.rows, *table.foot])
    assert tables[0] is not None
    assert tables[0].foot[0][0].text == "best order of the first 20"


def test_numbers_sort_as_numbers(full: StoredBench) -> None:
    for row in quality_table(full).rows:
        assert all(isinstance(cell.sort, int | float) for cell in row[1:])


def test_gates(full: StoredBench) -> None:
    table = gate_table(full)
    assert table is not None
    assert [row[0].text for row in table.rows] == ["holds", "fails"]
    assert [row[0].mark for row in table.rows] == ["✓", "✗"]
