"""A bench for continuous integration."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from qembed.report.ci import bench_annotations, bench_junit
from qembed.report.stored import StoredBench


def test_junit_has_a_case_per_gate(full: StoredBench) -> None:
    suite = ElementTree.fromstring(bench_junit(full).encode())
    gates = full.document["gates"]
    assert [case.attrib["name"] for case in suite.iter("testcase")] == [gate["gate"] for gate in gates]
    failed = [case.attrib["name"] for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failed == [gate["gate"] for gate in gates if not gate["passed"]]
    assert suite.attrib["failures"] == "1"
    assert suite.attrib["tests"] == "2"


def test_junit_without_gates_says_the_headline(full: StoredBench) -> None:
    bench = replace(full, document={**copy.deepcopy(full.document), "gates": []})
    (case,) = ElementTree.fromstring(bench_junit(bench).encode()).iter("testcase")
    assert "the new embeddings" in case.attrib["name"]


def test_annotations_are_one_line_each(full: StoredBench) -> None:
    bench = replace(full, document=copy.deepcopy(full.document))
    bench.document["gates"][1].update(gate="a,b: c%", words="50 %\nis less")
    lines = bench_annotations(bench)
    assert lines[0] == "::error title=a%2Cb%3A c%25::50 %25%0Ais less"
    assert lines[-1].startswith("::notice title=qembed bench::20 questions")
    assert not any("\n" in line for line in lines)


def test_the_step_summary_is_added_to(
    full_folder: Path, tmp_path: Path, run_cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    ran = run_cli(["report", full_folder, "--format", "github"])
    assert ran.code == 0
    assert ran.out.startswith("::error title=recall@10>=0.999::")
    assert summary.read_text().startswith("before\n### 20 questions")
    assert run_cli(["report", full_folder, "--format", "junit"]).out.startswith("<?xml")
