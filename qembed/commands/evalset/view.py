"""How ``qembed evalset`` shows what it found: for people part by part, or as one JSON document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qembed.evaluation.eval_sets.authors import counted_words
from qembed.report.words import plural
from qembed.shell import shell_line
from qembed.terminal.output import grid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qembed.commands.evalset.evalset import Converted, CorpusSeen, DraftedEvalSet, EvalSetCheck
    from qembed.evaluation.eval_sets.card import Card
    from qembed.evaluation.eval_sets.draft import Draft
    from qembed.evaluation.eval_sets.eval_set import EvalSet
    from qembed.evaluation.eval_sets.findings import Severity
    from qembed.evaluation.eval_sets.stats import EvalSetStats, Spread
    from qembed.records import Finding

CHECK_SCHEMA = "qembed.evalset-check/1"
STATS_SCHEMA = "qembed.evalset-stats/1"
SHOWN = 3
"""Findings of each kind that are shown to people; ``--all`` shows all."""
_EXAMPLES = 8


def check_document(checked: EvalSetCheck, *, strict: bool = False) -> dict[str, Any]:
    """The check as one JSON document; docs/eval-sets.md lists its keys."""
    from qembed.evaluation.eval_sets.findings import severity

    eval_set = checked.eval_set
    return {
        "schema": CHECK_SCHEMA,
        "sound": checked.sound(strict=strict),
        "strict": strict,
        "folder": str(eval_set.folder),
        "card": asdict(eval_set.card),
        "queries": len(eval_set.queries),
        "judged": len(eval_set.judged),
        "unanswerable": len(eval_set.unanswerable),
        "corpus": {**asdict(checked.corpus), "path": str(checked.corpus.path)} if checked.corpus else None,
        "errors": checked.count("error"),
        "warnings": checked.count("warning"),
        "notes": checked.count("note"),
        "findings": [{**asdict(found), "severity": severity(found)} for found in checked.findings],
    }


def stats_document(eval_set: EvalSet, counted: EvalSetStats) -> dict[str, Any]:
    """The counts as one JSON document."""
    grades = {str(grade): number for grade, number in counted.grades.items()}
    return {
        "schema": STATS_SCHEMA,
        "folder": str(eval_set.folder),
        "card": asdict(eval_set.card),
        **asdict(counted),
        "grades": grades,
        "grades_by_model": eval_set.authors.by_model(),
    }


def stats_values(eval_set: EvalSet, counted: EvalSetStats) -> dict[str, Any]:
    """The counts by name, for CSV and Markdown."""
    values: dict[str, Any] = {"name": eval_set.card.name, "synthetic": eval_set.card.synthetic}
    for name, value in stats_document(eval_set, counted).items():
        if name == "grades":
            values |= {f"grade_{grade}": number for grade, number in value.items()}
        elif name.endswith("_per_query"):
            values |= {f"{name}_{part}": number for part, number in value.items()}
        elif name == "grades_by_model":
            values["grades_by_models"] = sum(value.values())
        elif isinstance(value, int):
            values[name] = value
    return values


def converted_document(converted: Converted) -> dict[str, Any]:
    """What was converted as one JSON document."""
    return {
        "output": str(converted.output),
        "files": list(map(str, converted.files)),
        "queries": converted.queries,
        "judgements": converted.judgements,
        "findings": list(converted.findings),
    }


def draft_document(made: DraftedEvalSet) -> dict[str, Any]:
    """What was drafted as one JSON document."""
    drafted = made.draft
    return {
        "output": str(made.output),
        "card": asdict(made.card),
        "chunks": drafted.chunks,
        "pages": drafted.pages,
        "candidates": drafted.candidates,
        "queries": [
            {"id": name, **asdict(query)} for name, query in zip(drafted.texts, drafted.queries, strict=True)
        ],
        "findings": list(made.findings),
    }


def render_check(
    checked: EvalSetCheck, *, strict: bool = False, shown: int | None = SHOWN
) -> Iterator[RenderableType]:
    """The check for people, part by part; ``shown`` findings of each kind, all when None."""
    from rich.text import Text

    from qembed.evaluation.eval_sets.findings import KINDS

    eval_set = checked.eval_set
    yield f"{eval_set.card.name}: {_kind(eval_set.card)}"
    yield grid(_facts(checked))
    for kind, about in KINDS.items():
        found = [each for each in checked.findings if each.kind == kind]
        if not found:
            continue
        style = {"error": "bold red", "warning": "bold yellow", "note": "bold"}[about.severity]
        yield ""
        yield Text.assemble((kind, style), f" ({plural(len(found), about.severity)})")
        yield grid([(_place(checked, each), each.reason) for each in found[:shown]])
        if shown is not None and len(found) > shown:
            yield f"  and {len(found) - shown:,} more (--all lists them)"
        if about.severity != "note":
            yield grid([("next:", about.remedy)])
    yield ""
    yield _verdict(checked, strict)


def render_draft(made: DraftedEvalSet, input: Path, wanted: int) -> Iterator[RenderableType]:
    """What was drafted, for people, part by part."""
    from rich.text import Text

    drafted = made.draft
    kinds = Counter(query.kind for query in drafted.queries)
    places = Counter(query.subdirectory for query in drafted.queries)
    yield f"{made.output}: {plural(len(drafted.queries), 'query', 'queries')}, synthetic until you edit them"
    rows = [
        ("from", f"{_chunks(drafted)}, {plural(drafted.candidates, 'candidate')}"),
        ("kinds", ", ".join(plural(count, kind) for kind, count in kinds.most_common())),
        ("places", ", ".join(f"{name} {count}" for name, count in places.most_common())),
    ]
    if len(drafted.queries) < wanted:
        rows.append(("note", f"{wanted:,} were asked for; the chunks give no more that differ"))
    if made.findings:
        rows.append(("note", f"{plural(len(made.findings), 'part')} of the chunks could not be read"))
    yield grid(rows)
    yield ""
    yield grid([(query.kind, query.text) for query in drafted.queries[:_EXAMPLES]])
    yield ""
    yield Text("The words of each query stand in its chunk: rewrite them as people ask, then judge. Next:")
    yield f"- edit {made.output / 'queries.jsonl'} and {made.output / 'qrels' / 'test.tsv'}"
    yield f"- {command_line('check', made.output, '--corpus', input)}"


def render_stats(eval_set: EvalSet, counted: EvalSetStats) -> Iterator[RenderableType]:
    """The counts for people, part by part."""
    yield f"{eval_set.card.name}: {_kind(eval_set.card)}"
    yield grid(_counts(counted, eval_set.card.pool_depth))
    yield _spreads(counted)
    by_models = counted_words(eval_set.authors.by_model(), counted.judgements)
    if by_models:
        yield f"{by_models}."
    if eval_set.findings:
        number = plural(len(eval_set.findings), "finding")
        yield f"{number} in these files: {command_line('check', eval_set.folder)} lists them"


def render_converted(converted: Converted, has_corpus: bool) -> Iterator[str]:
    """What was written, line by line."""
    queries = plural(converted.queries, "query", "queries")
    splits = ", ".join(f"{split} {count:,}" for split, count in converted.judgements.items())
    yield f"{converted.output}: {queries}, judgements: {splits}"
    for file in converted.files:
        yield f"  {file}"
    if has_corpus:
        yield "The corpus was not copied: it stays where it is."


def _facts(checked: EvalSetCheck) -> list[tuple[str, str]]:
    eval_set, corpus = checked.eval_set, checked.corpus
    judgements = sum(map(len, eval_set.qrels.values()))
    rows = [
        ("queries", f"{len(eval_set.queries):,}, {len(eval_set.judged):,} of them judged"),
        ("judgements", f"{judgements:,} in {eval_set.qrels_file.relative_to(eval_set.folder)}"),
    ]
    if corpus is None:
        rows.append(("corpus", "not looked at; --corpus CHUNKS checks that every judged id is in it"))
    else:
        unreadable = f", {corpus.unreadable:,} more cannot be read" if corpus.unreadable else ""
        rows.append(("corpus", f"{_chunks(corpus)}{unreadable}"))
    return rows


def _place(checked: EvalSetCheck, found: Finding) -> str:
    name = found.place.path.removeprefix(f"{checked.eval_set.folder}/")
    return f"{name}:{found.place.line}" if found.place.line else name


def _verdict(checked: EvalSetCheck, strict: bool) -> RenderableType:
    from rich.text import Text

    kinds: tuple[Severity, ...] = ("error", "warning", "note")
    counts = [plural(number, kind) for kind in kinds if (number := checked.count(kind))]
    if not checked.sound(strict=strict):
        why = "" if checked.count("error") else " (--strict)"
        return Text.assemble((", ".join(counts), "bold red"), f"{why}: mend this before you measure.")
    extra = f", with {', '.join(counts)}" if counts else ""
    return Text.assemble(("sound", "bold green"), f"{extra}.")


def _kind(card: Card) -> str:
    made = "synthetic, " if card.synthetic else ""
    return f"{made}judged by {card.level}, split {card.split}"


def _counts(counted: EvalSetStats, pool_depth: int | None) -> list[tuple[str, str]]:
    grades = ", ".join(f"grade {grade}: {number:,}" for grade, number in counted.grades.items())
    rows = [
        ("queries", f"{counted.queries:,}"),
        ("judged", f"{counted.judged:,}, {counted.unanswerable:,} of them answered by nothing"),
        ("judgements", f"{counted.judgements:,} of {counted.items:,} items"),
        ("grades", grades),
    ]
    return [*rows, ("pool depth", f"{pool_depth:,}")] if pool_depth else rows


def _spreads(counted: EvalSetStats) -> RenderableType:
    from qembed.terminal.output import table

    rows = table("per query", ">least", ">median", ">mean", ">most")
    named: list[tuple[str, Spread]] = [
        ("judgements", counted.judgements_per_query),
        ("relevant, where any", counted.relevant_per_query),
        ("words", counted.words_per_query),
    ]
    for name, spread in named:
        rows.add_row(
            name, f"{spread.min:,}", f"{spread.median:,.1f}", f"{spread.mean:,.1f}", f"{spread.max:,}"
        )
    return rows


def _chunks(read: CorpusSeen | Draft) -> str:
    return f"{plural(read.chunks, 'chunk')} of {plural(read.pages, 'page')}"


def command_line(*words: object) -> str:
    """A command to copy."""
    return shell_line("qembed", "evalset", *words)
