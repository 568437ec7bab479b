"""The script for one cell of a Kaggle notebook, run on a root of its own with a small model."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from qembed import kaggle

SCRIPT = Path(__file__).parents[2] / "scripts" / "kaggle_embed_qdrant_ecosystem.py"
WriteChunks = Callable[..., Path]


def test_from_the_input_to_the_archive(
    tmp_path: Path,
    tiny: Path,
    write_chunks: WriteChunks,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "kaggle" / "working").mkdir(parents=True)
    write_chunks(
        tmp_path / "kaggle/input/datasets/me/eco/qdrant_ecosystem", {"a/x": ["one", "two"], "b/y": ["two"]}
    )
    monkeypatch.setenv(kaggle.ROOT_VARIABLE, str(tmp_path))
    spec = importlib.util.spec_from_file_location("kaggle_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.EMBEDDING_MODEL == "nomic-ai/nomic-embed-code"
    script.EMBEDDING_MODEL, script.DEVICE = str(tiny), "cpu"
    archive = script.main()
    assert archive.parent == tmp_path / "kaggle" / "working"
    assert "qdrant_ecosystem_embeddings.jsonl" in zipfile.ZipFile(archive).namelist()
    assert "3 vectors of 32 dimensions\n0 findings of the audit" in capsys.readouterr().out


def test_it_can_be_read_at_a_glance() -> None:
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 36
