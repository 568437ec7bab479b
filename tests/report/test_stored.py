"""What ``bench`` stored, read back."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from qembed.errors import InputNotFound, Mismatch
from qembed.report.stored import StoredBench, comparison_of, find_bench, read_bench, stored_benches


def test_a_bench_is_found_by_folder_document_and_parent(full_folder: Path) -> None:
    assert find_bench(full_folder) == full_folder
    assert find_bench(full_folder / "bench.json") == full_folder
    assert find_bench(full_folder.parent) == full_folder


def test_the_newest_is_that_of_the_highest_number(tmp_path: Path) -> None:
    for name in ("0009_b", "0010_a", "10000_c", "other", "0011_interrupted"):
        (tmp_path / name).mkdir()
        if "interrupted" not in name:
            (tmp_path / name / "bench.json").write_text("{}")
    assert [path.name for path in stored_benches(tmp_path)] == ["other", "0009_b", "0010_a", "10000_c"]
    assert find_bench(tmp_path).name == "10000_c"


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="no stored bench"):
        find_bench(tmp_path)
    with pytest.raises(InputNotFound, match="does not exist"):
        find_bench(tmp_path / "absent")


def test_everything_is_read(full: StoredBench) -> None:
    assert full.names[:2] == ["vectors", "bm25"]
    assert full.primary == "nDCG@10"
    assert len(full.queries) == len(full.values["vectors"]) == 20
    assert {fate.system for fate in full.fates} == {name for name in full.names if "bm25" not in name}
    assert len(full.unjudged) == full.document["unjudged"]
    first = full.queries[0]
    hits = [hit["unit"] for hit in first["systems"]["vectors"]["hits"]]
    assert [full.ranks["vectors"][first["query_id"]][unit] for unit in hits] == list(range(1, len(hits) + 1))


def test_a_comparison_comes_back_with_its_nan(full: StoredBench) -> None:
    document = full.systems[1]["comparisons"]["nDCG@10"]
    assert comparison_of(document).difference == document["difference"]
    assert math.isnan(comparison_of({**document, "low": None}).low)


@pytest.mark.parametrize("name", ["hits.jsonl", "texts.jsonl", "per_query.csv", "losses.csv", "unjudged.csv"])
def test_a_missing_file_is_named(full_folder: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(full_folder, tmp_path / "copy")
    (copy / name).unlink()
    with pytest.raises(InputNotFound, match=name):
        read_bench(copy)


def test_runs_may_be_missing(full_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(full_folder, tmp_path / "copy")
    shutil.rmtree(copy / "runs")
    assert read_bench(copy).ranks == {}


@pytest.mark.parametrize("text", ["{", '{"schema": "qembed.bench/99"}', "[]"])
def test_another_document(full_folder: Path, tmp_path: Path, text: str) -> None:
    copy = shutil.copytree(full_folder, tmp_path / "copy")
    (copy / "bench.json").write_text(text)
    with pytest.raises(Mismatch, match=r"bench\.json"):
        read_bench(copy)


def test_a_broken_line_is_named(full_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(full_folder, tmp_path / "copy")
    lines = (copy / "hits.jsonl").read_text().splitlines()
    (copy / "hits.jsonl").write_text("\n".join([lines[0], lines[1][:-5], *lines[2:]]))
    with pytest.raises(Mismatch, match=r"hits.jsonl, line 2"):
        read_bench(copy)


def test_a_system_in_the_document_has_its_values(full: StoredBench) -> None:
    written = json.loads((full.folder / "bench.json").read_text())
    for system in written["systems"]:
        values = [row["nDCG@10"] for row in full.values[system["name"]].values()]
        known = [value for value in values if value is not None]
        assert sum(known) / len(known) == pytest.approx(system["estimates"]["nDCG@10"]["mean"], abs=1e-5)
