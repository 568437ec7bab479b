"""A bench as rows, one per system, and what must be known beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qembed.evaluation.eval_sets.authors import counted_words
from qembed.report.words import milliseconds, number
from qembed.terminal.options import Form
from qembed.terminal.output import Column, aside, print_rows, quantity
from qembed.terminal.quality import measured_columns
from qembed.terminal.stored import stored_words

if TYPE_CHECKING:
    from qembed.commands.bench.result import BenchResult
    from qembed.evaluation.diagnose.agreement import Agreement
    from qembed.evaluation.systems.rows import Row


def print_systems(result: BenchResult, folder: Path | None, form: Form) -> None:
    """Print every system on every measure; failed gates and the folder are said on stderr."""
    print_rows(list(_columns(result)), result.rows, form)
    if result.eval_set.card.synthetic:
        aside("SYNTHETIC: a program made these queries and nobody judged them.")
    if result.judges and result.judges.by_model:
        aside(f"{counted_words(result.judges.by_model, result.judges.grades)}.")
    if result.waiting.queries:
        aside(f"{quantity(len(result.waiting.queries))} queries are not judged: they are in no number.")
    aside(
        *(
            f"gate FAILS: {gated.result.gate.text}  ({gated.system}): {gated.result.words}"
            for gated in result.gates
            if not gated.result.passed
        )
    )
    aside(*stored_words(folder))


def _columns(result: BenchResult) -> Iterator[Column[Row]]:
    yield Column("system", lambda row: row.system.name)
    yield from measured_columns(map(str, result.measures), result.rows, lambda row: row)
    for k in dict.fromkeys(k for found in result.agreements.values() for k in found.overlaps):
        yield _agreement(f"overlap@{k}", result, partial(_overlap, k=k))
    if result.agreements:
        yield _agreement("rank_biased_overlap", result, lambda found: found.rbo.mean)
    for stage in dict.fromkeys(stage for row in result.rows for stage in row.stages):
        yield _stage(stage)
    yield Column("latency_p50_ms", lambda row: row.latency and row.latency.p50, milliseconds)
    for name in ("p25", "p75"):
        yield Column(f"latency_{name}_ms", partial(_latency, name=name), milliseconds, True)
    if any(row.latency and row.latency.p95 is not None for row in result.rows):
        yield Column("latency_p95_ms", partial(_latency, name="p95"), milliseconds)
    yield Column("pairs_per_second", lambda row: row.pairs_per_second, quantity, True)


def _latency(row: Row, name: str) -> float | None:
    return None if row.latency is None else getattr(row.latency, name)


def _overlap(found: Agreement, k: int) -> float:
    return found.overlaps[k].mean


def _agreement(name: str, result: BenchResult, value: Callable[[Agreement], float]) -> Column[Row]:
    """How far a system finds what the first one finds."""

    def of(row: Row) -> float | None:
        found = result.agreements.get(row.system.name)
        return None if found is None else value(found)

    return Column(name, of, number)


def _stage(name: str) -> Column[Row]:
    return Column(
        f"{name}_p50_ms", lambda row: row.stages[name].p50 if name in row.stages else None, milliseconds, True
    )
