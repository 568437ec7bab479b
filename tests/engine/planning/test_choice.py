"""What is asked for, refused or offered instead, with models and devices by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qembed.engine.planning.candidates import Limits
from qembed.engine.planning.choice import USUAL_LONGEST_TOKENS, Choice, choose, options_of
from qembed.engine.planning.facts import model_facts
from qembed.engine.planning.presets import find_device
from qembed.errors import QembedError, UsageError
from qembed.models import resolve_model


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))


def choice(
    device: str, model: str = "nomic-embed-code", longest: int | None = None, **limits: object
) -> Choice:
    facts = model_facts(resolve_model(model))
    return choose(facts, find_device(device), longest, Limits(**limits))  # type: ignore[arg-type]


def test_the_usual_length_without_a_corpus() -> None:
    assert choice("t4").longest_tokens == USUAL_LONGEST_TOKENS
    assert choice("t4", "minilm").longest_tokens == 256  # it reads no more


def test_a_model_that_does_not_fit_names_what_would() -> None:
    with pytest.raises(QembedError) as caught:
        choice("t4", precision="fp32").require()
    assert caught.value.message == "nomic-ai/nomic-embed-code does not fit Tesla T4 (15.8 GB)"
    assert "fp32: " in str(caught.value.where)
    assert "short for the weights alone" in str(caught.value.where)
    assert caught.value.remedy is not None
    assert caught.value.remedy.startswith("--precision ")
    assert "--model minilm" in caught.value.remedy


def test_where_nothing_would() -> None:
    small = replace(find_device("t4"), memory_bytes=2_000_000_000)
    with pytest.raises(QembedError) as caught:
        choose(model_facts(resolve_model("nomic-embed-code")), small).require()
    assert "a smaller model (--model minilm)" in str(caught.value.remedy)
    assert "nf4: " in str(caught.value.where)


def test_what_a_device_cannot_compute_is_a_wrong_option() -> None:
    with pytest.raises(UsageError, match=r"only emulated at compute capability 7\.5"):
        choice("t4", precision="bf16").require()


def test_options_that_ask_for_it() -> None:
    tight = choice("t4", longest=700).require()
    assert options_of(tight) == ["--precision", "fp16", "--memory-buffer", f"{tight.buffer_bytes / 1e9:.1f}"]
    shared = choice("t4x2", precision="fp16", shard=True).require()
    assert options_of(shared) == ["--precision", "fp16", "--shard"]


def test_a_folder_is_sized_by_the_precision_it_would_run_in(minilm: Path) -> None:
    """Not by its size on the disk: a copy in fp32 takes half of that in fp16."""
    facts = model_facts(resolve_model(str(minilm)))
    sizes = {
        each.precision: each.weights_bytes for each in choose(facts, find_device("t4")).decision.candidates
    }
    assert sizes["fp16"] * 2 == sizes["fp32"]
    assert sizes["nf4"] < sizes["fp16"]
