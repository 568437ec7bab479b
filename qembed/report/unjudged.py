"""What a page says of a bench that nobody has judged: agreement, and what to judge first. Pure."""

from __future__ import annotations

from typing import Any

from qembed.report.standing import merge_command, standing
from qembed.report.stored import StoredBench
from qembed.report.tables import Cell, Table, time_table
from qembed.report.words import count, interval, number, percent


def first_screen(bench: StoredBench) -> dict[str, Any]:
    """Values of the template's first section."""
    document = bench.document
    return {
        "title": f"{document['eval_set']['name']}: not judged yet",
        "headline": "Not judged yet: which is better is open",
        "unjudged": document["unjudged"],
        "decisive": _decisive(bench),
        "merge": merge_command(bench),
        "times": "",
        "agreement": _agreement(bench),
        "differ": _differ(bench),
        "time": time_table(bench),
    }


def _decisive(bench: StoredBench) -> str:
    """How many results decide the comparison of the headline; empty for one system."""
    found = standing(bench, {})
    if found is None:
        return ""
    names = f"{bench.labels[found.system]} and {bench.labels[found.baseline]}"
    return f"the {count(found.outlook.left)} on which {names} differ"


def _agreement(bench: StoredBench) -> Table | None:
    found = bench.document["agreements"]
    if not found:
        return None
    cutoffs = list(dict.fromkeys(k for one in found.values() for k in one["overlap"]))
    head = ["System", *(f">Same in the first {k}" for k in cutoffs), ">Rank-biased overlap", ">95 % interval"]
    rows = [
        [
            Cell(bench.labels[name]),
            *(Cell(percent(one["overlap"][k]["mean"]) if k in one["overlap"] else "") for k in cutoffs),
            Cell(number(one["rank_biased_overlap"]["mean"])),
            Cell(interval(one["rank_biased_overlap"]["low"], one["rank_biased_overlap"]["high"])),
        ]
        for name, one in found.items()
    ]
    return Table(f"Agreement with {bench.labels[bench.names[0]]}", head, rows)


def _differ(bench: StoredBench) -> list[tuple[str, str]]:
    """Queries on which the baseline, else the last system, differs most from the first."""
    found = bench.document["agreements"]
    if not found:
        return []
    texts = {line["query_id"]: line["text"] for line in bench.queries}
    one = found.get("baseline") or list(found.values())[-1]
    return [(least["query_id"], texts[least["query_id"]]) for least in one["least"]]
