"""Two stored benches of one eval set: what changed from the first to the second, paired by query.

The values of queries are those that were stored; intervals and verdicts are made of them as ``bench`` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qembed.errors import Mismatch
from qembed.evaluation.eval_sets.authors import counted_words
from qembed.evaluation.statistics.verdict import Comparison, needed
from qembed.report.markdown import escaped, markdown_table
from qembed.report.page import render
from qembed.report.pictures import forest
from qembed.report.provenance import flat
from qembed.report.stored import StoredBench
from qembed.report.tables import RECORD, Cell, Table, cells, numeric, record, record_note
from qembed.report.words import (
    MARKS,
    NONE,
    TONES,
    interval,
    known,
    listed,
    milliseconds,
    number,
    p_value,
    plural,
    signed,
)

_MOST_QUERIES = 30
_NOT_COMPARED = ("environment.command", "environment.load", "eval_set.description", "seconds", "created")

_TELLING = ("baseline.embeddings", "baseline.model")
"""All that is said of a baseline that only one of two benches has."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two benches and what they have in common.

    Attributes:
        first: Before.
        second: After.
        measure: The first's primary measure.
        comparisons: System -> the second against the first.
        warnings: What makes the comparison doubtful.
    """

    first: StoredBench
    second: StoredBench
    measure: str
    comparisons: dict[str, Comparison]
    warnings: tuple[str, ...]

    @property
    def labels(self) -> dict[str, str]:
        """Name of each system -> its name for readers."""
        return {**self.first.labels, **self.second.labels}


def pair_benches(first: StoredBench, second: StoredBench) -> Pair:
    """Compare two benches, system by system.

    Raises:
        Mismatch: No system, measure or query is in both.
    """
    where = f"{first.folder} and {second.folder}"
    measure = next((name for name in first.measures if name in second.measures), None)
    if measure is None or measure.startswith("judged@"):
        raise Mismatch(
            "the two benches have no measure in common", where=where, remedy="bench again with the same -m"
        )
    systems = [name for name in first.names if name in second.names]
    if not systems:
        raise Mismatch(
            "the two benches have no system in common",
            where=where,
            remedy="bench again with the same options",
        )
    shared = [query for query in first.values[systems[0]] if query in second.values[systems[0]]]
    if not shared:
        raise Mismatch(
            "the two benches have no query in common", where=where, remedy="take benches of one eval set"
        )
    return Pair(
        first,
        second,
        measure,
        _comparisons(first, second, systems, shared, measure),
        tuple(_warnings(first, second, len(shared))),
    )


def compare_page(pair: Pair) -> str:
    """The comparison as one HTML file."""
    return render(
        "compare.html.j2",
        ("charts.js", "tables.js", "start.js"),
        title=headline(pair),
        kind="What changed?",
        headline=headline(pair),
        first=pair.first.folder.name,
        second=pair.second.folder.name,
        measure=pair.measure,
        warnings=pair.warnings,
        answers=_answers(pair),
        forest=forest(
            f"Change in {pair.measure}, from {pair.first.folder.name} to {pair.second.folder.name}",
            [(pair.labels[name], found) for name, found in pair.comparisons.items()],
        ),
        systems=_systems_table(pair),
        settings=_settings_table(pair),
        queries=list(_query_tables(pair)),
    )


def compare_markdown(pair: Pair) -> str:
    """The comparison in Markdown."""
    lines = [f"### {escaped(headline(pair))}", ""]
    lines += [f"> {escaped(words)}" for words in pair.warnings]
    lines += [
        "" if pair.warnings else f"{escaped(pair.first.folder.name)} → {escaped(pair.second.folder.name)}",
        "",
    ]
    lines += [
        f"- {mark} **{escaped(label)}: {verdict}.** {escaped(words)}"
        for label, verdict, mark, _, words in _answers(pair)
    ]
    lines += ["", *markdown_table(_systems_table(pair)), *markdown_table(_settings_table(pair))]
    return "\n".join(lines) + "\n"


def headline(pair: Pair) -> str:
    """What to remember."""
    better, worse = (
        [pair.labels[name] for name, found in pair.comparisons.items() if found.verdict == verdict]
        for verdict in ("better", "worse")
    )
    parts = [f"{listed(names)} got {word}" for names, word in ((worse, "worse"), (better, "better")) if names]
    return f"{'; '.join(parts)}." if parts else "No system is shown to have changed."


def _comparisons(
    first: StoredBench, second: StoredBench, systems: list[str], queries: list[str], measure: str
) -> dict[str, Comparison]:
    """All systems are one family: p and intervals are corrected over it."""
    from qembed.evaluation.statistics.compare import compare_pairs

    options = second.document["options"]
    return compare_pairs(
        {
            name: (_column(first, name, queries, measure), _column(second, name, queries, measure))
            for name in systems
        },
        margin=options["margin"],
        resamples=options["resamples"],
        seed=options["seed"],
    )


def _column(bench: StoredBench, system: str, queries: list[str], measure: str) -> Any:
    values = [bench.values[system].get(query, {}).get(measure) for query in queries]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _warnings(first: StoredBench, second: StoredBench, shared: int) -> Iterator[str]:
    old, new = first.document["eval_set"], second.document["eval_set"]
    said = [counted_words(one.by_model, one.grades) for one in (first.judges, second.judges) if one]
    for words in dict.fromkeys(filter(None, said)):
        yield f"{words}."
    if old["sha256"] != new["sha256"]:
        yield (
            f"The eval sets differ ({plural(old['judgements'], 'judgement')} before, {new['judgements']:,} "
            "after): part of a change may come from that."
        )
    most = max(old["queries"], new["queries"])
    if shared < most:
        yield f"Only {shared:,} of {most:,} queries are in both."
    missing = [*(name for name in first.names if name not in second.names)]
    added = [name for name in second.names if name not in first.names]
    if missing:
        yield f"Only before: {listed([first.labels[name] for name in missing])}."
    if added:
        yield f"Only after: {listed([second.labels[name] for name in added])}."


def _answers(pair: Pair) -> list[tuple[str, str, str, str, str]]:
    """Label, verdict, mark, tone and sentence of each system."""
    rows: list[tuple[str, str, str, str, str]] = []
    for name, found in pair.comparisons.items():
        span = f" ({interval(found.low, found.high, sign=True)})" if known(found.low) else ""
        words = (
            f"{pair.measure} {number(found.baseline)} before, {number(found.system)} after, "
            f"{signed(found.difference)}{span} on {plural(found.n, 'query', 'queries')}."
        )
        if found.verdict == "cannot tell" and found.queries_needed is not None:
            words += f" {needed(found.queries_needed).capitalize()} queries would be needed."
        rows.append((pair.labels[name], found.verdict, MARKS[found.verdict], TONES[found.verdict], words))
    return rows


def _systems_table(pair: Pair) -> Table:
    times = [
        {system["name"]: system["latency_ms"]["total"] for system in bench.systems}
        for bench in (pair.first, pair.second)
    ]
    rows = []
    for name, found in pair.comparisons.items():
        medians = [milliseconds(time[name]["p50"]) if time[name] else NONE for time in times]
        rows.append(
            [
                Cell(pair.labels[name]),
                numeric(found.baseline),
                numeric(found.system),
                Cell(signed(found.difference), found.difference, interval(found.low, found.high, sign=True)),
                Cell(p_value(found.p_adjusted), found.p_adjusted),
                record(asdict(found)),
                Cell(found.verdict, mark=MARKS[found.verdict], tone=TONES[found.verdict]),
                *cells(*medians),
            ]
        )
    head = [
        "System",
        ">before",
        ">after",
        ">change",
        ">p",
        RECORD,
        "Verdict",
        ">ms before",
        ">ms after",
    ]
    note = record_note(pair.measure, "before")
    return Table(f"{pair.measure}, paired by query", head, rows, sortable=True, note=note)


def _settings_table(pair: Pair) -> Table:
    old, new = (_settings(bench) for bench in (pair.first, pair.second))
    if len(pair.first.document["sides"]) != len(pair.second.document["sides"]):  # one has no baseline at all
        old, new = (
            {key: value for key, value in found.items() if not key.startswith("baseline.") or key in _TELLING}
            for found in (old, new)
        )
    rows = [
        cells(key, old.get(key, NONE), new.get(key, NONE))
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key) and key not in _NOT_COMPARED
    ]
    return Table(
        "What was different" if rows else "Nothing else was different", ["What", "Before", "After"], rows
    )


def _settings(bench: StoredBench) -> dict[str, str]:
    document = bench.document
    parts = {key: document[key] for key in ("eval_set", "options", "environment")}
    sides = {
        name: {key: value for key, value in side.items() if key != "lengths"}
        for name, side in zip(("vectors", "baseline"), document["sides"], strict=False)
    }
    return {
        f"{part}.{key}": str(value)
        for part, inner in {**parts, **sides}.items()
        for _, key, value in flat(part, inner)
    }


def _query_tables(pair: Pair) -> Iterator[Table]:
    texts = {line["query_id"]: line["text"] for line in (*pair.first.queries, *pair.second.queries)}
    for name in pair.comparisons:
        rows = []
        for query, values in pair.second.values[name].items():
            new = values[pair.measure]
            old = pair.first.values[name].get(query, {}).get(pair.measure)
            if new is not None and old is not None and new != old:
                rows.append((new - old, query, old, new))
        if not rows:
            continue
        rows.sort(key=lambda row: (-abs(row[0]), row[1]))
        more = f", the {_MOST_QUERIES} that changed most" if len(rows) > _MOST_QUERIES else ""
        yield Table(
            f"{pair.labels[name]}: {plural(len(rows), 'query', 'queries')} changed{more}",
            ["Query", "Text", ">before", ">after", ">change"],
            [
                [
                    *cells(query, texts.get(query, "")),
                    numeric(old),
                    numeric(new),
                    Cell(signed(change), change),
                ]
                for change, query, old, new in rows[:_MOST_QUERIES]
            ],
            sortable=True,
        )
