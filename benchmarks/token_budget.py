"""Does the size of batches matter on this device? The same texts under several token budgets, interleaved.

python benchmarks/token_budget.py                     # the API documentation of installed packages
python benchmarks/token_budget.py --input FOLDER --texts 400 --rounds 3
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np

import qembed
from qembed.api.package_corpus import corpus_from_package
from qembed.corpus import read_chunks
from qembed.engine import clip, encode_batches, make_batches, padding_waste
from qembed.models import Encoder, EncoderOptions

BUDGETS = (512, 1024, 2048, 4096, 8192, 16384)


def main() -> None:
    """Choose texts at random, encode them under every budget in turn, print markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--input", type=Path, help="a folder of chunks; made from installed packages when left out"
    )
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qembed-bench-") as name:
        chunks = arguments.input or Path(name) / "python_api"
        if arguments.input is None:
            corpus_from_package(("click", "rich"), chunks, model=arguments.model)
        texts = sorted({chunk.text for chunk in read_chunks(chunks)})
    texts = list(np.random.default_rng(0).permutation(texts)[: arguments.texts])
    encoder = Encoder.load(arguments.model, EncoderOptions(device=arguments.device, precision="fp32"))
    lengths = clip(encoder.count(texts), encoder.info.max_tokens)
    seconds: dict[int, list[float]] = {budget: [] for budget in BUDGETS}
    for _ in range(arguments.rounds + 1):  # the first round warms up
        for budget in BUDGETS:
            started = perf_counter()
            batches = make_batches(lengths, token_budget=budget)
            for _done in encode_batches(encoder.encode, lambda b: [texts[i] for i in b], batches, lengths):
                pass
            seconds[budget].append(perf_counter() - started)
    print(f"### token_budget: {len(texts)} texts, {int(lengths.sum()):,} tokens, {arguments.model}, fp32\n")
    print(f"{datetime.now(UTC):%Y-%m-%d}, {encoder.info.device_name}, qembed {qembed.__version__}, ", end="")
    print(f"torch {version('torch')}, Python {platform.python_version()}, {arguments.rounds} rounds\n")
    print("| budget | tokens/s, median | min | max | padding |\n|---:|---:|---:|---:|---:|")
    for budget in BUDGETS:
        rates = sorted(lengths.sum() / np.array(seconds[budget][1:]))
        waste = padding_waste(lengths, make_batches(lengths, token_budget=budget))
        print(f"| {budget:,} | {np.median(rates):,.0f} | {rates[0]:,.0f} | {rates[-1]:,.0f} | {waste:.1%} |")


if __name__ == "__main__":
    main()
