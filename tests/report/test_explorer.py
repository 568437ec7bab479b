"""The data of the explorer: each text once, ranks of every system, small."""

from __future__ import annotations

import base64
import gzip
from dataclasses import replace

import orjson

from qembed.report.explorer import STEPS, Limits, explorer_data, packed
from qembed.report.stored import StoredBench


def test_texts_and_units_stand_once(full: StoredBench) -> None:
    data = explorer_data(full, STEPS[0])
    assert len(set(data["units"])) == len(data["units"])
    assert len({content for content, _ in data["contents"]}) == len(data["contents"]) == 40, "of both sides"
    assert {text[0] for text in data["texts"]} == set(range(40))
    used = {text for query in data["queries"] for hits in query["hits"] for _, text, _ in hits}
    assert used == set(range(len(data["texts"])))


def test_hits_grades_and_ranks_are_those_of_the_bench(full: StoredBench) -> None:
    data = explorer_data(full, STEPS[0])
    for line, query in zip(full.queries, data["queries"], strict=True):
        ranks = {at: found for at, *found in query["ranks"]}
        grades = {data["units"][at]: grade for at, grade in query["judged"]}
        for system, hits in enumerate(query["hits"]):
            stored = line["systems"][full.names[system]]["hits"]
            assert [data["units"][at] for at, _, _ in hits] == [hit["unit"] for hit in stored]
            assert [data["texts"][text][1] for _, text, _ in hits] == [hit["chunk_id"] for hit in stored]
            assert [ranks[at][system] for at, _, _ in hits] == list(range(1, len(hits) + 1))
            for at, _, _ in hits:
                assert grades.get(data["units"][at]) == line["judged"].get(data["units"][at])
        relevant = {unit for unit, grade in line["judged"].items() if grade > 0}
        assert relevant <= set(grades), "also those that nobody found"


def test_without_runs_the_stored_ranks_of_relevant_units_serve(full: StoredBench) -> None:
    whole = explorer_data(full, STEPS[0])
    without = explorer_data(replace(full, ranks={}), STEPS[0])
    for line, one, other in zip(full.queries, whole["queries"], without["queries"], strict=True):
        relevant = {unit for unit, grade in line["judged"].items() if grade > 0}
        known = {whole["units"][at]: ranks for at, *ranks in one["ranks"] if whole["units"][at] in relevant}
        found = {
            without["units"][at]: ranks for at, *ranks in other["ranks"] if without["units"][at] in relevant
        }
        assert known == found


def test_limits(full: StoredBench) -> None:
    data = explorer_data(full, Limits(10, 12))
    assert max(len(hits) for query in data["queries"] for hits in query["hits"]) == 10
    assert all(len(content) == 12 for content, _ in data["contents"])
    assert all(left_out > 0 for _, left_out in data["contents"])


def test_what_is_to_be_judged_has_its_text_at_every_limit(full: StoredBench) -> None:
    for limits in STEPS:
        data = explorer_data(full, limits)
        assert len(data["unjudged"]) == len(full.unjudged)
        for query, unit, _ in data["unjudged"]:
            assert any(at == unit for hits in data["queries"][query]["hits"] for at, _, _ in hits)


def test_packed_is_the_same_every_time_and_comes_back(full: StoredBench) -> None:
    data = explorer_data(full, STEPS[0])
    letters = packed(data)
    assert letters == packed(data)
    assert orjson.loads(gzip.decompress(base64.b64decode(letters))) == data


def test_judgements_of_two_splits_are_kept_apart(full: StoredBench) -> None:
    other = replace(
        full, document={**full.document, "eval_set": {**full.document["eval_set"], "split": "dev"}}
    )
    assert explorer_data(full, STEPS[0])["key"] != explorer_data(other, STEPS[0])["key"]
