"""How the comparison of a stored bench stands by the judgements that there are now, and how to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from qembed.evaluation.diagnose.outlook import Outlook, outlook_of
from qembed.evaluation.eval_sets.bundled import bundled_eval_sets
from qembed.records import Qrels, Run
from qembed.report.stored import StoredBench
from qembed.shell import shell_line

_MERGE: Final = ("qembed", "evalset", "merge-judgements")


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


def can_stand(bench: StoredBench) -> bool:
    """Whether it can be said how the comparison stands."""
    return len(bench.names) > 1 and not bench.document["eval_set"].get("queries_in_groups")


def standing(bench: StoredBench, qrels: Qrels) -> Standing | None:
    """The headline's comparison with the grades of the bench and those of ``qrels``.

    None for one system, and where queries belong together: each question is taken for a draw of its own.

    Args:
        bench: As it was stored, with its runs.
        qrels: Over the bench's units, as its report exports them; they replace those of the bench.
    """
    if not can_stand(bench):
        return None
    system, baseline = (bench.names[at] for at in bench.pair)
    judged: Qrels = {
        line["query_id"]: {**line["judged"], **qrels.get(line["query_id"], {})} for line in bench.shown
    }
    runs = _run(bench, system), _run(bench, baseline)
    found = outlook_of(
        runs[0],
        runs[1],
        judged,
        [(query, unit) for query, unit, *_ in bench.unjudged],
        comparisons=len(bench.names) - 1,
    )
    return Standing(system, baseline, found)


def merge_command(bench: StoredBench) -> str:
    """The command that brings back what is judged in the bench's report."""
    document = bench.document
    if not bench.judged or document.get("command") == "compare":
        return shell_line(*_MERGE, "my_set", "qrels.tsv", "--bench", bench.folder)
    folder = Path(document["eval_set"]["folder"])
    bundled = folder in bundled_eval_sets().values()  # a copy of it is to be judged
    return shell_line(*_MERGE, "EVAL_SET" if bundled else folder, "qrels.tsv")


def same_command(bench: StoredBench, eval_set: Path) -> str:
    """The command that made the bench, with judgements in place of bare questions; empty if not known."""
    words = [str(word) for word in bench.document["environment"]["command"]]
    if words[:2] != ["qembed", "bench"]:
        return ""
    for at, word in enumerate(words):
        if word == "--queries" and at + 1 < len(words):
            return shell_line(*words[:at], "-e", eval_set, *words[at + 2 :])
        if word.startswith("--queries="):
            return shell_line(*words[:at], "-e", eval_set, *words[at + 1 :])
    return shell_line(*words)


def _run(bench: StoredBench, name: str) -> Run:
    """The ranks as scores."""
    return {
        query: {unit: -float(rank) for unit, rank in ranks.items()}
        for query, ranks in bench.ranks[name].items()
    }
