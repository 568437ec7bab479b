"""The embedding run, as ``embed`` stored it; audits and verifications."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from drawn import marks
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from qembed.errors import InputNotFound, Mismatch
from qembed.report import embedding
from qembed.report.chart import Chart
from qembed.report.embedding import Embedding, read_checked, read_embedding, told_apart
from qembed.report.tables import Table
from qembed.store.summary import EncodingWork, SubdirectoryStats, build_summary


def summary(**changes: Any) -> dict[str, Any]:
    history = [
        {"device": f"cuda:{at % 2}", "texts": 4, "tokens": 100 + at, "padded_tokens": 128, "seconds": 0.5}
        for at in range(20)
    ]
    work = EncodingWork(
        80, 2190, 2560, 20, history, [{"device": "cuda:0", "texts": 8, "into": [4, 4]}], retried=1
    )
    made = build_summary(
        collection="docs",
        timestamp="2026-01-01T00:00:00+00:00",
        model={
            "id": "m",
            "revision": None,
            "dtype": "fp16",
            "document_prompt": "",
            "max_tokens": 256,
            "dimension": 8,
        },
        findings=[],
        subdirectories={
            "a": SubdirectoryStats(2, 60, 40, 9000, 5, 700, 3.0),
            "b": SubdirectoryStats(1, 40, 40, 1000, 0, 0, 1.0),
        },
        unique_texts=80,
        failed=[],
        work=work,
        devices=[
            {
                "device": f"cuda:{at}",
                "name": "T4",
                "texts": 40,
                "tokens": 1095,
                "seconds": 5.0,
                "splits": at,
                "restarts": 0,
            }
            for at in range(2)
        ],
        token_budget=128,
        phases_seconds={"load": 2.0, "encode": 5.0},
        memory={"host_bytes": 730_386_432},
    )
    return made | changes


def stored(folder: Path, document: dict[str, Any]) -> Path:
    (folder / "docs_embedding_summary.json").write_text(json.dumps(document))
    path = folder / "docs_embeddings.jsonl"
    path.write_text("{}\n")
    return path


def test_what_is_shown(tmp_path: Path) -> None:
    path = stored(tmp_path, summary())
    found = read_embedding(path)
    assert found is not None
    facts = dict(found.facts)
    assert facts["Chunks"].startswith(
        "100; 20 (20.0 %) repeat the text of another, so 80 texts were embedded"
    )
    assert facts["Cut"].endswith("700 of 10,000 tokens (7.0 %) were not read")
    assert "1 split for want of memory; 1 text computed again in fp32" in facts["Batches"]
    captions = [table.caption for table in found.tables]
    assert captions[:2] == ["Devices", "Chunks and what was truncated, by subdirectory"]
    assert captions[2] == "Batches that did not fit and were halved"
    assert all(len(row) == len(table.head) for table in found.tables for row in table.rows)
    assert read_embedding(tmp_path) == found, "the folder is as good"


def test_throughput(tmp_path: Path) -> None:
    found = read_embedding(stored(tmp_path, summary()))
    assert found is not None
    (chart,) = found.charts
    assert [key.label for key in chart.keys] == ["cuda:0", "cuda:1"]
    assert chart.table is not None
    starts = [float(row[0].sort or 0) for row in chart.table.rows]
    rates = [float(cell.sort or 0) for row in chart.table.rows for cell in row[1:]]
    assert sum(rates) * (starts[1] - starts[0]) == pytest.approx(sum(100 + at for at in range(20)))
    assert len(marks(chart.picture)) == len(chart.table.rows)


@given(
    st.lists(st.tuples(st.floats(0.01, 3), st.integers(1, 5000)), min_size=1, max_size=60),
    st.floats(0.05, 5),
)
def test_no_token_is_lost_between_bins(batches: list[tuple[float, int]], step: float) -> None:
    rates = embedding._rates(batches, step)
    whole = sum(seconds for seconds, _ in batches)
    full_bins = int(whole / step + 1e-9)
    read = sum(rate * step for rate in rates[:full_bins])
    if len(rates) > full_bins:
        read += rates[full_bins] * (whole - full_bins * step)
    tokens = sum(count for _, count in batches)
    assert read <= tokens * (1 + 1e-6)
    if len(rates) > full_bins or whole - full_bins * step < 1e-6:
        assert read == pytest.approx(tokens, rel=1e-5)


def test_a_run_without_batches_has_no_chart(tmp_path: Path) -> None:
    found = read_embedding(stored(tmp_path, summary(batch_history=[], peak_memory={})))
    assert found is not None
    assert found.charts == []


def test_nothing_is_known(tmp_path: Path) -> None:
    path = tmp_path / "docs_embeddings.jsonl"
    path.write_text("{}\n")
    assert read_embedding(path) is None


def test_a_broken_summary_is_named(tmp_path: Path) -> None:
    path = stored(tmp_path, summary())
    (tmp_path / "docs_embedding_summary.json").write_text("{")
    with pytest.raises(Mismatch, match=r"docs_embedding_summary\.json"):
        read_embedding(path)


def test_an_audit(tmp_path: Path) -> None:
    check = {"name": "lines", "outcome": "ok", "errors": 0, "warnings": 0, "note": ""}
    document = {
        "schema": "qembed.audit/1",
        "sound": False,
        "file": "a.jsonl",
        "records": 1200,
        "errors": 1,
        "warnings": 0,
        "checks": [check, {**check, "name": "norms", "outcome": "failed", "errors": 1}],
        "findings": [{"kind": "zero-norm", "reason": "the vector is zero"}],
    }
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(document))
    found = read_checked(path)
    assert not found.holds
    assert found.words == "1,200 records of a.jsonl: 1 error, 0 warnings. zero-norm: the vector is zero."
    assert [row[0].mark for row in found.table.rows] == ["✓", "✗"]


def test_a_verification(tmp_path: Path) -> None:
    path = tmp_path / "verify.json"
    path.write_text(
        json.dumps({"schema": "qembed.verify/1", "holds": True, "file": "a", "sample": 64, "drift": {"x": 1}})
    )
    found = read_checked(path)
    assert found.holds
    assert "64 texts" in found.words


def test_something_else(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(InputNotFound):
        read_checked(path)
    path.write_text('{"schema": "other/1"}')
    with pytest.raises(Mismatch, match="not what audit or verify print"):
        read_checked(path)
    path.write_text("[]")
    with pytest.raises(Mismatch, match="not a JSON object"):
        read_checked(path)


def test_two_runs_of_one_collection_are_told_apart() -> None:
    """Regions of a page have names of their own, also where both embeddings are of one collection."""
    chart = Chart("t", "Speed", "", Markup(""), (), Table("Tokens", [], []))
    one = Embedding("books", [], [chart], [Table("Devices", [], [])], None, None)
    assert told_apart([one]) == [one]
    found = told_apart([one, one])
    assert [each.title for each in found] == ["books, 1 of 2", "books, 2 of 2"]
    tables = [table for each in found for table in (*each.tables, *(c.table for c in each.charts))]
    captions = [table.caption for table in tables if table]
    assert len(set(captions)) == 4
