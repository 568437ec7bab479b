"""The verdicts of a bench as sentences that stand on their own, and what they rest on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qembed.evaluation.statistics.verdict import Comparison
from qembed.report.stored import StoredBench, comparison_of
from qembed.report.words import (
    about,
    count,
    interval,
    known,
    listed,
    milliseconds,
    number,
    p_value,
    percent,
    plural,
    signed,
)

TONES = {"better": "good", "worse": "bad", "equivalent": "same", "cannot tell": "open"}
MARKS = {"better": "▲", "worse": "▼", "equivalent": "=", "cannot tell": "?"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A question that the bench asked, and what it found.

    Attributes:
        question: In plain words.
        verdict: ``better``, ``worse``, ``equivalent`` or ``cannot tell``.
        sentence: With numbers.
        details: Corrected p, wins, ties and losses, what unjudged hits could change.
    """

    question: str
    verdict: str
    sentence: str
    details: str

    @property
    def tone(self) -> str:
        """Class of its colour."""
        return TONES[self.verdict]

    @property
    def mark(self) -> str:
        """A sign for those who do not see the colour."""
        return MARKS[self.verdict]


def answers(bench: StoredBench) -> list[Answer]:
    """One for each system but the first."""
    first = bench.systems[0]
    return [_answer(system, first, bench.primary) for system in bench.systems[1:]]


def in_order(found: list[Answer]) -> list[Answer]:
    """What was shown first, then what is open; else in the order of the table."""
    return sorted(found, key=lambda answer: list(TONES).index(answer.verdict))


def headline(found: list[Answer], bench: StoredBench) -> str:
    """What to remember, in one sentence."""
    first = first_name(bench)
    better = [
        (comparison_of(system["comparisons"][bench.primary]).difference, subject(system))
        for system, answer in zip(bench.systems[1:], found, strict=True)
        if answer.verdict == "better"
    ]
    if better:
        names = [name for _, name in sorted(better, key=lambda item: -item[0])]
        also = f" So {'is' if len(names) == 2 else 'are'} {_lower(listed(names[1:]))}." if names[1:] else ""
        return f"{names[0]} is better than {first}.{also}"
    if not found:
        return f"Only {first} was measured: there is nothing to compare it with."
    if any(answer.verdict == "cannot tell" for answer in found):
        return f"Nothing is shown to be better than {first}."
    return f"Nothing is better than {first}."


def first_name(bench: StoredBench) -> str:
    """The first row in words."""
    return "the vectors alone" if bench.names[0] == "vectors" else bench.names[0]


def subject(system: dict[str, Any]) -> str:
    """A system as the subject of a sentence."""
    name = str(system["name"])
    base, _, reranker = name.partition(" > ")
    match system["kind"]:
        case "reranked":
            return f"Reranking {'the baseline' if base == 'baseline' else ''} with {reranker}".replace(
                "  ", " "
            )
        case "bm25":
            return "Keyword search (BM25)"
        case "fusion":
            return "Fusing vectors with BM25"
        case "vectors" if name == "baseline":
            return "Search in the baseline embeddings"
    return name


def basis(bench: StoredBench) -> list[tuple[str, str]]:
    """What the verdicts rest on: label and words."""
    document = bench.document
    judged = document["eval_set"]
    unanswerable = judged["queries"] - judged["answerable"]
    rows = [
        (
            "Eval set",
            f"{judged['name']}: {plural(judged['answerable'], 'query', 'queries')} with an answer"
            + (f", {count(unanswerable)} that nothing answers" if unanswerable else "")
            + f"; {plural(judged['judgements'], 'judgement')} of {judged['level']}s",
        ),
        ("Judged", _judged(bench)),
        ("Search", _search(document["sides"])),
    ]
    if judged["pool_depth"]:
        rows.insert(1, ("Pool", f"the first {judged['pool_depth']} of each system were judged"))
    return rows


def advice(bench: StoredBench) -> Iterator[str]:
    """What the depth frontiers say."""
    for name, found in bench.document["frontiers"].items():
        if found["chosen"] == 0:
            yield f"{name}: no depth is shown to be better than no reranking at all."
            continue
        words = f"{name}: rerank {found['chosen']} candidates; no depth is shown to be better than that."
        if found["falls_after"] is not None:
            words += f" Deeper than {found['falls_after']} is worse."
        yield words


def answerability(bench: StoredBench) -> str | None:
    """How well the best score tells queries that nothing answers; None where there are none."""
    found: dict[str, float] = bench.document["answerability"]
    if not found:
        return None
    judged = bench.document["eval_set"]
    parts = [f"{name} {number(value, 2)}" for name, value in found.items()]
    return (
        f"{judged['queries'] - judged['answerable']} queries have no answer. How well the best score tells "
        f"them from the others (1 is always, 0.5 is chance): {', '.join(parts)}."
    )


def _answer(system: dict[str, Any], first: dict[str, Any], measure: str) -> Answer:
    found = comparison_of(system["comparisons"][measure])
    name = "the vectors alone" if first["name"] == "vectors" else first["name"]
    whole = f"{_difference(found, measure, subject(system), name)}{_cost(system, first)}."
    if found.verdict == "cannot tell" and found.queries_needed is not None:
        whole += f" About {about(found.queries_needed)} queries would be needed."
    return Answer(_question(system), found.verdict, whole, _details(found, system))


def _question(system: dict[str, Any]) -> str:
    match system["kind"]:
        case "reranked":
            base, _, reranker = str(system["name"]).partition(" > ")
            return f"Does it help to rerank {'the baseline ' if base == 'baseline' else ''}with {reranker}?"
        case "bm25":
            return "Is keyword search better?"
        case "fusion":
            return "Does it help to add keyword search?"
        case "vectors":
            return "Are the baseline embeddings better?"
    return f"Is {system['name']} better?"


def _difference(found: Comparison, measure: str, who: str, first: str) -> str:
    queries = f"on {plural(found.n, 'query', 'queries')}"
    size = number(abs(found.difference))
    match found.verdict:
        case "better":
            return f"{who} improves {measure} by {size}{_span(found)} over {first} {queries}"
        case "worse":
            return f"{who} is worse: {measure} falls by {size}{_span(found)} against {first} {queries}"
        case "equivalent":
            return (
                f"{who} makes no difference that matters: {measure} differs by {signed(found.difference)}"
                f"{_span(found)} from {first} {queries}, less than {found.margin:g} either way"
            )
    if found.n == 0:
        return f"Cannot tell: no query has a value of {measure} for both"
    return (
        f"Cannot tell: {_lower(who)} changes {measure} by {signed(found.difference)}{_span(found)} "
        f"against {first} {queries}"
    )


def _span(found: Comparison) -> str:
    """The interval in the direction of the sentence: a fall of 0.037 lies between 0.002 and 0.094."""
    if not known(found.low):
        return ""
    if found.verdict == "worse":
        return f" ({interval(-found.high, -found.low)})"
    return f" ({interval(found.low, found.high, sign=found.verdict != 'better')})"


def _cost(system: dict[str, Any], first: dict[str, Any]) -> str:
    times = [entry["latency_ms"]["total"] for entry in (system, first)]
    if times[0] is None or times[1] is None:
        return ""
    more = times[0]["p50"] - times[1]["p50"]
    if abs(more) < 0.05 * times[1]["p50"]:
        return "; a query takes as long"
    return f"; {'it adds' if more > 0 else 'it saves'} {milliseconds(abs(more))} ms a query"


def _details(found: Comparison, system: dict[str, Any]) -> str:
    parts = [
        f"{found.wins} queries won, {found.ties} tied, {found.losses} lost",
        f"p {'' if p_value(found.p_adjusted).startswith('<') else '= '}{p_value(found.p_adjusted)} after "
        "correction for several comparisons",
    ]
    if found.small:
        parts.append("too few queries for any verdict")
    holes = system["difference_whatever_the_holes"]
    if holes:
        low, high = holes
        parts.append(
            f"whatever the unjudged results are, the difference lies between {signed(low)} and {signed(high)}"
        )
    return "; ".join(parts)


def _judged(bench: StoredBench) -> str:
    name = next((measure for measure in bench.measures if measure.startswith("judged@")), None)
    holes = f"{plural(bench.document['unjudged'], 'result')} among the first ten that nobody has judged"
    if name is None:
        return holes
    shares = [f"{row['name']} {percent(row['estimates'][name]['mean'], 0)}" for row in bench.systems]
    return f"of the first {name.partition('@')[2]}: {', '.join(shares)}; {holes}"


def _search(sides: list[dict[str, Any]]) -> str:
    words = []
    for side in sides:
        kind = "exact" if side["exact"] else "approximate"
        words.append(
            f"{kind} search over {count(side['texts'])} texts of {count(side['dimension'])} dimensions "
            f"({side['model'] or 'model not known'}{', ' + side['dtype'] if side['dtype'] else ''})"
        )
    return "; baseline: ".join(words)


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]
