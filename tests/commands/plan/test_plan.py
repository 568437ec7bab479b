"""``plan``: corpus, model and device put together; nothing is loaded, nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qembed
from qembed.commands.plan.corpus import Counter, corpus_facts, token_counter
from qembed.commands.plan.limits import KAGGLE_DISK_BYTES, Disk, kaggle_of
from qembed.commands.plan.plan import PlanOptions, plan
from qembed.corpus import CorpusOptions
from qembed.engine.planning.capacity import Capacity
from qembed.engine.planning.capacity_file import CapacityKey, store_capacity
from qembed.engine.planning.facts import architecture_of, model_facts
from qembed.errors import DuplicateIds, InputNotFound, ModelUnreachable, UsageError
from qembed.models import load_tokenizer, resolve_model
from qembed.models.catalog import find_model
from qembed.progress import Progress

WriteChunks = Callable[..., Path]
MENU = "Home Docs Blog"
HOUR = 3600


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def eco(tmp_path: Path, write_chunks: WriteChunks) -> Path:
    pages = {
        "docs/a": [MENU, "Filtering by payload"],
        "docs/b": [MENU, "vector search " * 30],
        "wiki/a": [MENU, "Snapshots"],
    }
    return write_chunks(tmp_path / "eco", pages)


class TestPlan:
    def test_is_public(self) -> None:
        assert qembed.plan is plan
        assert qembed.PlanOptions is PlanOptions

    def test_each_unique_text_once(self, eco: Path, tiny: Path) -> None:
        planned = plan(eco, model=str(tiny), device="t4x2")
        counted = load_tokenizer(str(tiny)).count(
            [MENU, "Filtering by payload", "vector search " * 30, "Snapshots"]
        )
        assert (planned.corpus.chunks, planned.corpus.unique_texts) == (6, 4)
        assert planned.corpus.tokens.total == int(np.minimum(counted, 24).sum())
        assert planned.corpus.truncated_texts == 1
        assert not planned.corpus.estimated
        assert planned.corpus.tokens_range == (planned.corpus.tokens.total,) * 2

    def test_nothing_but_the_input_is_read_and_nothing_is_written(
        self, eco: Path, tiny: Path, tmp_path: Path
    ) -> None:
        bare = tmp_path / "bare"
        shutil.copytree(tiny, bare, ignore=shutil.ignore_patterns("*.safetensors"))
        before = sorted(tmp_path.rglob("*"))
        planned = plan(eco, model=str(bare), device="l4")
        assert planned.chosen is not None
        assert sorted(tmp_path.rglob("*")) == before
        assert "computed from config.json" in planned.notes[0]

    def test_the_default_model_without_hub_weights_or_gpu(self, eco: Path, write_chunks: WriteChunks) -> None:
        write_chunks(eco, {"docs/c": [f"vector search {number} " * 100 for number in range(30)]})
        planned = plan(eco, device="t4x2")
        assert planned.model.id == "nomic-ai/nomic-embed-code"
        assert planned.chosen is not None
        best = planned.chosen
        assert (best.precision, best.fit, best.workers, best.max_batch) == ("fp16", "tight", 2, 24)
        assert "left free" in planned.why
        assert planned.check == "qembed verify"
        assert planned.corpus.estimated
        assert planned.corpus.tokens_range[0] < planned.corpus.tokens.total < planned.corpus.tokens_range[1]
        assert not any("math kernel" in note for note in planned.notes)
        fp32 = plan(eco, device="a100", options=PlanOptions(precision="fp32"))
        assert any("math kernel" in note for note in fp32.notes)

    def test_seconds_are_those_of_everything(self, eco: Path) -> None:
        planned = plan(eco, device="t4x2")
        assert planned.chosen is not None
        assert planned.chosen.seconds is not None
        other = planned.other_seconds
        assert list(other) == ["download", "start-up", "loading", "tokenising", "writing"]
        assert other["download"] == pytest.approx((141.4, 1414), rel=1e-3)
        # The second worker reads what the first has just read from memory.
        assert other["loading"] == pytest.approx((28.28, 282.8 + 14.14), rel=1e-3)
        expected = [sum(each) for each in zip(planned.chosen.seconds, *other.values(), strict=True)]
        assert planned.seconds == pytest.approx(expected)

    def test_a_small_model_is_not_done_in_no_time(self, eco: Path) -> None:
        planned = plan(eco, model="minilm", device="t4x2")
        assert planned.other_seconds["download"] == (0, 0)  # it is here
        assert planned.seconds is not None
        assert planned.seconds[0] > 4

    def test_fp32_needs_no_check(self, eco: Path, tiny: Path) -> None:
        assert plan(eco, model=str(tiny), device="t4", options=PlanOptions(precision="fp32")).check == ""

    def test_what_does_not_fit(self, eco: Path) -> None:
        planned = plan(eco, device="t4", options=PlanOptions(precision="fp32"))
        assert (planned.chosen, planned.seconds, planned.check) == (None, None, "")
        assert planned.kaggle.hours == "unknown"

    def test_a_measured_capacity_is_used(self, eco: Path) -> None:
        model = "nomic-ai/nomic-embed-code"
        key = CapacityKey("Tesla T4", 1, model, "", "int8", "sdpa", "2.10", 32_768, False, 256)
        store_capacity(key, Capacity(8e9, 200e3, 0.0, 0.0, 1e-6, 0.0))
        chosen = plan(eco, device="t4").chosen
        assert chosen is not None
        assert (chosen.precision, chosen.measured, chosen.weights_bytes) == ("int8", True, 8_000_000_000)

    def test_rule_of_thumb(self, eco: Path) -> None:
        figures = PlanOptions(model_bytes=6.8e9, chunk_bytes=0.15e9)
        rule = plan(eco, device="t4", options=figures).rule
        assert rule is not None
        assert (rule.texts, rule.capped) == (46, 24)
        with pytest.raises(UsageError, match="belong together"):
            plan(eco, device="t4", options=PlanOptions(model_bytes=6.8e9))

    def test_options(self, eco: Path, tiny: Path) -> None:
        options = PlanOptions(
            max_length=8, truncate_dim=16, max_batch=2, token_budget=100, buffer_bytes=10**9
        )
        planned = plan(eco, model=str(tiny), device="t4", options=options)
        assert planned.corpus.max_tokens == planned.corpus.tokens.max == 8
        assert planned.disk.dimensions == 16
        assert planned.chosen is not None
        assert planned.chosen.batch_at_longest == planned.chosen.max_batch == 2
        assert planned.chosen.buffer_bytes == 10**9
        with pytest.raises(UsageError, match="--max-length 65"):
            plan(eco, model=str(tiny), device="t4", options=PlanOptions(max_length=65))

    @pytest.mark.parametrize(("model", "counts"), [("minilm", True), ("nomic-embed-code", False)])
    def test_int16_is_left_out_where_embed_leaves_it_out(self, eco: Path, model: str, counts: bool) -> None:
        planned = plan(eco, model=model, device="cpu")
        assert ("int16" in [each.precision for each in planned.candidates]) is counts
        asked = plan(eco, model=model, device="cpu", options=PlanOptions(precision="int16"))
        assert [each.precision for each in asked.candidates] == ["int16"]

    def test_what_stops_it(self, eco: Path, tmp_path: Path, write_chunks: WriteChunks) -> None:
        with pytest.raises(UsageError, match="no device preset"):
            plan(eco, model="minilm", device="t5")
        with pytest.raises(ModelUnreachable):
            plan(eco, model="nobody/no-such-model", device="t4")
        with pytest.raises(InputNotFound):
            plan(tmp_path / "nowhere", device="t4")
        with pytest.raises(InputNotFound):
            plan(write_chunks(tmp_path / "blank", {"docs/a": [" "]}), device="t4")
        item = {"text": "again", "metadata": {"filename": "a.md", "chunk_index": 0}}
        write_chunks(eco, {"docs/other": [item]})
        with pytest.raises(DuplicateIds):
            plan(eco, device="t4")


class TestEstimates:
    def test_from_characters_where_there_is_no_tokenizer_at_all(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unreachable(*_: Any, **__: Any) -> Any:
            raise ModelUnreachable("no hub")

        monkeypatch.setattr("qembed.commands.plan.corpus.load_tokenizer", unreachable)
        source = resolve_model("nomic-embed-code")
        large, small = token_counter(source, 152_064, ""), token_counter(source, 30_522, "")
        assert (large.source, large.estimated) == ("characters", True)
        text = ["x" * 390]
        assert large.count(text).tolist() == [102]
        assert small.count(text).tolist() == [130]
        assert token_counter(source, 152_064, "p" * 39).count(text).tolist() == [112]

    def test_from_the_bundled_tokenizer(self, minilm: Path) -> None:
        counter = token_counter(resolve_model("nomic-embed-code"), 152_064, "")
        texts = ["how do I filter by payload? " * 20]
        wordpieces = int(load_tokenizer("minilm").count(texts)[0])
        assert counter.estimated
        assert counter.count(texts).tolist() == [int(np.ceil(wordpieces * 0.78))]

    def test_the_longest_text_gets_a_margin(self, eco: Path) -> None:
        def count(texts: Any) -> Any:
            return np.asarray([len(text) for text in texts], dtype=np.int64)

        exact = corpus_facts(eco, CorpusOptions(), Counter(count, "c", False), Progress())
        rough = corpus_facts(eco, CorpusOptions(), Counter(count, "c", True), Progress())
        assert rough.lengths.max() == int(exact.lengths.max() * 1.25)
        assert sorted(rough.lengths)[:-1] == sorted(exact.lengths)[:-1]


class TestModelFacts:
    def test_a_folder_says_the_same_as_the_catalog(self, minilm: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(minilm, copy)
        card = find_model("minilm")
        assert card is not None
        facts = model_facts(resolve_model(str(copy)))
        assert facts.architecture == card.architecture
        assert facts.parameters == card.parameters
        assert facts.weight_bytes["fp32"] == card.weight_bytes.fp32
        assert (facts.dimensions, facts.max_tokens) == (card.dimensions, card.max_tokens)

    def test_without_weights_they_are_computed(self, minilm: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(minilm, copy, ignore=shutil.ignore_patterns("*.safetensors"))
        card = find_model("minilm")
        assert card is not None
        facts = model_facts(resolve_model(str(copy)))
        assert facts.parameters == pytest.approx(card.parameters, rel=0.02)

    def test_other_spellings(self) -> None:
        config = {"model_type": "nomic_bert", "n_layer": 12, "n_embd": 768, "n_head": 12, "n_inner": 3072}
        config |= {"vocab_size": 30_528, "n_positions": 8192, "activation_function": "swiglu"}
        card = find_model("CodeRankEmbed")
        assert card is not None
        assert architecture_of(config, where="config.json") == card.architecture

    def test_a_model_that_does_not_say_how_it_is_built(self, tiny: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(tiny, copy)
        for config in copy.rglob("config.json"):
            if "hidden_size" in (found := json.loads(config.read_text())):
                config.write_text(json.dumps({"vocab_size": found["vocab_size"], "model_type": "odd"}))
        facts = model_facts(resolve_model(str(copy)))
        assert "the memory of a batch is a guess" in facts.notes[-1]
        assert facts.weight_bytes["fp32"] > 0

    def test_a_figure_that_is_missing(self) -> None:
        with pytest.raises(UsageError, match="layers, heads"):
            architecture_of(
                {"hidden_size": 8, "vocab_size": 9, "max_position_embeddings": 4}, where="config.json"
            )

    def test_a_dense_layer_decides_the_dimension(self, tiny_models: Callable[[str], Path]) -> None:
        assert model_facts(resolve_model(str(tiny_models("dense")))).dimensions == 16


class TestDiskAndKaggle:
    def test_jsonl_is_about_what_embed_writes(self, eco: Path, tiny: Path, tmp_path: Path) -> None:
        planned = plan(eco, model=str(tiny), device="t4")
        written = json.dumps({"id": "", "text": "", "embedding": [0.1234567] * 32, "metadata": {}})
        texts = sum(
            len(json.dumps(item)) for file in eco.rglob("*.json") for item in json.loads(file.read_text())
        )
        least = texts + 6 * len(written.replace(" ", "")) // 2
        assert least < planned.disk.jsonl < 6 * 4000
        assert planned.disk.parquet < planned.disk.jsonl

    def test_768_dimensions_are_about_9_6_kb(self, eco: Path) -> None:
        with_vectors = plan(eco, device="t4", options=PlanOptions(truncate_dim=768)).disk.jsonl
        without = plan(eco, device="t4", options=PlanOptions(truncate_dim=1)).disk.jsonl
        assert (with_vectors - without) / 6 == pytest.approx(9600, rel=0.02)

    @pytest.mark.parametrize(
        ("seconds", "answer", "sessions"),
        [
            ((1.0, 12.0 * HOUR), "yes", 1),
            ((11.0 * HOUR, 12.1 * HOUR), "perhaps", 2),
            ((12.1 * HOUR, 30.0 * HOUR), "no", 3),
            (None, "unknown", 0),
        ],
    )
    def test_hours(self, seconds: tuple[float, float] | None, answer: str, sessions: int) -> None:
        kaggle = kaggle_of(seconds, Disk(8, 1, 1, 1, 1))
        assert (kaggle.hours, kaggle.sessions, kaggle.disk) == (answer, sessions, "yes")

    def test_disk(self) -> None:
        half = KAGGLE_DISK_BYTES // 2
        assert kaggle_of(None, Disk(8, half, 1, 1, half)).disk == "yes"
        assert kaggle_of(None, Disk(8, half, 1, 1, half + 1)).disk == "no"
