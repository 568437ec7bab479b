"""``qembed quickstart``: which rerankers it measures. That its steps run is held by the continuous build."""

from __future__ import annotations

from pathlib import Path

import pytest

from qembed.commands.quickstart.cli import local_rerankers, quickstart_steps
from qembed.models.catalog import find_model
from qembed.models.packaged.place import packaged_folder


def bench_of(rerankers: list[str]) -> list[str]:
    steps = quickstart_steps(Path("out"), "minilm", rerankers)
    (command,) = [arguments for _, arguments in steps if arguments[0] == "bench"]
    return command


def test_a_published_reranker_is_measured_where_it_has_been_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path))
    assert local_rerankers() == ["maxsim:minilm"]
    card = find_model("msmarco")
    assert card is not None
    assert card.packaged is not None
    packaged_folder("msmarco", card.packaged).mkdir(parents=True)
    assert local_rerankers() == ["maxsim:minilm", "msmarco"]


def test_it_costs_the_deeper_pools() -> None:
    assert bench_of(["maxsim:minilm"])[3:8] == ["python_api", "-r", "maxsim:minilm", "--depth", "10,20,50"]
    with_both = bench_of(["maxsim:minilm", "msmarco"])
    assert with_both[4:10] == ["-r", "maxsim:minilm", "-r", "msmarco", "--depth", "10,20"]
