"""The first screen: level, cautions, failures, times."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from qembed.report.asked import Asked, asked
from qembed.report.first import cautions, failures, found_among_first, level, loaded, times
from qembed.report.stored import StoredBench


def question(bench: StoredBench) -> Asked:
    found = asked(bench)
    assert found is not None
    return found


def changed(full: StoredBench, **document: Any) -> StoredBench:
    return replace(full, document={**copy.deepcopy(full.document), **document})


def test_level_and_the_same_as_a_count(full: StoredBench) -> None:
    found = list(level(full, question(full)))
    values = {system["name"]: system["estimates"]["nDCG@10"]["mean"] for system in full.systems}
    assert found[0].startswith(f"nDCG@10 {values['baseline']:.3f} → {values['vectors']:.3f}, ")
    right = found_among_first(full, "vectors")
    assert found[1] == f"A right page is among the first ten for {right} of 20 questions ({right} before)."
    by_hand = sum(
        any(line["judged"].get(hit["unit"], 0) > 0 for hit in line["systems"]["vectors"]["hits"][:10])
        for line in full.queries
    )
    assert right == by_hand > 0


def test_a_reranker_has_a_ceiling(full: StoredBench) -> None:
    alone = [system for system in full.systems if system["name"] in ("vectors", "vectors > good")]
    bench = changed(full, systems=copy.deepcopy(alone))
    found = list(level(bench, question(bench)))
    ceiling = full.document["ceilings"][max(full.document["ceilings"], key=int)]
    assert found[0].startswith("With all 20 results reranked: nDCG@10 ")
    assert f"a perfect order of the same candidates would reach {ceiling:.3f}" in found[0]


def test_where_nothing_is_wrong_nothing_is_said(full: StoredBench) -> None:
    """Not one word of caution for a full pool, judged by people, with a verdict."""
    systems = copy.deepcopy(full.systems)
    for system in systems:
        system["estimates"]["judged@10"]["mean"] = 1.0
        system["difference_whatever_the_holes"] = None
        for found in system["comparisons"].values():
            found.update(small=False, verdict="worse")
    bench = changed(full, systems=systems)
    assert list(cautions(bench, question(bench))) == []


@pytest.mark.parametrize(
    ("judged", "words"),
    [
        ({"synthetic": True}, "Synthetic questions"),
        ({"judged_by": "a language model"}, "Judged by a language model, not by people."),
    ],
)
def test_who_judged(full: StoredBench, judged: dict[str, Any], words: str) -> None:
    bench = changed(full, eval_set={**full.document["eval_set"], **judged})
    assert next(iter(cautions(bench, question(bench)))).startswith(words)


def test_unjudged_results_that_could_turn_the_verdict(full: StoredBench) -> None:
    systems = copy.deepcopy(full.systems)
    existing = next(system for system in systems if system["name"] == "baseline")
    existing["comparisons"]["nDCG@10"].update(
        verdict="worse", difference=-0.1, low=-0.12, high=-0.08, inner_low=-0.11, inner_high=-0.09
    )
    existing["difference_whatever_the_holes"] = [-0.3, 0.05]
    bench = changed(full, systems=systems)
    found = [words for words in cautions(bench, question(bench)) if words.startswith("Unjudged")]
    assert found[0].endswith("the difference lies between −0.050 and +0.300."), "seen from the new ones"
    existing["difference_whatever_the_holes"] = [-0.3, -0.05]
    assert not any(words.startswith("Unjudged") for words in cautions(bench, question(bench)))


def test_one_sided_judgements(full: StoredBench) -> None:
    systems = copy.deepcopy(full.systems)
    for system, share in zip(systems, (1.0, 0.42, 1, 1, 1, 1, 1, 1), strict=False):
        system["estimates"]["judged@10"]["mean"] = share
    bench = changed(full, systems=systems)
    found = [words for words in cautions(bench, question(bench)) if words.startswith("One-sided")]
    assert "42 % for BM25 keyword search" in found[0]


def test_failures(full: StoredBench) -> None:
    old, new = full.values["vectors"], full.values["bm25"]
    lost = sorted((new[query]["nDCG@10"] or 0) - (old[query]["nDCG@10"] or 0) for query in old)
    systems = [system for system in full.systems if system["name"] in ("vectors", "bm25")]
    bench = changed(full, systems=copy.deepcopy(systems))
    found = [line for line in failures(bench, question(bench)) if line.query]
    assert [line.after for line in found] == [f" loses {-change:.3f}." for change in lost[:2]]


def test_truncation_is_named(full: StoredBench) -> None:
    sides = copy.deepcopy(full.document["sides"])
    sides[0].update(texts_cut=32, texts=40, max_tokens=256)
    words = [line.words for line in failures(changed(full, sides=sides), None)]
    assert words[-1].startswith("80 % of the texts are longer than the 256 tokens")


def test_times_have_their_spread_and_machine(full: StoredBench) -> None:
    systems = copy.deepcopy(full.systems)
    for system in systems:
        system["latency_ms"]["total"] = {"p50": 12.0, "p25": 11.0, "p75": 19.0, "p95": None, "queries": 20}
    environment = {**full.document["environment"], "cpu": "a CPU", "cores": 2, "load": 1.0}
    bench = changed(full, systems=systems, environment=environment)
    assert times(bench, question(bench)) == (
        "Existing embeddings 12.0 ms (half of the queries: 11.0 to 19.0); New embeddings 12.0 ms (half of "
        "the queries: 11.0 to 19.0). Median of 20 queries, one at a time, on a CPU, 2 cores."
    )
    assert loaded(bench) is None
    environment["load"] = 7.0
    assert loaded(bench) == (
        "The machine was busy with other work (load 7.0 on 2 cores): times are too long."
    )
