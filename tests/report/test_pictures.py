"""The first two pictures: every system is in them, at the place of its numbers."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from drawn import marks

from qembed.report.asked import turned
from qembed.report.pictures import bench_forest, quality_and_time
from qembed.report.stored import StoredBench, comparison_of
from qembed.report.words import signed


def test_forest(full: StoredBench) -> None:
    found = bench_forest(full)
    assert found is not None
    shown = marks(found.picture)
    assert found.table is not None
    scale = []
    for mark, row, system in zip(shown, found.table.rows, full.systems[1:], strict=True):
        one = comparison_of(system["comparisons"]["nDCG@10"])
        one = turned(one) if system["name"] == "baseline" else one
        existing = system["name"] == "baseline"
        assert row[0].text == ("New embeddings against existing" if existing else full.labels[system["name"]])
        assert mark.words.startswith(f"{row[0].text}: {one.verdict}, {signed(one.difference)}")
        assert row[1].text == signed(one.difference)
        assert row[3].text == one.verdict
        scale.append((one.difference, mark.middle[0]))
    scale.sort()
    (low, left), (high, right) = scale[0], scale[-1]
    for difference, place in scale:
        assert place == pytest.approx(left + (difference - low) / (high - low) * (right - left), abs=0.5)


def test_new_against_existing_is_turned(full: StoredBench) -> None:
    """The stored comparison is of the existing ones against the new."""
    document = copy.deepcopy(full.document)
    existing = next(system for system in document["systems"] if system["name"] == "baseline")
    existing["comparisons"]["nDCG@10"] |= {"verdict": "worse", "difference": -0.3, "low": -0.4, "high": -0.1}
    found = bench_forest(replace(full, document=document))
    assert found is not None
    (mark,) = (mark for mark in marks(found.picture) if "against existing" in mark.words)
    assert mark.words.endswith(": better, +0.300 (+0.100 to +0.400)")
    assert mark.inks[-1] == "var(--good)"
    assert mark.middle[0] > max(other.middle[0] for other in marks(found.picture) if other != mark)


def test_one_system_has_no_forest(full: StoredBench) -> None:
    alone = replace(full, document={**full.document, "systems": full.systems[:1]})
    assert bench_forest(alone) is None


def test_every_system_and_depth_is_a_point(full: StoredBench) -> None:
    found = quality_and_time(full)
    assert found is not None
    titles = [mark.words for mark in marks(found.picture)]
    timed = [system for system in full.systems if system["latency_ms"]["total"]]
    assert [key.label for key in found.keys] == [full.labels[system["name"]] for system in timed]
    points = full.document["frontiers"]["vectors > good"]["points"]
    assert sum(title.startswith("New embeddings + good reranker: ") for title in titles) == len(points) - 1


def test_without_times_there_is_none(full: StoredBench) -> None:
    document = copy.deepcopy(full.document)
    for system in document["systems"]:
        system["latency_ms"]["total"] = None
    assert quality_and_time(replace(full, document=document)) is None
