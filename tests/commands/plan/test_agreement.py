"""One decision: plan, embed, models show and kaggle check cannot disagree, and what plan prints starts.

The grid is devices x models x precisions x free memory. The GPUs are pretended; everything else is real: the
models' figures, the corpus, the options of the command lines. Only loading a model is left out.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from qembed.commands.embed.embed import embed
from qembed.commands.kaggle import check as kaggle_check
from qembed.commands.models.view import verdict
from qembed.commands.plan.cli import command_line
from qembed.commands.plan.plan import PlanOptions, plan
from qembed.engine.planning import presets
from qembed.engine.planning.candidates import Limits
from qembed.engine.planning.choice import choose
from qembed.engine.planning.facts import model_facts
from qembed.engine.planning.gpus import Gpu
from qembed.engine.planning.presets import find_device, load_presets
from qembed.errors import QembedError
from qembed.models import resolve_model

Run = Callable[..., Any]
WriteChunks = Callable[..., Path]
GB = 1_000_000_000
CARDS = [name for name, preset in load_presets().items() if preset.capability]
COUNTS = (1, 2)
MODELS = ("minilm", "nomic-embed-code", "CodeRankEmbed", "Qwen3-Embedding-0.6B")
PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int8", "nf4")
FREE = (1.0, 0.93, 0.6, 0.3)


class Started(Exception):
    """``embed`` has come as far as opening its workers."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Gpu]]:
    """Pretend that there are ``count`` cards of a preset, with a share of their memory free."""

    def gpus(name: str, count: int, free: float) -> list[Gpu]:
        card = load_presets()[name]
        assert card.capability is not None
        found = [
            Gpu(index, card.reported, card.memory_bytes, card.capability, int(free * card.memory_bytes))
            for index in range(count)
        ]
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("torch.cuda.device_count", lambda: count)
        monkeypatch.setattr(presets, "find_gpus", lambda: found)
        monkeypatch.setattr(kaggle_check, "find_gpus", lambda: found)
        return found

    return gpus


@pytest.fixture
def chunks(tmp_path: Path, write_chunks: WriteChunks) -> Path:
    texts = [f"vector search {number} " * (10 * number + 1) for number in range(20)]
    return write_chunks(tmp_path / "eco", {"docs/a": texts})


@pytest.mark.parametrize("card", CARDS)
def test_the_same_decision_from_every_side(card: str, gpus: Callable[..., list[Gpu]]) -> None:
    """What plan makes of a preset, embed of the cards that are here, and the options that plan prints."""
    decided = 0
    for count, model, precision, free in product(COUNTS, MODELS, PRECISIONS, FREE):
        here = gpus(card, count, free)
        facts = model_facts(resolve_model(model))
        planned_for = replace(find_device(card), count=count, memory_bytes=here[0].usable_bytes)
        wishes = Limits(precision=precision)
        planned = choose(facts, planned_for, 700, wishes).decision
        embedded = choose(facts, presets.device_here([f"cuda:{n}" for n in range(count)]), 700, wishes)
        assert embedded.decision == planned
        checked = kaggle_check.choose_in(session(here), facts, "auto")
        assert checked is not None
        if precision == "auto":
            at_usual_length = choose(facts, planned_for, None)
            assert checked.decision == at_usual_length.decision
        if precision != "auto" and count == 1:
            shown = verdict(choose(facts, planned_for, 700, wishes))
            assert shown.startswith("fits") == (planned.chosen is not None)
        if planned.chosen is None:
            with pytest.raises(QembedError):
                embedded.require()
            continue
        decided += 1
        best = planned.chosen
        buffer = best.buffer_bytes if best.fit == "tight" else None
        again = choose(
            facts,
            planned_for,
            700,
            Limits(buffer, best.max_batch, best.budget_tokens, best.precision, best.sharded),
        ).require()
        assert (again.precision, again.workers, again.sharded) == (best.precision, best.workers, best.sharded)
        assert (again.budget_tokens, again.buffer_bytes) == (best.budget_tokens, best.buffer_bytes)
    assert decided > 20


def session(gpus: list[Gpu]) -> kaggle_check.Session:
    return kaggle_check.Session(True, tuple(gpus), True, 20 * GB, None, (), {})


@pytest.mark.parametrize(
    ("card", "count", "free"),
    [
        ("t4", 1, 1.0),
        ("t4", 2, 1.0),
        ("t4", 2, 0.95),
        ("t4", 2, 0.5),
        ("p100", 1, 1.0),
        ("l4", 2, 0.93),
        ("h100", 1, 1.0),
    ],
)
@pytest.mark.parametrize("precision", ["auto", "fp16", "nf4"])
def test_a_command_that_plan_prints_starts(
    card: str,
    count: int,
    free: float,
    precision: str,
    gpus: Callable[..., list[Gpu]],
    chunks: Path,
    run_cli: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny: Path,
) -> None:
    """Through the command lines, with a model in a folder whose size on the disk says nothing."""
    gpus(card, count, free)
    folder = large_model(tiny, tmp_path / "large")
    options = PlanOptions(precision=precision)
    planned = plan(chunks, model=str(folder), device="auto", options=options)
    line = command_line(planned, chunks, str(folder), options)
    seen: list[Any] = []

    def open_workers(staff: Any) -> None:
        seen.append(staff.choice.require())
        raise Started("the workers would start now")

    monkeypatch.setattr("qembed.commands.embed.embed.open_workers", open_workers)
    if not line:
        with pytest.raises(QembedError, match="does not fit"):
            embed(chunks, tmp_path / "out", embed_options(folder, precision))
        return
    line[line.index("out/")] = str(tmp_path / "out")
    assert "the workers would start now" in run_cli(line[1:]).err
    with pytest.raises(Started):
        embed(chunks, tmp_path / "other", embed_options(folder, precision))
    assert planned.chosen is not None
    assert len(seen) == 2
    for started in seen:
        assert (started.precision, started.workers, started.sharded, started.buffer_bytes) == (
            planned.chosen.precision,
            planned.chosen.workers,
            planned.chosen.sharded,
            planned.chosen.buffer_bytes,
        )
    dry = json.loads(run_cli([*line[1:], "--dry-run", "--json"]).out)["summary"]
    assert (dry["model"]["dtype"], dry["workers"]) == (planned.chosen.precision, planned.chosen.workers)
    assert shlex.join(line)


def embed_options(folder: Path, precision: Any) -> Any:
    from qembed import EmbedOptions
    from qembed.models import EncoderOptions

    return EmbedOptions(model=str(folder), encoder=EncoderOptions(precision=precision))


def large_model(tiny: Path, folder: Path) -> Path:
    """A folder that says it is a model of 7 billion weights, without them: only planning looks at it."""
    import shutil

    shutil.copytree(tiny, folder)
    card = find_card("nomic-embed-code").architecture
    (config,) = (path for path in folder.rglob("config.json") if "hidden_size" in path.read_text())
    found = json.loads(config.read_text())
    found |= {
        "num_hidden_layers": card.layers,
        "hidden_size": card.hidden,
        "intermediate_size": card.mlp,
        "num_attention_heads": card.heads,
        "num_key_value_heads": card.kv_heads,
        "head_dim": card.head_dim,
        "hidden_act": "silu",
        "vocab_size": card.vocabulary,
    }
    config.write_text(json.dumps(found))
    return folder


def find_card(name: str) -> Any:
    from qembed.models.catalog import find_model

    return find_model(name)
