"""How the comparison of a stored bench stands by the judgements that there are now. Pure."""

from __future__ import annotations

from typing import NamedTuple

from qembed.evaluation.diagnose.outlook import Outlook, outlook_of
from qembed.records import Qrels, Run
from qembed.report.stored import StoredBench


class Standing(NamedTuple):
    """Two systems of a bench, and how they stand.

    Attributes:
        system: Name of the system in question.
        baseline: Name of what it is compared with.
        outlook: How they stand.
    """

    system: str
    baseline: str
    outlook: Outlook

    @property
    def words(self) -> str:
        """In two sentences."""
        return self.outlook.words(self.system, self.baseline)


def standing(bench: StoredBench, qrels: Qrels) -> Standing | None:
    """The headline's comparison with the grades of the bench and those of ``qrels``; None for one system.

    Args:
        bench: As it was stored, with its runs.
        qrels: Over the bench's units, as its report exports them; they replace those of the bench.
    """
    if len(bench.names) < 2:
        return None
    system, baseline = (bench.names[at] for at in bench.pair)
    judged: Qrels = {
        line["query_id"]: {**line["judged"], **qrels.get(line["query_id"], {})} for line in bench.shown
    }
    runs = _run(bench, system), _run(bench, baseline)
    found = outlook_of(runs[0], runs[1], judged, comparisons=len(bench.names) - 1)
    return Standing(system, baseline, found)


def _run(bench: StoredBench, name: str) -> Run:
    """The ranks as scores."""
    return {
        query: {unit: -float(rank) for unit, rank in ranks.items()}
        for query, ranks in bench.ranks[name].items()
    }
