"""The CPU kernels (``models.cpu.accelerate``) against torch's own, by share of what the CPU multiplies.

Interleaved rounds in one process; the best round counts. A batch is as many texts of one length as give 2,048
tokens. The peak is a product of 2,048 x 2,048 matrices in the same round, by oneDNN (int16: by the kernels);
"share" is the linear layers' arithmetic alone (attention, activations and norms come on top) over that peak.
Fidelity is the cosine to plain fp32 over texts of the API documentation of installed packages, or of your
chunks.

    python benchmarks/cpu_kernels.py
    python benchmarks/cpu_kernels.py --threads 1 --input FOLDER --model minilm
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

import qembed
from qembed.commands.corpus.from_package import corpus_from_package
from qembed.corpus import CorpusOptions, read_chunks
from qembed.models import Encoder, EncoderOptions
from qembed.models.cpu import kernels
from qembed.models.device import cpu_has_bf16

PACKAGES = ("click", "rich", "qdrant_client")
BATCH_TOKENS = 2048
PEAK_SIZE = 2048


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--input", type=Path, help="A folder of chunks; by default installed packages' docs.")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--lengths", type=int, nargs="+", default=[32, 128, 256])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument(
        "--texts", type=int, default=200, help="Number of texts that the cosines are taken over."
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    ways = [("fp32", "plain"), ("fp32", "auto")]
    ways += [] if kernels.unavailable(sixteen=True) else [("int16", "auto")]
    ways += [("bf16", "plain"), ("bf16", "auto")] if cpu_has_bf16() else []
    encoders = {
        (precision, which): Encoder.load(
            arguments.model, EncoderOptions(device="cpu", precision=precision, kernels=which)
        )
        for precision, which in ways
    }
    info = encoders["fp32", "plain"].info
    operations = 2 * linear_parameters(encoders["fp32", "plain"])
    print(f"{datetime.now(UTC):%Y-%m-%d}, {info.device_name}, {arguments.threads} threads, {info.id}")
    print(
        f"qembed {qembed.__version__}, " + ", ".join(f"{p} {version(p)}" for p in ("torch", "transformers"))
    )
    print(f"\n{'tokens':>6}  {'kernels':<18}{'tokens/s':>10}{'share':>8}{'peak':>14}")
    for length in arguments.lengths:
        measure(encoders, length, arguments.rounds, operations)
    print(f"\n{'cosine to plain fp32':<26}{'mean':>10}{'least':>10}")
    texts = texts_of(arguments.input, arguments.texts)
    expected = encode(encoders["fp32", "plain"], texts)
    for (precision, _), encoder in encoders.items():
        cosines = (encode(encoder, texts) * expected).sum(axis=1)
        print(f"{precision:<6}{encoder.info.kernels:<20}{cosines.mean():>10.6f}{cosines.min():>10.6f}")


def linear_parameters(encoder: Encoder) -> int:
    """Weights of the linear layers that every token goes through."""
    modules = encoder._model[0].named_modules()
    return sum(
        module.weight.numel()
        for name, module in modules
        if isinstance(module, torch.nn.Linear) and "pooler" not in name
    )


def measure(encoders: dict[tuple[str, str], Encoder], length: int, rounds: int, operations: int) -> None:
    """Best tokens per second of each encoder, and the peak of its precision, in the same rounds."""
    random = np.random.default_rng(1)
    ids = list(random.integers(1000, 20000, (max(1, BATCH_TOKENS // length), length), dtype=np.int32))
    square = torch.randn(PEAK_SIZE, PEAK_SIZE)
    halved = square.bfloat16()
    # torch multiplies fp32 by MKL, which is not the fastest on every CPU; the packed product is.
    packed = torch.ops.mkldnn._reorder_linear_weight(square, PEAK_SIZE)
    compiled = kernels.PackedWeight(square, None, sixteen=True) if ("int16", "auto") in encoders else None
    peaks: dict[str, Callable[[], object]] = {
        "fp32": lambda: torch.ops.mkldnn._linear_pointwise(square, packed, None, "none", [], None),
        "bf16": lambda: halved @ halved,
        "int16": lambda: compiled and compiled.linear(square),
    }
    best: dict[tuple[str, str], float] = {}
    for _ in range(rounds):
        for (precision, which), encoder in encoders.items():
            keep(best, (precision, which), seconds(lambda encoder=encoder: encoder.submit(ids).result()))
            with torch.inference_mode():
                keep(best, (precision, "peak"), seconds(peaks[precision]))
    tokens = sum(map(len, ids))
    for (precision, which), encoder in encoders.items():
        peak = 2 * PEAK_SIZE**3 / best[precision, "peak"]
        rate = tokens / best[precision, which]
        label = f"{precision} {encoder.info.kernels}"
        share = rate * operations / peak
        print(f"{length:>6}  {label:<18}{rate:>10,.0f}{share:>8.0%}{peak / 1e9:>8,.0f} GFLOP/s")


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = perf_counter()
    work()
    return perf_counter() - started


def keep(best: dict[tuple[str, str], float], key: tuple[str, str], value: float) -> None:
    """Keep the least."""
    best[key] = min(best.get(key, value), value)


def encode(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    """Vectors of all texts, eight at a time."""
    return np.concatenate([encoder.encode(texts[start : start + 8]) for start in range(0, len(texts), 8)])


def texts_of(folder: Path | None, count: int) -> list[str]:
    """Every n-th text, so that all of the corpus is seen."""
    if folder is None:
        with tempfile.TemporaryDirectory() as place:
            corpus_from_package(PACKAGES, Path(place) / "chunks")
            return texts_of(Path(place) / "chunks", count)
    texts = [chunk.text for chunk in read_chunks(folder, CorpusOptions())]
    return texts[:: max(1, len(texts) // count)][:count]


if __name__ == "__main__":
    main()
