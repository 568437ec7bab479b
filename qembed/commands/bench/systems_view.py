"""What a bench says about its systems besides their quality: texts, words, times, what was not read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from qembed.evaluation.eval_sets.groups import repeated, same_answers
from qembed.terminal.output import quantity, share, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qembed.commands.bench.result import BenchResult
    from qembed.evaluation.systems.rows import Row
    from qembed.evaluation.systems.side import Side

SHARE_ALIKE: Final = 0.2
"""Share of queries with the relevant items of another one, from which on it is said."""


def facts(side: Side, name: str) -> RenderableType:
    """One side in a line: texts, dimensions, model, index."""
    from rich.text import Text

    from qembed.models.info import model_words

    copies = (
        f" ({quantity(side.collection.records)} chunks)"
        if side.collection.records > len(side.collection)
        else ""
    )
    made = side.manifest.model if side.manifest else None
    model = model_words(made) if made else "no manifest"
    if not made and side.encoder is not None:
        model += f", queries by {side.encoder.info.id}"
    search = (
        "exact" if side.index.exact else f"approximate: finds {side.ann_recall(10):.1%} of the nearest 10"
    )
    if side.index.name == "server":
        search = f"{side.path}, which finds {side.ann_recall(10):.1%} of the nearest 10"
    return Text(
        f"{name}: {quantity(len(side.collection))} texts{copies}, {side.collection.dimension:,} dimensions, "
        f"{model}; index {side.index.name}, {search}"
    )


def about_queries(result: BenchResult) -> Iterator[RenderableType]:
    """Queries that are not independent of each other, which makes few of many."""
    from rich.text import Text

    judged, groups = result.eval_set.judged, result.eval_set.groups
    copies, alike = repeated(judged), same_answers(result.qrels, groups)
    if copies:
        yield Text(f"note: {copies:,} queries have the text of another one", style="yellow")
    if groups:
        count = len(set(groups.values()))
        yield Text(
            f"note: {len(groups):,} queries are in {count:,} groups, each drawn as one in every interval and "
            f"test: {len(judged) - len(groups) + count:,} draws, not {len(judged):,}"
        )
    if alike >= SHARE_ALIKE * len(judged):
        yield Text(
            f"note: {alike:,} of {len(judged):,} queries have exactly the relevant items of another one; if "
            'they are paraphrases, give them one "group" in queries.jsonl'
        )


def about_words(rows: Sequence[Row]) -> Iterator[RenderableType]:
    """Which BM25 it is, and queries for which it can find nothing."""
    from rich.text import Text

    for system in (row.system for row in rows if row.system.kind == "bm25"):
        yield Text(f"{system.name}: {system.info['recipe']}", style="dim")
        without = system.info["queries_without_a_word_in_common"]
        if without:
            named = ", ".join(without[:3]) + (", ..." if len(without) > 3 else "")
            of = f"{len(without):,} of {len(system.texts):,} queries"
            yield Text(
                f"note: {system.name} finds nothing for {of}: no text has a word of them ({named})",
                style="yellow",
            )
    yield Text()


def latencies(rows: Sequence[Row]) -> Iterator[RenderableType]:
    """Median and spread of each system's time per query, on which machine."""
    import os

    from rich.text import Text

    from qembed.models.device import device_name

    timed = [(row, row.latency) for row in rows if row.latency is not None]
    stages = list(dict.fromkeys(stage for row, _ in timed for stage in row.stages))
    tails = any(found.p95 is not None for _, found in timed)
    queries = max(found.queries for _, found in timed)
    yield Text("ms per query, one at a time, warm", style="bold")
    made = table(
        "system",
        *(f">{stage}" for stage in stages),
        ">all",
        ">half of them",
        *([">p95"] if tails else []),
        ">pairs/s",
    )
    for row, found in timed:
        made.add_row(
            Text(row.system.name),
            *(milliseconds(row.stages[stage].p50) if stage in row.stages else "" for stage in stages),
            milliseconds(found.p50),
            f"{milliseconds(found.p25)}-{milliseconds(found.p75)}",
            *([milliseconds(found.p95)] if tails else []),
            "" if row.pairs_per_second is None else quantity(row.pairs_per_second),
        )
    yield made
    yield Text(
        f"Medians of {queries:,} queries on {device_name('cpu')}, {os.cpu_count()} cores; half of them took "
        "between the two times.\n"
    )


def unread(rows: Sequence[Row]) -> Iterator[RenderableType]:
    """Pairs of which a reranker did not read all, and those that it could not score."""
    from rich.text import Text

    for row in rows:
        work = row.system.reranking.work if row.system.reranking else None
        if work is not None and work.truncated_pairs:
            cut = share(work.truncated_pairs, work.unique_pairs)
            yield Text(f"{row.system.name}: {cut} of the pairs are longer than what it reads, and were cut\n")
        if work is not None and work.failures:
            yield Text(
                f"{row.system.name}: {len(work.failures):,} could not be scored and went last; "
                f"{work.failures[0]}\n",
                style="yellow",
            )


def milliseconds(value: float | None) -> str:
    """One decimal below 100, or "-" where nothing was timed."""
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 100 else quantity(value)
