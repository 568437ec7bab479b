"""A bench as rows, one a system; and what must be known beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qembed.report.words import milliseconds, number
from qembed.terminal.options import Form
from qembed.terminal.output import Column, aside, print_rows, quantity
from qembed.terminal.quality import comparison_columns, estimate_columns

if TYPE_CHECKING:
    from qembed.commands.bench.agreement import Agreement
    from qembed.commands.bench.bench import BenchResult
    from qembed.evaluation.statistics.compare import Estimate
    from qembed.evaluation.systems.rows import Row


def print_systems(result: BenchResult, folder: Path | None, form: Form) -> None:
    """Print every system on every measure; failed gates and the folder are said on stderr."""
    print_rows(list(_columns(result)), result.rows, form)
    if result.eval_set.card.synthetic:
        aside("SYNTHETIC: a program made these queries and nobody judged them.")
    aside(
        *(
            f"gate FAILS: {gated.result.gate.text}  ({gated.system}): {gated.result.words}"
            for gated in result.gates
            if not gated.result.passed
        )
    )
    if folder is not None:
        aside(f"Wrote {folder}")


def print_agreement(found: Agreement, form: Form) -> None:
    """Print how far two sides agree, by cutoff."""
    rows: list[tuple[str, Estimate]] = [(f"overlap@{k}", estimate) for k, estimate in found.overlaps.items()]
    name: Column[tuple[str, Estimate]] = Column("agreement", lambda row: row[0])
    figures: list[Column[tuple[str, Estimate]]] = [
        Column("mean", lambda row: row[1].mean, number),
        Column("low", lambda row: row[1].low, number),
        Column("high", lambda row: row[1].high, number),
    ]
    print_rows([name, *figures], [*rows, ("rbo", found.rbo)], form)


def _columns(result: BenchResult) -> Iterator[Column[Row]]:
    yield Column("system", lambda row: row.system.name)
    for at, measure in enumerate(map(str, result.measures)):
        yield from _measure(measure, result, detail=at > 0)
    for stage in dict.fromkeys(stage for row in result.rows for stage in row.stages):
        yield _stage(stage)
    yield Column("latency_p50_ms", lambda row: row.latency and row.latency.p50, milliseconds)
    yield Column("latency_p95_ms", lambda row: row.latency and row.latency.p95, milliseconds)
    yield Column("pairs_per_second", lambda row: row.pairs_per_second, quantity, True)


def _measure(measure: str, result: BenchResult, *, detail: bool) -> Iterator[Column[Row]]:
    yield from estimate_columns(measure, lambda row: row.estimates[measure], detail=detail)
    if any(measure in row.comparisons for row in result.rows):
        yield from comparison_columns(measure, lambda row: row.comparisons.get(measure), detail=detail)


def _stage(name: str) -> Column[Row]:
    return Column(
        f"{name}_p50_ms", lambda row: row.stages[name].p50 if name in row.stages else None, milliseconds, True
    )
