"""The list of stored benches."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from qembed.errors import InputNotFound, Mismatch
from qembed.report.index_page import index_page


def test_the_newest_comes_first_and_pages_are_linked(full_folder: Path, tmp_path: Path) -> None:
    for name in ("0002_b & c", "0010_a"):
        shutil.copytree(full_folder, tmp_path / name)
    (tmp_path / "0002_b & c" / "report.html").write_text("page")
    page = index_page(tmp_path)
    assert re.findall(r"<h3>(?:<a [^>]*>)?([^<\n]+)", page)[1:] == ["0010_a", "0002_b &amp; c"]
    assert re.findall(r'<a href="([^#"]*)"', page) == ["0002_b%20%26%20c/report.html"]
    assert "no page yet" in page
    assert "No verdict is another." in page
    assert "✗ a gate fails" in page


def test_gates_that_hold(full_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(full_folder, tmp_path / "0001_x")
    document = json.loads((copy / "bench.json").read_text())
    (copy / "bench.json").write_text(json.dumps({**document, "passed": True}))
    assert "✓ gates hold" in index_page(tmp_path)
    (copy / "bench.json").write_text(json.dumps({**document, "gates": []}))
    assert "gates hold" not in index_page(tmp_path)


def test_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="no stored bench"):
        index_page(tmp_path)
    (tmp_path / "0001_x").mkdir()
    (tmp_path / "0001_x" / "bench.json").write_text("{}")
    with pytest.raises(Mismatch):
        index_page(tmp_path)


def test_trend_and_what_turned(full_folder: Path, tmp_path: Path) -> None:
    for at, name in enumerate(("0001_a", "0002_b", "0003_other")):
        copy = shutil.copytree(full_folder, tmp_path / name)
        document = json.loads((copy / "bench.json").read_text())
        if at == 1:
            document["systems"][1]["estimates"]["nDCG@10"]["mean"] += 0.1
            document["systems"][1]["comparisons"]["nDCG@10"]["verdict"] = "equivalent"
        if at == 2:
            document["eval_set"]["sha256"] = "other judgements"
        (copy / "bench.json").write_text(json.dumps(document))
    page = index_page(tmp_path)
    assert page.count("nDCG@10 over time</h3>") == 1, "other judgements are another line"
    verdict = json.loads((full_folder / "bench.json").read_text())["systems"][1]["comparisons"]["nDCG@10"][
        "verdict"
    ]
    assert f"BM25 keyword search was {verdict}, is equivalent" in page
    assert page.count(", another verdict than before</title>") == 1
    assert "+0.100" in page
    assert "One bench so far" in page


def test_a_document_that_lacks_something_is_named(full_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(full_folder, tmp_path / "0001_x")
    document = json.loads((copy / "bench.json").read_text())
    del document["eval_set"]
    (copy / "bench.json").write_text(json.dumps(document))
    with pytest.raises(Mismatch, match="lacks 'eval_set'"):
        index_page(tmp_path)
