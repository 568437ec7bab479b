"""How the ranking of ``verify`` looks in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qembed.terminal.output import grid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qembed.commands.verify.ranking import Ranking
    from qembed.commands.verify.verify import VerifyReport
    from qembed.evaluation.statistics.compare import Estimate


def measured_values(report: VerifyReport) -> dict[str, Any]:
    """What was measured, by name, for CSV and Markdown."""
    drift, overlap = report.drift, report.overlap
    values = {
        "holds": report.holds,
        "records": report.records,
        "sample": report.sample,
        "cosine_mean": drift.mean,
        "cosine_percentile_1": drift.percentile_1,
        "cosine_min": drift.min,
        "min_cosine": report.min_cosine,
        "identical": drift.identical,
        "max_difference": drift.max_difference,
        "non_finite": report.non_finite,
        "zero": report.zero,
        "without_text": report.without_text,
    }
    if overlap is not None:
        same = f"same_top_{overlap.k}"
        values |= {f"{same}_mean": overlap.mean, f"{same}_min": overlap.min}
        values[f"{same}_changed"] = overlap.changed
    return values | (_ranking_values(report.ranking) if report.ranking else {})


def _ranking_values(found: Ranking) -> dict[str, Any]:
    sides = {"stored": found.stored, "reference": found.reference}
    values = {
        f"{side}_{found.measure}{end}": getattr(estimate, part)
        for side, estimate in sides.items()
        for part, end in (("mean", ""), ("low", "_low"), ("high", "_high"))
    }
    against = found.comparison
    return {
        "synthetic": found.synthetic,
        "by_models": found.by_models,
        **values,
        "difference": against.difference,
        "difference_low": against.low,
        "difference_high": against.high,
        "p": against.p_adjusted,
        "verdict": against.verdict,
        "queries_same": found.same,
        "queries_reordered": found.reordered,
        "queries_replaced": found.replaced,
    }


def render_ranking(found: Ranking) -> Iterator[RenderableType]:
    """What the drift does to judged queries, part by part."""
    from rich.text import Text

    yield Text("ranking of judged queries", style="bold")
    yield grid(_facts(found), indent=2)
    if found.changed:
        yield Text()
        yield Text(f"queries whose {found.measure} changed most", style="bold")
        heads = ("stored", "reference", "query")
        rows: list[tuple[Any, ...]] = [tuple(Text(head, style="dim") for head in heads)]
        rows += [
            (f"{one.stored:.3f}", f"{one.reference:.3f}", f"{one.query_id}: {one.text}")
            for one in found.changed
        ]
        yield grid(rows, indent=2)


def _facts(found: Ranking) -> list[tuple[Any, ...]]:
    from rich.text import Text

    from qembed.terminal.output import quantity
    from qembed.terminal.quality import VERDICT_STYLES

    verdict, _, numbers = found.words.partition(": ")
    rows: list[tuple[Any, ...]] = [
        (
            "eval set",
            f"{found.eval_set}: {quantity(found.answerable)} of {quantity(found.queries)} queries have an "
            f"answer; {found.level}s are judged",
        ),
        (
            "embedded",
            f"{quantity(found.texts)} different texts again, the {found.candidates} nearest of each query; "
            f"queries in {found.query_dtype} and again",
        ),
        (found.measure, f"stored {_estimate(found.stored)}, reference {_estimate(found.reference)}"),
        (
            f"top {found.k}",
            f"the same for {quantity(found.same)} queries, in another order for "
            f"{quantity(found.reordered)}, with other results for {quantity(found.replaced)}",
        ),
        ("beyond", _beyond(found)),
        ("verdict", Text.assemble((verdict, VERDICT_STYLES[found.comparison.verdict]), f": {numbers}")),
    ]
    if found.synthetic:
        words = "SYNTHETIC: a program made these queries and nobody judged them"
        rows.insert(1, ("", Text(words, style="bold yellow")))
    elif found.by_models:
        rows.insert(1, ("", Text(found.by_models, style="bold yellow")))
    if found.errors:
        words = f"{quantity(found.errors)} findings cost judgements; qembed evalset check tells"
        rows.insert(1, ("", Text(words, style="yellow")))
    return rows


def _beyond(found: Ranking) -> str:
    from qembed.terminal.output import quantity

    drift = f"cosines of queries drifted by {found.largest_drift:.2g} at most"
    if not found.open:
        return f"{drift}; with so little nothing from behind the candidates comes into a top {found.k}"
    return (
        f"{drift}; with as much, a text from behind the candidates could come into the top {found.k} of "
        f"{quantity(found.open)} queries: more --candidates would tell"
    )


def _estimate(one: Estimate) -> str:
    interval = "" if one.low != one.low else f" ({one.low:.3f} to {one.high:.3f})"
    return f"{one.mean:.3f}{interval}"
