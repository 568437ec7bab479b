"""Fifteen minutes on a GPU: does what was built on CPUs hold there? One command, the most telling step first.

    python benchmarks/gpu_check.py                     # on a GPU: the full-size model, made of random weights
    python benchmarks/gpu_check.py --tiny              # on a CPU: the same steps with a tiny model
    python benchmarks/gpu_check.py --steps modules,oom --out check/

Nothing is downloaded: nomic-embed-code is built from its published shape with random weights. Every step runs
in a process of its own with a time limit, so that one that hangs or loses the device costs only itself. The
results are in OUT/gpu_check.json, and a table of them is printed. Exit code 1 where a step failed or missed
its goal.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from common import cpu_line, machine_line, markdown_table

from qembed.engine import InlinePool, ProcessPool, Rows, RunPlan, WorkerSpec, encode_rows
from qembed.engine.planning.memory import forward_bytes
from qembed.engine.planning.presets import find_device
from qembed.models import Encoder, EncoderOptions, load_tokenizer, resolve_model
from qembed.models.catalog import Architecture, find_model
from qembed.models.rerank.cross_encoder import PairEncoder

T4_BYTES = 15_828_320_256
TINY = Architecture("qwen2", 2, 64, 4, 2, 16, 128, True, 300, 4096)
MINI = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
GOAL_PEAK_SHARE, GOAL_MINILM = 0.55, 2.0
LIMIT_SECONDS = {"build": 240, "modules": 120, "oom": 90, "assert": 120, "memory": 90, "kernels": 60}
OTHER_LIMIT_SECONDS = 120

Facts = dict[str, Any]


def on_gpu() -> bool:
    """Whether there is a GPU to check."""
    return torch.cuda.is_available()


def device() -> str:
    """Where the models run."""
    return "cuda:0" if on_gpu() else "cpu"


def shape(tiny: bool) -> Architecture:
    """Shape of the model that is built."""
    card = find_model("nomic-embed-code")
    assert card is not None
    return TINY if tiny else card.architecture


def tokenizer(folder: Path, size: int) -> None:
    """A tokenizer of bytes with as many words as the model has rows: no vocabulary is needed."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*("<pad>", "<unk>"), *pre_tokenizers.ByteLevel.alphabet(), *(f"w{n}" for n in range(size))][
        :size
    ]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", unk_token="<unk>")
    fast.model_max_length = 4096
    fast.save_pretrained(folder)


def build(work: Path, tiny: bool) -> Facts:
    """The model with random weights in half width, in the layout of sentence-transformers."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import Qwen2Config, Qwen2Model

    sizes = shape(tiny)
    raw, folder = work / "raw", work / "model"
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float16 if on_gpu() else torch.float32)
    config = Qwen2Config(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        intermediate_size=sizes.mlp,
        max_position_embeddings=sizes.positions,
    )
    with torch.device(device()):
        Qwen2Model(config).save_pretrained(raw)
    torch.set_default_dtype(torch.float32)
    tokenizer(raw, sizes.vocabulary)
    modules = [Transformer(str(raw), max_seq_length=2048), Pooling(sizes.hidden, pooling_mode="lasttoken")]
    SentenceTransformer(modules=[*modules, Normalize()], device="cpu").save_pretrained(
        str(folder), create_model_card=False
    )
    return {"weights_gb": round(sum(each.stat().st_size for each in folder.glob("*.safetensors")) / 1e9, 2)}


def load(work: Path, precision: str) -> Encoder:
    """The model that ``build`` has written."""
    return Encoder.load(
        resolve_model(str(work / "model")), EncoderOptions(device=device(), precision=precision)
    )


def precisions() -> list[str]:
    """What is compared; the first is the one that counts."""
    return ["fp16", "nf4", "int8"] if on_gpu() else ["fp32"]


def texts(count: int, tokens: int) -> list[str]:
    """Texts of so many tokens."""
    random = np.random.default_rng(0)
    return [" ".join(f"w{word}" for word in random.integers(0, 40, tokens)) for _ in range(count)]


def ids(count: int, tokens: int) -> list[np.ndarray]:
    """Token ids of a batch without padding."""
    return [np.random.default_rng(row).integers(2, 40, tokens).astype(np.int32) for row in range(count)]


def step_modules(work: Path, _tiny: bool) -> Facts:
    """Module types and pooling are the model's own in every precision; vectors are near those of fp16."""
    found: Facts = {}
    first = None
    for precision in precisions():
        encoder = load(work, precision)
        names = [type(module).__name__ for module in encoder._model]
        assert names == ["Transformer", "Pooling", "Normalize"], f"{precision}: {names}"
        assert encoder._model[1].pooling_mode == "lasttoken", precision
        vectors = encoder.encode(texts(8, 60))
        first = vectors if first is None else first
        found[f"cosine {precision}"] = round(float((vectors * first).sum(axis=1).min()), 5)
        del encoder
    return found


def run_all(work: Path, folder: str, load_model: Any, all_texts: list[str], **how: Any) -> Any:
    """All texts through the engine: (encoded, seconds)."""
    source = resolve_model(str(work / "model"))
    place = work / folder
    place.mkdir(exist_ok=True)
    workers, budget = how.get("workers", 0), how.get("budget", 4096)
    count = len(all_texts)
    specs = [WorkerSpec(device(), load_model, None, place, count) for _ in range(max(1, workers))]
    pool = ProcessPool(specs, note=print) if workers else InlinePool(specs[0])
    with closing(pool):
        info = pool.ready().info
        rows = Rows.create(place, count, info.dimension)
        lengths = np.zeros(count, dtype=np.int64)
        started = perf_counter()
        encoded = encode_rows(
            pool,
            rows,
            lambda start, end: all_texts[start:end],
            load_tokenizer(source),
            RunPlan(info.max_tokens, budget),
            place,
            lengths=lengths,
        )
        return encoded, perf_counter() - started


def step_oom(work: Path, tiny: bool) -> Facts:
    """A batch that does not fit a T4's memory is halved until it does; no text is lost."""
    if on_gpu():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, T4_BYTES / total))
    sizes = (32, 100) if tiny else (400, 1000)
    encoded, _ = run_all(work, "oom", partial(load, work, precisions()[0]), texts(*sizes), budget=1 << 20)
    assert not encoded.failures, encoded.failures[:1]
    assert encoded.texts == sizes[0]
    assert not on_gpu() or encoded.splits, "nothing was halved"
    return {"texts": encoded.texts, "splits": len(encoded.splits)}


class Asserting:
    """A model whose first batch with the text ``w39 w39`` asks the embedding for a row that is not there."""

    def __init__(self, work: Path) -> None:
        self.real = load(work, "fp16")
        self.info, self.reads_tokens = self.real.info, True

    def submit(self, batch: Any) -> Any:
        rows = [np.asarray(row).copy() for row in batch]
        for row in rows:
            if len(row) == 3:  # the marked text
                row[:] = 10**6
        return self.real.submit(rows)


def step_assert(work: Path, _tiny: bool) -> Facts:
    """A device-side assert costs a worker and one text, not the run."""
    if not on_gpu():
        return {"skipped": "needs a GPU"}
    wanted = [*texts(40, 60), "w1 w2 w3"]
    encoded, seconds = run_all(work, "assert", partial(Asserting, work), wanted, workers=1, budget=512)
    assert [failure.row for failure in encoded.failures] == [len(wanted) - 1], encoded.failures
    assert encoded.texts == len(wanted) - 1
    return {"lost texts": len(encoded.failures), "took": round(seconds, 1)}


def step_memory(work: Path, tiny: bool) -> Facts:
    """Bytes per padded token: formula against measured."""
    if not on_gpu():
        return {"skipped": "needs a GPU"}
    encoder, found = load(work, "fp16"), {}
    for tokens in (64,) if tiny else (256, 748, 2048):
        for padded in (True, False):
            batch = ids(4, tokens)
            if padded:
                batch[-1] = batch[-1][: tokens // 2]
            encoder.submit(batch).result()
            torch.cuda.empty_cache()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            encoder.submit(batch).result()
            measured = (torch.cuda.max_memory_allocated() - before) / (4 * tokens)
            kernel = "memory-efficient" if padded else "flash"
            formula = forward_bytes(shape(tiny), "fp16", tokens, kernel, masked=padded).per_token
            found[f"{tokens} {'padded' if padded else 'equal'}"] = round(measured / formula, 3)
    return found


def step_kernels(work: Path, _tiny: bool) -> Facts:
    """Attention kernels that torch took, with padding and without."""
    from torch.profiler import ProfilerActivity, profile

    encoder, found = load(work, precisions()[0]), {}
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu() else [])]
    for name, batch in (("padded", [*ids(2, 60), *ids(1, 20)]), ("equal", ids(3, 60))):
        with profile(activities=activities) as watched:
            encoder.submit(batch).result()
        taken = {event.key for event in watched.key_averages() if "scaled_dot_product" in event.key}
        found[name] = ", ".join(sorted(key.removeprefix("aten::") for key in taken)) or "none"
    return found


def rate(encoder: Encoder, tokens: int, budget: int, rounds: int = 3) -> float:
    """Tokens per second of full batches."""
    batch = ids(max(1, budget // tokens), tokens)
    encoder.submit(batch).result()
    started = perf_counter()
    for pending in [encoder.submit(batch) for _ in range(rounds)]:
        pending.result()
    return rounds * tokens * len(batch) / (perf_counter() - started)


def step_speed(work: Path, tiny: bool) -> Facts:
    """Tokens per second by precision, the peak of products, and the share of it that is reached."""
    dtype = torch.float16 if on_gpu() else torch.float32
    side = 8192 if on_gpu() else 512
    left = torch.randn(side, side, device=device(), dtype=dtype)
    for count in (3, 10):
        started = perf_counter()
        for _ in range(count):
            product = left @ left
        float(product[0, 0])
    peak = 10 * 2 * side**3 / (perf_counter() - started)
    found: Facts = {"peak_tflops": round(peak / 1e12, 2)}
    for precision in precisions():
        encoder = load(work, precision)
        per_second = rate(encoder, 64 if tiny else 748, 512 if tiny else 16_384)
        found[f"{precision} tokens/s"] = round(per_second)
        if precision == precisions()[0]:
            share = per_second * 2 * shape(tiny).linear_parameters / peak
            found["share of the peak"], found["goal"] = round(share, 3), share >= GOAL_PEAK_SHARE
        del encoder
    return found


def small_model(work: Path, kind: str) -> Path:
    """The shape of MiniLM with random weights: an embedder, or a cross-encoder of one label."""
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    folder = work / kind
    if not folder.exists():
        config = BertConfig(vocab_size=30_522, num_labels=1, **MINI)
        made = BertModel(config) if kind == "minilm" else BertForSequenceClassification(config)
        made.save_pretrained(folder)
        tokenizer(folder, 30_522)
    return folder


def step_minilm(work: Path, tiny: bool) -> Facts:
    """A small model through the engine against SentenceTransformer.encode at its best batch size."""
    from sentence_transformers import SentenceTransformer

    random = np.random.default_rng(1)
    count = 16 if tiny else 20_000
    wanted = [text for size in random.integers(20, 250, count) for text in texts(1, int(size))]
    folder, precision = small_model(work, "minilm"), precisions()[0]
    theirs = SentenceTransformer(
        str(folder), device=device(), model_kwargs={"dtype": torch.float16 if on_gpu() else None}
    )
    best = 0.0
    for size in (32,) if tiny else (32, 128, 512):
        theirs.encode(wanted[:size])
        started = perf_counter()
        theirs.encode(wanted, batch_size=size)
        best = max(best, count / (perf_counter() - started))
    options = EncoderOptions(device=device(), precision=precision, pooling="mean")
    ours_work = work / "small"
    ours_work.mkdir(exist_ok=True)
    if not (ours_work / "model").exists():
        (ours_work / "model").symlink_to(folder)
    loader = partial(Encoder.load, resolve_model(str(folder)), options)
    _, seconds = run_all(ours_work, "run", loader, wanted, budget=16_384 if on_gpu() else 2048)
    times = count / seconds / best
    return {
        "texts/s": round(count / seconds),
        "theirs": round(best),
        "times": round(times, 2),
        "goal": times >= GOAL_MINILM,
    }


def step_two_workers(work: Path, tiny: bool) -> Facts:
    """Two workers on one card against one."""
    wanted = texts(16 if tiny else 2000, 60)
    folder = small_model(work, "minilm")
    place = work / "pair"
    place.mkdir(exist_ok=True)
    if not (place / "model").exists():
        (place / "model").symlink_to(folder)
    options = EncoderOptions(device=device(), precision=precisions()[0], pooling="mean")
    loader = partial(Encoder.load, resolve_model(str(folder)), options)
    rates = [len(wanted) / run_all(place, f"{n}", loader, wanted, workers=n)[1] for n in (1, 2)]
    return {"one": round(rates[0]), "two": round(rates[1]), "times": round(rates[1] / rates[0], 2)}


def step_cross_encoder(work: Path, _tiny: bool) -> Facts:
    """Scores of a cross-encoder in fp16 against fp32."""
    source = resolve_model(str(small_model(work, "pairs")))
    wanted = [f"{left} {right}" for left, right in zip(texts(16, 10), texts(16, 80), strict=True)]
    from qembed.models.rerank.pairs import join_pair

    joined = [join_pair("w1 w2 w3", text) for text in wanted]
    scores = {}
    for precision in ("fp32", "fp16" if on_gpu() else "bf16"):
        model = PairEncoder.load(source, EncoderOptions(device=device(), precision=precision))
        scores[precision] = model.submit_texts(joined).result()[:, 0]
    (exact, other) = scores.values()
    return {"largest difference": round(float(np.abs(exact - other).max()), 5)}


STEPS: dict[str, Callable[[Path, bool], Facts]] = {
    "build": build,
    "modules": step_modules,
    "oom": step_oom,
    "assert": step_assert,
    "memory": step_memory,
    "kernels": step_kernels,
    "speed": step_speed,
    "minilm": step_minilm,
    "two-workers": step_two_workers,
    "cross-encoder": step_cross_encoder,
}


def run_step(name: str, work: Path, tiny: bool) -> Facts:
    """A step in a process of its own."""
    line = [sys.executable, __file__, "--one", name, "--out", str(work), *(["--tiny"] if tiny else [])]
    started = perf_counter()
    limit = LIMIT_SECONDS.get(name, OTHER_LIMIT_SECONDS)
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=limit, check=False)
        lines = done.stdout.splitlines()
        if done.returncode == 0:
            facts = json.loads(lines[-1])
        else:
            facts = {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    except subprocess.TimeoutExpired:
        facts = {"failed": f"no answer within {limit} s"}
    return {"step": name, "seconds": round(perf_counter() - started, 1), **facts}


def main() -> int:
    """Run the steps, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="A tiny model; for a CPU.")
    parser.add_argument("--steps", default=",".join(STEPS), help="Which, separated by commas.")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "gpu_check")), help="Folder.")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    if chosen.one:
        print(json.dumps(STEPS[chosen.one](chosen.out, chosen.tiny)))
        return 0
    where = find_device("auto").label if on_gpu() else cpu_line()
    found = [run_step(name, chosen.out, chosen.tiny) for name in chosen.steps.split(",")]
    machine = machine_line(("torch", "transformers", "sentence-transformers"), where)
    (chosen.out / "gpu_check.json").write_text(json.dumps({"machine": machine, "steps": found}, indent=2))
    rows = []
    for facts in found:
        rest = {name: value for name, value in facts.items() if name not in ("step", "seconds")}
        rows.append(
            [facts["step"], f"{facts['seconds']:.1f}", "; ".join(f"{k} {v}" for k, v in rest.items())]
        )
    print(machine, "\n")
    print(markdown_table(["step", "seconds", "result"], rows, left=(0, 2)))
    missed = not chosen.tiny and any(facts.get("goal") is False for facts in found)
    return int(missed or any("failed" in facts for facts in found))


if __name__ == "__main__":
    sys.exit(main())
