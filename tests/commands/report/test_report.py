"""``report`` from Python: what is read, what is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from stored_benches import full_bench

from qembed.commands.report.report import (
    ReportOptions,
    compare_reports,
    index_reports,
    make_report,
    write_page,
)
from qembed.errors import InputNotFound, QembedError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full_bench(tmp_path_factory.mktemp("report"))


def test_the_newest_bench_of_a_folder(folder: Path) -> None:
    found, page = make_report(folder.parent)
    assert found == folder
    assert page.startswith("<!doctype html>")
    assert make_report(folder, format="md")[1].startswith("### ")


def test_nothing_but_the_bench_is_needed(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    document = json.loads((copy / "bench.json").read_text())
    for side in document["sides"]:
        side["embeddings"] = "/gone/c_embeddings.jsonl"
    (copy / "bench.json").write_text(json.dumps(document))
    assert 'id="embedding"' not in make_report(copy)[1]


def test_the_embedding_run_beside_the_vectors_is_shown(folder: Path, tmp_path: Path) -> None:
    manifest = {"collection": "c", "environment": {"command": ["qembed", "embed", "a folder"]}}
    (tmp_path / "c_embeddings.jsonl").write_text("{}\n")
    (tmp_path / "c_embedding_manifest.json").write_text(json.dumps(manifest))
    page = make_report(folder, ReportOptions(embeddings=(tmp_path,)))[1]
    assert 'id="embedding"' in page
    assert "qembed embed &#39;a folder&#39;" in page


def test_checks_are_shown(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    document = {
        "schema": "qembed.audit/1",
        "sound": True,
        "file": "a",
        "records": 3,
        "errors": 0,
        "warnings": 0,
    }
    path.write_text(json.dumps({**document, "checks": [], "findings": []}))
    assert "3 records of a: 0 errors, 0 warnings." in make_report(folder, ReportOptions(checks=(path,)))[1]
    with pytest.raises(InputNotFound):
        make_report(folder, ReportOptions(checks=(tmp_path / "absent.json",)))


def test_compare_and_index(folder: Path) -> None:
    assert "No system is shown to have changed." in compare_reports(folder, folder)
    assert compare_reports(folder, folder, format="md").startswith("### No system")
    assert folder.name in index_reports(folder.parent)


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_page(tmp_path / "new" / "page.html", "text")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(QembedError, match="cannot write"):
        write_page(tmp_path / "file" / "page.html", "text")
