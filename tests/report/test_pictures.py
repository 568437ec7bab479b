"""The first two pictures: every system is in them, at the place of its numbers."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from qembed.report.pictures import bench_forest, quality_and_time
from qembed.report.stored import StoredBench, comparison_of
from qembed.report.words import signed


def test_forest(full: StoredBench) -> None:
    found = bench_forest(full)
    assert found is not None
    assert len(found.lines) == len(full.names) - 1
    for line, system in zip(found.lines, full.systems[1:], strict=True):
        one = comparison_of(system["comparisons"]["nDCG@10"])
        existing = system["name"] == "baseline"
        assert line.label == ("New embeddings against existing" if existing else full.labels[system["name"]])
        root = ElementTree.fromstring(str(line.picture))
        band, zero, *rest = root
        assert (band.attrib["class"], zero.attrib["class"]) == ("band", "zero")
        at = float(rest[-1].attrib["x"].rstrip("%"))
        centre = float(zero.attrib["x1"].rstrip("%"))
        difference = -one.difference if existing else one.difference
        assert line.words.startswith(signed(difference))
        assert (at > centre) is (difference > 0) or difference == pytest.approx(0, abs=1e-3)


def test_one_system_has_no_forest(full: StoredBench) -> None:
    from dataclasses import replace

    alone = replace(full, document={**full.document, "systems": full.systems[:1]})
    assert bench_forest(alone) is None


def test_every_system_and_depth_is_a_point(full: StoredBench) -> None:
    found = quality_and_time(full)
    assert found is not None
    titles = re.findall("<title>([^<]*)</title>", str(found.picture))
    timed = [system for system in full.systems if system["latency_ms"]["total"]]
    assert [key.label for key in found.keys] == [full.labels[system["name"]] for system in timed]
    points = full.document["frontiers"]["vectors > good"]["points"]
    assert sum(title.startswith("New embeddings + good reranker, ") for title in titles) == len(points) - 1
    ElementTree.fromstring(str(found.picture))


def test_without_times_there_is_none(full: StoredBench) -> None:
    import copy
    from dataclasses import replace

    document = copy.deepcopy(full.document)
    for system in document["systems"]:
        system["latency_ms"]["total"] = None
    assert quality_and_time(replace(full, document=document)) is None
