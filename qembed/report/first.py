"""The first screen: level, how far to trust it, where it fails, how long it takes. Nothing is measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qembed.evaluation.eval_sets.authors import counted_words
from qembed.evaluation.statistics.pool import could_turn
from qembed.report.asked import Asked, depths, turned
from qembed.report.standing import standing
from qembed.report.stored import StoredBench, comparison_of
from qembed.report.subdirectories import FEW, items_by_place, share_of
from qembed.report.words import count, interval, known, milliseconds, number, percent, plural, signed

_FIRST = 10
_UNEVEN = 0.1
"""Shares of judged results that differ by more than this speak of a pool that did not know all systems."""


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence, and the query that it speaks of; empty for none."""

    words: str
    query: str = ""
    after: str = ""


def level(bench: StoredBench, question: Asked | None) -> Iterator[str]:
    """The measure before and after, what could be reached, and the same as a count of questions."""
    if question is None:
        return
    found = question.comparison
    span = f" (95 % interval {interval(found.low, found.high, sign=True)})" if known(found.low) else ""
    every = depths(bench, question.new)
    how = (
        f"With all {count(every[-1].depth)} results reranked: "
        if question.kind == "reranked" and every
        else ""
    )
    yield (
        f"{how}{bench.primary} {number(found.baseline)} → {number(found.system)}, "
        f"{signed(found.difference)}{span}{_ceiling(bench, question)}."
    )
    new, old = (found_among_first(bench, name) for name in (question.new, question.old))
    answered = sum(_has_answer(line) for line in bench.queries)
    unit = {"page": "page", "chunk": "text"}.get(bench.document["eval_set"]["level"], "result")
    yield (
        f"A right {unit} is among the first ten for {count(new)} of {plural(answered, 'question')} "
        f"({count(old)} before)."
    )


def _ceiling(bench: StoredBench, question: Asked) -> str:
    if question.kind != "reranked" or not bench.document["ceilings"]:
        return ""
    ceilings = bench.document["ceilings"]
    deepest = max(ceilings, key=int)
    return f"; a perfect order of the same candidates would reach {number(ceilings[deepest])}"


def _has_answer(line: dict[str, Any]) -> bool:
    return any(grade > 0 for grade in line["judged"].values())


def found_among_first(bench: StoredBench, system: str) -> int:
    """Queries with a relevant result among the first ten."""
    return sum(
        any(line["judged"].get(hit["unit"], 0) > 0 for hit in line["systems"][system]["hits"][:_FIRST])
        for line in bench.queries
        if system in line["systems"]
    )


def cautions(bench: StoredBench, question: Asked | None) -> Iterator[str]:
    """What could make the verdict wrong; empty where nothing is known to."""
    judged = bench.document["eval_set"]
    if judged["synthetic"]:
        yield (
            "Synthetic questions: a program made them and nobody has judged them. They show whether "
            "something is broken, not which system serves people better."
        )
    elif bench.judges is None and judged.get("judged_by", "people") not in ("people", ""):
        yield f"Judged by {judged['judged_by']}, not by people."
    yield from _by_models(bench, question)
    if question is None:
        return
    found = question.comparison
    if found.small:
        yield f"Only {plural(found.n, 'question')}: hardly a sample of what people ask."
    elif found.verdict == "cannot tell":
        yield (
            f"With {plural(found.n, 'question')}, a difference below "
            f"{number(found.detectable_difference, 2)} is often missed."
        )
    yield from _of_runs(bench)
    yield from _unjudged(bench, question)


def _by_models(bench: StoredBench, question: Asked | None) -> Iterator[str]:
    """How many grades are a model's, and whether the verdict is the same without them."""
    found = bench.judges
    if found is None or not found.by_model:
        return
    words = counted_words(found.by_model, found.grades)
    if question is None:
        yield f"{words}."
        return
    compared = next(name for name in (question.new, question.old) if name != bench.names[0])
    alone = found.alone.get(compared)
    verdict = question.comparison.verdict
    if alone is not None and compared == question.old:
        alone = turned(alone)
    yield f"{words}. This verdict ({verdict}): {found.words(verdict, alone)}."


def judging(bench: StoredBench) -> Iterator[str]:
    """Questions that are in no number, and what judging more can decide; empty where all is judged."""
    found = standing(bench, {})
    waits = bench.document.get("unjudged_queries", {"count": 0})["count"]
    if waits:
        shown = "" if waits == len(bench.waiting) else f" of the first {count(len(bench.waiting))}"
        yield (
            f"{count(waits)} of {count(waits + len(bench.queries))} questions are not judged: they are in no "
            f"number. What each system finds{shown} is below, to be judged."
        )
    if found is None or not found.outlook.left:
        return
    compared = next(system for system in bench.systems[1:] if system["name"] in found[:2])
    if waits or comparison_of(compared["comparisons"][bench.primary]).verdict == "cannot tell":
        yield found.outlook.words(bench.labels[found.system], bench.labels[found.baseline])


def _of_runs(bench: StoredBench) -> Iterator[str]:
    """Judged queries that a run from elsewhere does not answer, and scores that may mean the opposite."""
    for system in bench.systems:
        if system["info"].get("scores_rise"):
            yield (
                f"The scores of {bench.labels[system['name']]} rise from a question's first result to its "
                "last. Higher counts as better: are they distances or ranks?"
            )
        left = system["info"].get("queries_not_answered", 0)
        if left:
            yield (
                f"{bench.labels[system['name']]} does not answer {count(left)} of "
                f"{plural(bench.document['eval_set']['queries'], 'question')}; each counts 0."
            )


def _unjudged(bench: StoredBench, question: Asked) -> Iterator[str]:
    whatever = _holes(bench, question)
    if whatever and could_turn(whatever, question.comparison):
        low, high = whatever
        yield (
            "Unjudged results could turn this verdict: they count as irrelevant, and whatever they are, the "
            f"difference lies between {signed(low)} and {signed(high)}."
        )
    measure = next((name for name in bench.measures if name.startswith("judged@")), None)
    if measure is None:
        return
    shares = {
        bench.labels[system["name"]]: system["estimates"][measure]["mean"] or 0.0 for system in bench.systems
    }
    least, most = min(shares, key=lambda name: shares[name]), max(shares, key=lambda name: shares[name])
    if shares[most] - shares[least] > _UNEVEN:
        yield (
            f"One-sided judgements: of the first {measure.partition('@')[2]} results, "
            f"{percent(shares[most], 0)} are judged for {most}, {percent(shares[least], 0)} for {least}, "
            "which may be better than it looks."
        )


def _holes(bench: StoredBench, question: Asked) -> tuple[float, float] | None:
    systems = {system["name"]: system for system in bench.systems}
    if question.kind == "baseline":
        found = systems[question.old]["difference_whatever_the_holes"]
        return (-found[1], -found[0]) if found else None
    found = systems[question.new]["difference_whatever_the_holes"]
    return (found[0], found[1]) if found else None


def failures(bench: StoredBench, question: Asked | None) -> Iterator[Line]:
    """The two largest losses, the weakest subdirectory, and texts that were truncated."""
    if question is not None:
        yield from _losses(bench, question)
    weakest = _weakest(bench, question.new if question else bench.names[0])
    if weakest:
        yield Line(weakest)
    for side in bench.document["sides"][:1]:
        if not side["texts_cut"]:
            continue
        yield Line(
            f"{percent(side['texts_cut'] / side['texts'], 0)} of the texts are longer than the "
            f"{count(side['max_tokens'])} tokens that the model reads; the rest of them was not embedded."
        )


def _losses(bench: StoredBench, question: Asked) -> Iterator[Line]:
    texts = {line["query_id"]: line["text"] for line in bench.queries}
    old = bench.values[question.old]
    lost = sorted(
        (values[bench.primary] - old[query][bench.primary], query)  # type: ignore[operator]
        for query, values in bench.values[question.new].items()
        if query in old and values[bench.primary] is not None and old[query][bench.primary] is not None
    )
    for change, query in lost[:2]:
        if change < 0:
            yield Line(f"“{texts.get(query) or query}”", query, f" loses {number(-change)}.")


def _weakest(bench: StoredBench, system: str) -> str | None:
    """The subdirectory of which the least is found."""
    enough = {place: items for place, items in items_by_place(bench, system).items() if len(items) >= FEW}
    if len(enough) < 2:
        return None
    place = min(enough, key=lambda name: share_of(enough[name]))
    items = enough[place]
    return (
        f"Weakest part: {place}, where {percent(share_of(items), 0)} of {len(items)} relevant items "
        "are among the first ten."
    )


def times(bench: StoredBench, question: Asked | None) -> str | None:
    """Milliseconds per query with their spread, and the machine; None where nothing was timed."""
    systems = {system["name"]: system["latency_ms"]["total"] for system in bench.systems}
    wanted = [bench.names[0]] if question is None else [question.old, question.new]
    timed = [(bench.labels[name], systems[name]) for name in wanted if systems[name]]
    if not timed:
        return None
    made = bench.document["environment"]
    parts = [f"{name} {milliseconds(found['p50'])} ms{_spread(found)}" for name, found in timed]
    words = (
        f"{'; '.join(parts)}. Median of {plural(timed[0][1]['queries'], 'query', 'queries')}, one at a time"
    )
    words += f", on {made.get('cpu') or 'an unknown machine'}, {plural(made.get('cores') or 0, 'core')}."
    return words


def loaded(bench: StoredBench) -> str | None:
    """A warning where the machine had more to do than this bench; None where it had not, or nobody knows."""
    made = bench.document["environment"]
    load, cores = made.get("load"), made.get("cores")
    if not load or not cores or load <= 1.5 * cores:
        return None
    return (
        f"The machine was busy with other work (load {number(load, 1)} on {cores} cores): times are too long."
    )


def _spread(found: dict[str, Any]) -> str:
    return f" (half of the queries: {milliseconds(found['p25'])} to {milliseconds(found['p75'])})"
