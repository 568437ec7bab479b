"""The first two pictures: every system is in them, at the place of its numbers."""

from __future__ import annotations

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


def test_one_system_has_no_forest(full: StoredBench) -> None:
    from dataclasses import replace

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
    import copy
    from dataclasses import replace

    document = copy.deepcopy(full.document)
    for system in document["systems"]:
        system["latency_ms"]["total"] = None
    assert quality_and_time(replace(full, document=document)) is None
