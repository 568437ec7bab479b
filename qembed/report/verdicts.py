"""The verdicts of a bench as sentences that stand on their own, and what they rest on."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, sqrt
from typing import Any

from qembed.evaluation.eval_sets.authors import counted_words
from qembed.evaluation.statistics.pool import unjudged
from qembed.evaluation.statistics.verdict import Comparison, needed
from qembed.evaluation.systems.judges import Judges, agreement_words
from qembed.report.stored import StoredBench, comparison_of, doubtful
from qembed.report.tables import record_words
from qembed.report.words import (
    MARKS,
    TONES,
    count,
    interval,
    known,
    milliseconds,
    number,
    p_value,
    percent,
    plural,
    signed,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found of one system against the first.

    Attributes:
        system: Its name for readers.
        verdict: ``better``, ``worse``, ``equivalent`` or ``cannot tell``.
        sentence: With numbers.
        details: Corrected p, wins, ties and losses, what unjudged hits could change.
    """

    system: str
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
    return [_answer(system, first, bench) for system in bench.systems[1:]]


def in_order(found: list[Answer]) -> list[Answer]:
    """What was shown first, then what is open; else in the order of the table."""
    return sorted(found, key=lambda answer: list(TONES).index(answer.verdict))


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
    ]
    runs = [system for system in bench.systems if system["kind"] == "run"]
    if runs:
        rows.append(("Runs", "; ".join(map(_run, runs))))
    if document["sides"]:
        rows.append(("Search", _search(document["sides"])))
    if bench.judges is not None:
        rows.insert(1, ("Judges", _judges(bench.judges)))
    if judged["pool_depth"]:
        rows.insert(1, ("Pool", f"the first {judged['pool_depth']} of each system were judged"))
    return rows


def answerability(bench: StoredBench) -> str | None:
    """How well the best score tells queries that nothing answers; None where there are none."""
    found: dict[str, float] = bench.document["answerability"]
    if not found:
        return None
    judged = bench.document["eval_set"]
    parts = [f"{bench.labels[name]} {number(value, 2)}" for name, value in found.items()]
    return (
        f"For {judged['queries'] - judged['answerable']} queries nothing that was judged is relevant. How "
        f"well the best score tells them from the others (1 is always, 0.5 is chance): {', '.join(parts)}."
    )


def _answer(system: dict[str, Any], first: dict[str, Any], bench: StoredBench) -> Answer:
    found = comparison_of(system["comparisons"][bench.primary])
    name, other = bench.labels[system["name"]], bench.labels[first["name"]]
    whole = f"{_difference(found, bench.primary, other)}{_cost(system, first)}."
    if found.verdict == "cannot tell" and found.queries_needed is not None:
        whole += f" {needed(found.queries_needed).capitalize()} queries would be needed."
    if doubtful(system):
        whole += f" On what was judged: {_unjudged(system['pool'], other)} are unjudged."
    return Answer(name, found.verdict, whole, _details(found, system, bench))


def _difference(found: Comparison, measure: str, first: str) -> str:
    queries = f"on {plural(found.n, 'query', 'queries')}"
    size = number(abs(found.difference))
    match found.verdict:
        case "better":
            return f"{measure} is {size}{_span(found)} higher than that of {first} {queries}"
        case "worse":
            return f"{measure} is {size}{_span(found)} lower than that of {first} {queries}"
        case "equivalent":
            return (
                f"{measure} differs by {signed(found.difference)}{_span(found)} from that of {first} "
                f"{queries}, less than {found.margin:g} either way"
            )
    if found.n == 0:
        return f"No query has a value of {measure} for both"
    return f"{measure} differs by {signed(found.difference)}{_span(found)} from that of {first} {queries}"


def _span(found: Comparison) -> str:
    """The interval in the direction of the sentence: a fall of 0.037 lies between 0.002 and 0.094."""
    if not known(found.low):
        return ""
    if found.verdict == "worse":
        return f" ({interval(-found.high, -found.low)})"
    return f" ({interval(found.low, found.high, sign=found.verdict != 'better')})"


def _judges(found: Judges) -> str:
    parts = [counted_words(found.by_model, found.grades)] if found.by_model else []
    parts += [agreement_words(model, kappa) for model, kappa in found.agreements.items()]
    if not found.agreements:
        parts.append("nothing was graded by a model and by people, so how far they agree is not known")
    return ". ".join(parts) + ". Published agreement of models with people is a kappa of 0.3 to 0.5."


def _unjudged(pool: dict[str, Any], first: str) -> str:
    if pool["judged"] > pool["judged_baseline"]:
        return f"{unjudged(pool['judged_baseline'])} of the first ten of {first}"
    return f"{unjudged(pool['judged'])} of its first ten"


def _span_of(found: Comparison) -> str:
    return f" ({interval(found.low, found.high, sign=True)})" if known(found.low) else ""


def _cost(system: dict[str, Any], first: dict[str, Any]) -> str:
    new, old = (entry["latency_ms"]["total"] for entry in (system, first))
    if new is None or old is None:
        return ""
    more = new["p50"] - old["p50"]
    if abs(more) <= 2 * hypot(_noise(new), _noise(old)):
        return "; a query takes about as long"
    return f"; it {'adds' if more > 0 else 'saves'} {milliseconds(abs(more))} ms per query"


def _noise(found: dict[str, Any]) -> float:
    """Standard error of a median: 1.25 s / sqrt(n), with s from the quartiles as of a normal distribution."""
    return float(1.25 * (found["p75"] - found["p25"]) / 1.349 / sqrt(found["queries"]))


def _details(found: Comparison, system: dict[str, Any], bench: StoredBench) -> str:
    parts = [
        record_words(found),
        f"p {'' if p_value(found.p_adjusted).startswith('<') else '= '}{p_value(found.p_adjusted)} after "
        "correction for several comparisons",
    ]
    if found.small:
        parts.append(f"only {plural(found.n, 'query', 'queries')}: hardly a sample of what people ask")
    if doubtful(system):
        alone = comparison_of(system["pool"]["condensed"])
        parts.append(
            f"on judged results alone it differs by {signed(alone.difference)}{_span_of(alone)}: "
            f"{alone.verdict}"
        )
    judges = bench.judges
    if judges is not None and judges.by_model:
        parts.append(judges.words(found.verdict, judges.alone.get(system["name"])))
    holes = system["difference_whatever_the_holes"]
    if holes:
        low, high = holes
        parts.append(
            f"whatever the unjudged results are, the difference lies between {signed(low)} and {signed(high)}"
        )
    return "; ".join(parts)


def _judged(bench: StoredBench) -> str:
    name = next((measure for measure in bench.measures if measure.startswith("judged@")), None)
    waiting = {line["query_id"] for line in bench.waiting}
    open_ = sum(query not in waiting for query, *_ in bench.unjudged)
    holes = f"{plural(open_, 'result')} among the first ten {'is' if open_ == 1 else 'are'} unjudged"
    if name is None:
        return holes
    shares = [
        f"{bench.labels[row['name']]} {percent(row['estimates'][name]['mean'], 0)}" for row in bench.systems
    ]
    return f"of the first {name.partition('@')[2]}: {', '.join(shares)}; {holes}"


def _run(system: dict[str, Any]) -> str:
    info = system["info"]
    words = f"{system['name']} from {info['file']}"
    unknown, own = info["queries_not_judged"], info["own_documents_left_out"]
    if unknown:
        words += f", without {plural(unknown, 'query', 'queries')} that nobody has judged"
    if own:
        words += f", without the query's own document for {plural(own, 'query', 'queries')}"
    return words


def _search(sides: list[dict[str, Any]]) -> str:
    words = []
    for side in sides:
        kind = "exact" if side["exact"] else "approximate"
        words.append(
            f"{kind} search over {count(side['texts'])} texts of {count(side['dimension'])} dimensions "
            f"({side['model'] or 'model not known'}{', ' + side['dtype'] if side['dtype'] else ''})"
        )
    return "; baseline: ".join(words)
