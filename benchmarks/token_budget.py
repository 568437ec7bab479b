"""Does the size of batches matter on this device? The same texts under several token budgets, interleaved.

python benchmarks/token_budget.py                     # the API documentation of installed packages
python benchmarks/token_budget.py --input FOLDER --texts 400 --rounds 3
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from common import machine_line, markdown_table, sample, unique_texts

from qembed.commands.corpus.from_package import corpus_from_package
from qembed.engine.batching import clip, make_batches, padding_waste
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
        texts = sample(unique_texts(chunks), arguments.texts)
    encoder = Encoder.load(arguments.model, EncoderOptions(device=arguments.device, precision="fp32"))
    lengths = clip(encoder.count(texts), encoder.info.max_tokens)
    seconds: dict[int, list[float]] = {budget: [] for budget in BUDGETS}
    for _ in range(arguments.rounds + 1):  # the first round warms up
        for budget in BUDGETS:
            started = perf_counter()
            for batch in make_batches(lengths, token_budget=budget):
                encoder.encode([texts[position] for position in batch])
            seconds[budget].append(perf_counter() - started)
    print(f"### token_budget: {len(texts)} texts, {int(lengths.sum()):,} tokens, {arguments.model}, fp32\n")
    print(f"{machine_line(('torch',), encoder.info.device_name)}, {arguments.rounds} rounds\n")
    rows = []
    for budget in BUDGETS:
        rates = sorted(lengths.sum() / np.array(seconds[budget][1:]))
        waste = padding_waste(lengths, make_batches(lengths, token_budget=budget))
        figures = (np.median(rates), rates[0], rates[-1])
        rows.append((f"{budget:,}", *(f"{rate:,.0f}" for rate in figures), f"{waste:.1%}"))
    print(markdown_table(("budget", "tokens/s, median", "min", "max", "padding"), rows))


if __name__ == "__main__":
    main()
