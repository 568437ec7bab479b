"""Rerankers on a CPU: a cross-encoder against plain ``CrossEncoder.predict(batch_size=32)``, and MaxSim.

The cross-encoder has the shape of ms-marco-MiniLM-L6-v2 (6 layers, 384 wide, 512 tokens, one label). It is
started from the bundled all-MiniLM-L6-v2 with a random head: speed and rounding are real, what it says of
relevance is not. Queries are last lines of some texts; candidates are drawn at random from the API
documentation of installed packages, or with ``--input`` from your chunks. All run in turn, round by round, in
one process; the best round counts.

    python benchmarks/rerank_cpu.py
    python benchmarks/rerank_cpu.py --input CHUNKS --queries 20 --depth 100 --threads 1
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch
from common import machine_line, markdown_table, sample, unique_texts
from scipy.stats import spearmanr

from qembed.commands.corpus.from_package import corpus_from_package
from qembed.evaluation.rerank.open import open_reranker
from qembed.evaluation.rerank.reranker import Reranked, Reranker
from qembed.models import EncoderOptions, resolve_model
from qembed.models.device import cpu_has_bf16

PLAIN = "CrossEncoder.predict, batch_size=32"
LABELS = {"fp32": "qembed, fp32", "auto": "qembed, auto", "maxsim": "maxsim:minilm, auto"}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--input", type=Path, help="a folder of chunks; made from installed packages if left out"
    )
    parser.add_argument("--queries", type=int, default=8)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory(prefix="qembed-bench-") as name:
        folder = Path(name)
        queries, texts, candidates = pairs_of(arguments, folder)
        model = cross_encoder(folder / "cross-encoder")
        compare(queries, texts, candidates, model, arguments.rounds)


def pairs_of(arguments: argparse.Namespace, folder: Path) -> tuple[list[str], list[str], list[np.ndarray]]:
    """Queries, texts, and for each query the positions of its candidates."""
    chunks = arguments.input or folder / "python_api"
    if arguments.input is None:
        corpus_from_package(("click", "rich", "qdrant_client"), chunks, model="minilm")
    texts = sample(unique_texts(chunks), 10 * arguments.depth)
    lines = (text.strip().splitlines()[-1].strip() for text in sample(texts, len(texts), seed=2))
    queries = [line for line in dict.fromkeys(lines) if 3 <= len(line.split()) <= 15][: arguments.queries]
    random = np.random.default_rng(0)
    return queries, texts, [random.permutation(len(texts))[: arguments.depth] for _ in queries]


def cross_encoder(folder: Path) -> str:
    """Folder of the cross-encoder with a random head."""
    from sentence_transformers import CrossEncoder

    torch.manual_seed(0)
    bundled = resolve_model("minilm").path
    model = CrossEncoder(str(bundled), num_labels=1, max_length=512, device="cpu")
    torch.nn.init.normal_(model[0].auto_model.classifier.weight, std=0.3)
    model.save_pretrained(str(folder), create_model_card=False)
    return str(folder)


def compare(
    queries: list[str], texts: list[str], candidates: list[np.ndarray], model: str, rounds: int
) -> None:
    """Measure all in turn."""
    from sentence_transformers import CrossEncoder

    plain = CrossEncoder(model, device="cpu", activation_fn=torch.nn.Identity())
    pairs = [(query, texts[place]) for query, some in zip(queries, candidates, strict=True) for place in some]
    rerankers = {
        "fp32": open_reranker(model, options=EncoderOptions(device="cpu", precision="fp32")),
        "auto": open_reranker(model, options=EncoderOptions(device="cpu")),
        "maxsim": open_reranker("maxsim:minilm", options=EncoderOptions(device="cpu")),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ("plain", *rerankers)}
    one: dict[str, list[float]] = {name: [] for name in ("plain", *rerankers)}
    found: dict[str, Reranked] = {}
    expected = np.empty(0)
    first = [texts[place] for place in candidates[0]]
    alone = [(queries[0], text) for text in first]
    for _ in range(rounds + 1):  # the first round warms up
        taken, expected = timed(lambda: plain.predict(pairs, batch_size=32, show_progress_bar=False))
        seconds["plain"].append(taken)
        for name, reranker in rerankers.items():
            taken, found[name] = timed(lambda one=reranker: one.rerank(queries, texts, candidates))
            seconds[name].append(taken)
        taken, _ = timed(lambda: plain.predict(alone, batch_size=32, show_progress_bar=False))
        one["plain"].append(taken[0])
        for name, reranker in rerankers.items():
            one[name].append(timed(lambda one=reranker: one.score_one(queries[0], first))[0][0])
    report(queries, candidates, expected, found, rerankers, seconds, one)


def timed(work: Callable[[], object]) -> tuple[tuple[float, float], object]:
    """Wall and CPU seconds of one call, and its result."""
    started, used = perf_counter(), process_time()
    result = work()
    return (perf_counter() - started, process_time() - used), result


def report(
    queries: Sequence[str],
    candidates: Sequence[np.ndarray],
    expected: np.ndarray,
    found: dict[str, Reranked],
    rerankers: dict[str, Reranker],
    seconds: dict[str, list[tuple[float, float]]],
    one: dict[str, list[float]],
) -> None:
    """Print markdown."""
    count, depth = len(expected), len(candidates[0])
    work = found["fp32"]
    print(
        f"### rerank_cpu: {len(queries)} queries x {depth} candidates, {count:,} pairs, "
        f"{work.tokens:,} tokens, {work.truncated_pairs} pairs cut\n"
    )
    libraries = ("torch", "transformers", "sentence-transformers")
    print(f"{machine_line(libraries)}, {torch.get_num_threads()} threads, {len(one['plain']) - 1} rounds\n")
    best = {
        name: (min(a for a, _ in taken[1:]), min(b for _, b in taken[1:])) for name, taken in seconds.items()
    }
    reference = [np.asarray(part, dtype=np.float64) for part in np.split(expected, len(queries))]
    rows = []
    for name in ("plain", "fp32", "auto", "maxsim"):
        wall, cpu = best[name]
        label = PLAIN if name == "plain" else f"{LABELS[name]} ({_what(rerankers[name])})"
        worst = rank = ""
        if name in ("fp32", "auto"):
            scores = found[name].scores
            worst = f"{max(np.abs(a - b).max() for a, b in zip(scores, reference, strict=True)):.6f}"
            ranks = [float(spearmanr(a, b).statistic) for a, b in zip(scores, reference, strict=True)]
            rank = f"{np.mean(ranks):.5f}, {min(ranks):.5f}"
        rows.append(
            (
                label,
                f"{count / wall:,.1f}",
                f"{best['plain'][0] / wall:.2f}x",
                f"{count / cpu:,.1f}",
                f"{best['plain'][1] / cpu:.2f}x",
                f"{1000 * float(np.median(one[name][1:])):,.0f}",
                worst,
                rank,
            )
        )
    header = ("", "pairs/s", "faster", "pairs/CPU s", "faster")
    print(
        markdown_table(
            (*header, f"ms a query of {depth}", "largest difference", "rank correlation, mean, least"), rows
        )
    )
    deviation = float(np.mean([part.std() for part in reference]))
    print(f"\nStandard deviation of a query's scores: {deviation:.3f}. bf16 in hardware: {cpu_has_bf16()}.")


def _what(reranker: Reranker) -> str:
    return f"{reranker.provenance['dtype']}, {reranker.provenance['kernels']}"


if __name__ == "__main__":
    main()
