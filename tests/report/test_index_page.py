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
    assert re.findall(r"<h2>(?:<a [^>]*>)?([^<\n]+)", page) == ["0010_a", "0002_b &amp; c"]
    assert re.findall(r'<a href="([^#"]*)"', page) == ["0002_b%20%26%20c/report.html"]
    assert "no page yet" in page
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
