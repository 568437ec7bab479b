"""The question that a bench was made for, its answer in one sentence, and what following it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from qembed.evaluation.statistics.verdict import Comparison, Verdict
from qembed.evaluation.systems.system import BASELINE
from qembed.report.names import is_baseline, reranker_name
from qembed.report.stored import StoredBench, comparison_of, doubtful
from qembed.report.words import MARKS, TONES, count, interval, known, milliseconds, number, plural, signed

_OPPOSITE: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}


@dataclass(frozen=True, slots=True)
class Asked:
    """The comparison that matters most.

    Attributes:
        old: Name of the system that is there, or the simpler one.
        new: Name of the other.
        kind: ``baseline``, where new embeddings are compared with existing ones; else the kind of ``new``.
        comparison: ``new`` against ``old`` on the primary measure.
    """

    old: str
    new: str
    kind: str
    comparison: Comparison

    @property
    def tone(self) -> str:
        """Class of the verdict's colour."""
        return TONES[self.comparison.verdict]

    @property
    def mark(self) -> str:
        """The verdict's sign, for those who do not see the colour."""
        return MARKS[self.comparison.verdict]


def asked(bench: StoredBench) -> Asked | None:
    """New against existing embeddings, where both were measured; else what helps most. None for one system.

    What is shown to be better than the first row comes first, by its gain; then reranking, fusion, BM25.
    """
    others = [(system, comparison_of(system["comparisons"][bench.primary])) for system in bench.systems[1:]]
    for system, found in others:
        if is_baseline(system):
            return Asked(BASELINE, bench.names[0], "baseline", turned(found))
    order = ("reranked", "fusion", "bm25", "run")
    best = min(
        others,
        key=lambda pair: (
            pair[1].verdict != "better",
            pair[1].verdict != "better" and order.index(pair[0]["kind"]),
            -pair[1].difference,
        ),
        default=None,
    )
    return best and Asked(bench.names[0], best[0]["name"], best[0]["kind"], best[1])


def turned(found: Comparison) -> Comparison:
    """The same comparison from the other side."""
    return replace(
        found,
        baseline=found.system,
        system=found.baseline,
        difference=-found.difference,
        low=-found.high,
        high=-found.low,
        inner_low=-found.inner_high,
        inner_high=-found.inner_low,
        effect_size=-found.effect_size,
        wins=found.losses,
        losses=found.wins,
        verdict=_OPPOSITE.get(found.verdict, found.verdict),
    )


def headline(bench: StoredBench, question: Asked | None) -> str:
    """The answer in one sentence, which says where it holds only on what was judged."""
    words = _headline(bench, question)
    if question is None or question.comparison.verdict == "cannot tell":
        return words
    compared = {question.old, question.new}
    doubt = any(doubtful(system) for system in bench.systems[1:] if system["name"] in compared)
    return f"On what was judged: {words}" if doubt else words


def _headline(bench: StoredBench, question: Asked | None) -> str:
    measure = bench.primary
    if question is None:
        value = number(bench.systems[0]["estimates"][measure]["mean"])
        return f"{bench.labels[bench.names[0]]} reaches {measure} {value}; nothing else was measured."
    found = question.comparison
    by, margin = f"{number(abs(found.difference))} {measure}", f"{found.margin:g} {measure}"
    queries = plural(found.n, "question")
    new, old = bench.labels[question.new], bench.labels[question.old]
    if question.kind == "baseline":
        return {
            "better": f"The new embeddings are better than the existing ones by {by}.",
            "worse": f"The new embeddings are worse than the existing ones by {by}.",
            "equivalent": f"The new embeddings are as good as the existing ones, within {margin}.",
            "cannot tell": f"{queries} cannot tell whether the new embeddings are better than the old ones.",
        }[found.verdict]
    if question.kind == "reranked":
        name = reranker_name(question.new.partition(" > ")[2])
        return {
            "better": _helps(bench, question),
            "worse": f"Do not rerank with the {name}: it loses {by}.",
            "equivalent": f"Reranking with the {name} makes no difference above {margin}.",
            "cannot tell": f"{queries} cannot tell whether reranking with the {name} helps.",
        }[found.verdict]
    return {
        "better": f"{new} is better than {old} by {by}.",
        "worse": f"{new} is worse than {old} by {by}.",
        "equivalent": f"{new} is as good as {old}, within {margin}.",
        "cannot tell": f"{queries} cannot tell whether {new} is better than {old}.",
    }[found.verdict]


def _helps(bench: StoredBench, question: Asked) -> str:
    """Gain and price of the depth to take; where there is none, of the first that is shown to help."""
    every = depths(bench, question.new)
    if not every:
        return f"Reranking helps: {signed(question.comparison.difference)} {bench.primary}."
    taken = recommended(bench, question.new)
    if taken is None or taken.verdict != "better":
        taken = _first_that_helps(every) or every[-1]
    return f"Reranking {count(taken.depth)} results helps: {taken.words(bench.primary, short=True)}."


@dataclass(frozen=True, slots=True)
class Depth:
    """What reranking to one depth gains and costs.

    Attributes:
        depth: Candidates that are reranked.
        gain: Gain of the primary measure's mean over no reranking.
        low: Lower end of the gain's interval; None where it has none.
        high: Upper end.
        ceiling: The measure if the same candidates stood in the best order.
        milliseconds: Median time per query of the reranking alone; None where it was not measured.
        verdict: The gain's verdict.
    """

    depth: int
    gain: float
    low: float | None
    high: float | None
    ceiling: float
    milliseconds: float | None
    verdict: str

    def words(self, measure: str, *, short: bool = False) -> str:
        """``+0.090 nDCG@10 (+0.041 to +0.137) for 395 ms per query``; ``short`` leaves the interval out."""
        span = f" ({interval(self.low, self.high, sign=True)})" if known(self.low) and not short else ""
        price = f" for {milliseconds(self.milliseconds)} ms per query" if self.milliseconds else ""
        return f"{signed(self.gain)} {measure}{span}{price}"


def depths(bench: StoredBench, system: str) -> list[Depth]:
    """All depths of a reranked system, ascending, 0 left out; empty where it has no frontier.

    A difference has one interval on the first screen. That of the deepest depth is the system's own, as in
    the verdict, corrected over the systems. Those of the others are corrected over the depths; the table of
    depths has all of these.
    """
    found = bench.document["frontiers"].get(system, {"points": []})["points"]
    own: dict[str, Any] = next((one["comparisons"] for one in bench.systems[1:] if one["name"] == system), {})
    against_first = system.partition(" > ")[0] == bench.names[0]
    made = []
    for point in found[1:]:
        gain = point["gain"]
        if against_first and point is found[-1]:
            gain = own.get(bench.primary, gain)
        made.append(
            Depth(
                point["depth"],
                gain["difference"],
                gain["low"],
                gain["high"],
                point["ceiling"],
                point["milliseconds"],
                gain["verdict"],
            )
        )
    return made


def recommended(bench: StoredBench, system: str) -> Depth | None:
    """The depth to take; None where none is shown to be enough, or none at all is."""
    chosen = bench.document["frontiers"].get(system, {"chosen": None})["chosen"]
    return next((depth for depth in depths(bench, system) if depth.depth == chosen), None)


def _first_that_helps(every: list[Depth]) -> Depth | None:
    return next((depth for depth in every if depth.verdict == "better"), None)


def advice(bench: StoredBench) -> Iterator[tuple[str, str]]:
    """What to do with each reranked system, and its price; without those of existing embeddings."""
    measure, margin = bench.primary, bench.document["options"]["margin"]
    for name, found in bench.document["frontiers"].items():
        every = depths(bench, name)
        if not every or name.partition(" > ")[0] == BASELINE:
            continue
        taken, deepest = recommended(bench, name), every[-1]
        if found["chosen"] == 0:
            words = f"Do not rerank: no depth is better by more than {margin:g}. {_all(deepest, measure)}"
        elif taken is None:
            ends = dict.fromkeys((_first_that_helps(every) or every[0], deepest))
            tried = "; ".join(f"{count(depth.depth)} results {depth.words(measure)}" for depth in ends)
            words = f"These questions cannot tell how many results to rerank: {tried}."
        else:
            words = f"Rerank {count(taken.depth)} results: {taken.words(measure)}."
            if taken != deepest:
                words += f" {_all(deepest, measure)} No depth is better than that by more than {margin:g}."
        if found["falls_after"] is not None:
            words += f" Reranking more than {count(found['falls_after'])} is worse."
        yield bench.labels[name], words


def _all(deepest: Depth, measure: str) -> str:
    return f"All {count(deepest.depth)}: {deepest.words(measure)}."
