"""What a worker process sets up before anything imports torch."""

from __future__ import annotations

import os

import pytest

from qembed.engine.workers import serve

NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is set back afterwards
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("torch_version", "name"), [("2.10.0+cu128", NAMES[0]), ("2.9.1", NAMES[0]), ("2.8.0", NAMES[1])]
)
def test_fragments_are_avoided_under_the_name_that_torch_reads(
    monkeypatch: pytest.MonkeyPatch, torch_version: str, name: str
) -> None:
    monkeypatch.setattr(serve, "version", lambda _: torch_version)
    serve._waste_no_memory()
    assert {each: os.environ.get(each) for each in NAMES if os.environ.get(each)} == {
        name: "expandable_segments:True"
    }


@pytest.mark.parametrize("name", NAMES)
def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "max_split_size_mb:128")
    serve._waste_no_memory()
    assert [os.environ.get(each) for each in NAMES if os.environ.get(each)] == ["max_split_size_mb:128"]
