"""Measured quality as columns, as tables, and in words, which commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qembed.report.words import number, p_value, signed
from qembed.terminal.output import Column, Item, quantity, table

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from qembed.evaluation.statistics.compare import Comparison, Estimate
    from qembed.evaluation.systems.judges import Judges
    from qembed.evaluation.systems.measured import Measured

VERDICT_STYLES = {"better": "green", "worse": "red", "equivalent": "cyan", "cannot tell": "yellow"}


def estimate_columns(
    measure: str, estimate: Callable[[Item], Estimate], *, detail: bool = False
) -> list[Column[Item]]:
    """A measure's mean with its interval; the latter only in CSV if ``detail``."""
    return [
        Column(measure, lambda item: estimate(item).mean, number),
        Column(f"{measure}_low", lambda item: estimate(item).low, number, detail),
        Column(f"{measure}_high", lambda item: estimate(item).high, number, detail),
    ]


def comparison_columns(
    measure: str, comparison: Callable[[Item], Comparison | None], *, detail: bool = False
) -> list[Column[Item]]:
    """How an item differs from the first row, if it is not that row; only in CSV if ``detail``."""

    def column(
        name: str,
        attribute: str,
        shown: Callable[..., str] | None,
        detail: bool = detail,
        at: int | None = None,
    ) -> Column[Item]:
        def value(item: Item) -> object:
            found = comparison(item)
            part = None if found is None else getattr(found, attribute)
            return part if part is None or at is None else part[at]

        return Column(f"{measure}_{name}", value, shown, detail)

    return [
        column("difference", "difference", signed),
        column("difference_low", "low", signed),
        column("difference_high", "high", signed),
        column("p", "p_adjusted", p_value),
        column("wins", "wins", quantity, True),
        column("ties", "ties", quantity, True),
        column("losses", "losses", quantity, True),
        column("verdict", "verdict", None),
        column("few_queries", "small", None, True),
        column("queries_needed_from", "queries_needed", quantity, at=0),
        column("queries_needed_to", "queries_needed", quantity, at=1),
    ]


def measured_columns(
    measures: Iterable[str], items: Sequence[Item], of: Callable[[Item], Measured]
) -> Iterator[Column[Item]]:
    """Every measure of every item and its comparison with the first; details of all measures but the first
    only in CSV.
    """
    for at, measure in enumerate(measures):

        def comparison(item: Item, measure: str = measure) -> Comparison | None:
            return of(item).comparisons.get(measure)

        def estimate(item: Item, measure: str = measure) -> Estimate:
            return of(item).estimates[measure]

        yield from estimate_columns(measure, estimate, detail=at > 0)
        if any(comparison(item) for item in items):
            yield from comparison_columns(measure, comparison, detail=at > 0)


def quality_table(
    head: str,
    measures: Sequence[str],
    rows: Iterable[tuple[str, Measured, Sequence[str]]],
    more: Sequence[str] = (),
) -> Table:
    """Name, first measure with its interval, and the other measures.

    Args:
        head: Heading of the names.
        measures: The first one decides.
        rows: Name, numbers, and cells of ``more``.
        more: Headings of further columns.
    """
    from rich.text import Text

    first, *others = (f">{name.replace('@', chr(10) + '@')}" for name in measures)
    made = table(head, first, ">95 %\ninterval", *others, *more)
    for name, found, cells in rows:
        numbers = [found.estimates[measure] for measure in measures]
        means = [figure(estimate.mean) for estimate in numbers]
        made.add_row(Text(name), means[0], interval(numbers[0]), *means[1:], *cells)
    return made


def verdict_table(head: str, measure: str, rows: Sequence[tuple[str, Measured]]) -> Table:
    """Difference to the first row, interval, p and verdict of every other row."""
    from rich.text import Text

    from qembed.evaluation.statistics.pool import doubt
    from qembed.evaluation.statistics.verdict import brief

    made = table(head, ">differs", ">95 % interval", ">p", ">won/tied/lost", "verdict")
    for name, one in rows[1:]:
        found = one.comparisons[measure]
        made.add_row(
            Text(name),
            f"{found.difference:+.3f}",
            "-" if found.low != found.low else f"{found.low:+.3f} {found.high:+.3f}",
            p_value(found.p_adjusted),
            f"{found.wins}/{found.ties}/{found.losses}",
            Text(brief(found, doubt(one.pool)), style=VERDICT_STYLES[found.verdict]),
        )
    return made


def limits(measure: str, rows: Sequence[tuple[str, Measured]], unjudged_file: str = "") -> Iterator[Text]:
    """What these queries can show at all, and where unjudged results could turn a verdict.

    Args:
        measure: What decides.
        rows: Name and numbers; the first is what the others are compared with.
        unjudged_file: Where unjudged results are listed; empty where they are not.
    """
    from rich.text import Text

    found = [one.comparisons[measure] for _, one in rows[1:]]
    shown = [one.detectable_difference for one in found if one.detectable_difference > 0]
    if shown:
        span = f"{min(shown):.3f}" if len(shown) == 1 else f"{min(shown):.3f} to {max(shown):.3f}"
        yield Text(f"Smallest detectable difference (80 % power, {quantity(found[0].n)} queries): {span}.")
    for name, one in rows[1:]:
        if one.pool is not None and one.pool.condensed is not None:
            yield Text(f"{name}: {_on_judged(one, name, rows[0][0], unjudged_file)}.", style="yellow")


def _on_judged(one: Measured, name: str, first: str, unjudged_file: str) -> str:
    """What the verdict owes to who was judged, with the comparison on judged results as a check."""
    from qembed.evaluation.statistics.pool import unjudged
    from qembed.evaluation.statistics.verdict import brief

    pool = one.pool
    assert pool is not None
    assert pool.condensed is not None
    found = pool.condensed
    words = f"on judged results alone it differs by {found.difference:+.3f}"
    if found.low == found.low:
        words += f" ({found.low:+.3f} to {found.high:+.3f})"
    words += f", {brief(replace(found, queries_needed=None, small=False))}"
    if pool.one_sided:
        less = min((pool.judged, name), (pool.judged_baseline, first))
        words += f"; of the first ten of {less[1]}, {unjudged(less[0])} are unjudged"
    if pool.could_turn and one.holes is not None:
        low, high = one.holes
        others = f"the others ({unjudged_file})" if unjudged_file else "the others"
        words += f"; judging {others} could bring {low:+.3f} to {high:+.3f}"
    return words


def about_judges(found: Judges | None, measure: str, rows: Sequence[tuple[str, Measured]]) -> Iterator[Text]:
    """Grades of models: how many, how far they agree with people, and each verdict without them.

    Args:
        found: What the verdicts owe to models; None where people alone judged.
        measure: What decides.
        rows: Name and numbers; the first is what the others are compared with.
    """
    from rich.text import Text

    from qembed.evaluation.eval_sets.authors import counted_words
    from qembed.evaluation.systems.judges import agreement_words

    if found is None:
        return
    if found.by_model:
        yield Text(f"{counted_words(found.by_model, found.grades)}.", style="bold yellow")
        for name, one in rows[1:]:
            verdict = one.comparisons[measure].verdict
            yield Text(f"  {name} ({verdict}): {found.words(verdict, found.alone.get(name))}")
    for model, kappa in found.agreements.items():
        yield Text(f"{agreement_words(model, kappa)}.")


def figure(value: float) -> str:
    """Three decimals, or "-" where it is not known."""
    return "-" if value != value else f"{value:.3f}"


def interval(estimate: Estimate) -> str:
    """``low-high``, or "-" where it is not known."""
    return "-" if estimate.low != estimate.low else f"{estimate.low:.3f}-{estimate.high:.3f}"
