"""Gates of a bench: which system each is about, and whether it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qembed.errors import UsageError
from qembed.evaluation.diagnose.gates import Gate, GateResult, hold_difference, hold_value
from qembed.evaluation.eval_sets.groups import Groups, labels_of
from qembed.evaluation.statistics.compare import compare, mean_interval
from qembed.evaluation.systems.measured import Settings
from qembed.evaluation.systems.rows import Row
from qembed.evaluation.systems.system import FUSION, System
from qembed.evaluation.systems.values import values_of
from qembed.records import Qrels


@dataclass(frozen=True, slots=True)
class Gated:
    """A gate with its outcome and the system that it was checked on.

    Attributes:
        system: Its name.
        result: Outcome and words.
    """

    system: str
    result: GateResult


def check_gates(gates: Sequence[Gate], names: Sequence[str]) -> None:
    """Every system that a gate names will be there.

    Raises:
        UsageError: One is not among ``names``.
    """
    for gate in gates:
        for name in (gate.system, gate.other):
            if name is not None:
                _resolve(name, names, gate)


def hold_gates(
    gates: Sequence[Gate], rows: Sequence[Row], qrels: Qrels, settings: Settings, groups: Groups
) -> tuple[Gated, ...]:
    """Every gate against its system: the one that it names, else the first row.

    Raises:
        UsageError: No system has that name.
    """
    return tuple(_hold(gate, rows, qrels, settings, groups) for gate in gates)


def _hold(gate: Gate, rows: Sequence[Row], qrels: Qrels, settings: Settings, groups: Groups) -> Gated:
    labels = labels_of(groups, sorted(qrels))
    system = rows[0].system if gate.system is None else _find(gate.system, rows, gate)
    values = values_of(qrels, system.run, gate.measure)
    if gate.least is not None:
        estimate = mean_interval(values, groups=labels)
        return Gated(system.name, hold_value(gate, estimate))
    assert gate.other is not None
    other = values_of(qrels, _find(gate.other, rows, gate).run, gate.measure)
    comparison = compare(
        other,
        values,
        margin=settings.margin,
        seed=settings.seed,
        resamples=settings.resamples,
        groups=labels,
    )
    return Gated(system.name, hold_difference(gate, comparison))


def _find(name: str, rows: Sequence[Row], gate: Gate) -> System:
    systems = {row.system.name: row.system for row in rows}
    return systems[_resolve(name, list(systems), gate)]


def _resolve(name: str, names: Sequence[str], gate: Gate) -> str:
    """A system's whole name; its reranker alone is enough, and so is ``fusion``."""
    name = FUSION if name == "fusion" else name
    matching = [known for known in names if name in (known, known.rpartition(" > ")[2])]
    if not matching:
        raise UsageError(
            f"there is no system {name!r}, which the gate {gate.text!r} names",
            remedy=f"systems are: {', '.join(names)}",
        )
    return name if name in matching else matching[0]
