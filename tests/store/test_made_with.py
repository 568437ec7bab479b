"""By which name this machine has the model that a collection on a server notes."""

from __future__ import annotations

from pathlib import Path

from qembed.models.weights import weights_sha256
from qembed.store.made_with import name_here

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def test_the_short_name_where_its_files_are_here(minilm: Path) -> None:
    assert name_here(MINILM, weights_sha256(minilm)) == "minilm"
    assert name_here(MINILM, None) == "minilm"


def test_the_id_where_these_are_other_files(minilm: Path) -> None:
    assert minilm.is_dir()
    assert name_here(MINILM, "0" * 64) == MINILM


def test_the_id_of_what_is_not_here() -> None:
    assert name_here("BAAI/bge-m3", "0" * 64) == "BAAI/bge-m3"
    assert name_here("owner/unknown", None) == "owner/unknown"
    assert name_here(None, None) is None
