"""How far precisions move the vectors of all-MiniLM-L6-v2: the thresholds of ``qembed verify`` rest on it.

The reference is fp32, one text at a time. int8 and nf4 are simulated: the weights of all linear layers are
rounded as these formats do (int8: the inputs of each layer as well), without the outliers that bitsandbytes
keeps in 16 bits. So these two are estimates, not measurements of bitsandbytes.

    python benchmarks/verify_precision.py                 # the API documentation of installed packages
    python benchmarks/verify_precision.py --input FOLDER  # your chunks
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine_line, markdown_table, sample, unique_texts
from sentence_transformers import SentenceTransformer

from qembed.commands.corpus.from_package import corpus_from_package
from qembed.models import Encoder, EncoderOptions, resolve_model
from qembed.models.cpu import kernels

PACKAGES = ("click", "rich")
# The 16 levels of NF4, from QLoRA (arXiv 2305.14314), appendix E.
_NF4_LOW = [-1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0]
_NF4_HIGH = [0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0]
NF4 = torch.tensor(_NF4_LOW + _NF4_HIGH)


def round_int8(weight: torch.Tensor) -> torch.Tensor:
    """Rows scaled to -127..127 and rounded."""
    scale = weight.abs().amax(-1, keepdim=True).clamp_min(1e-12) / 127
    return (weight / scale).round() * scale


def round_nf4(weight: torch.Tensor) -> torch.Tensor:
    """Blocks of 64, scaled by their largest, to the nearest of 16 levels."""
    blocks = weight.reshape(-1, 64)
    scale = blocks.abs().amax(1, keepdim=True).clamp_min(1e-12)
    nearest = (blocks.div(scale).unsqueeze(-1) - NF4).abs().argmin(-1)
    return (NF4[nearest] * scale).reshape(weight.shape)


def rounded(model: Any, how: Callable[[torch.Tensor], torch.Tensor], *, inputs: bool) -> Any:
    """A copy with rounded linear layers, and rounded inputs to them."""
    made = copy.deepcopy(model)
    for module in made.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = how(module.weight.data)
            if inputs:
                module.register_forward_pre_hook(lambda _, given: (how(given[0]),))
    return made


def main() -> None:
    """Parse the arguments, make a collection if none is given, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", type=Path, help="a folder of chunks")
    parser.add_argument("--texts", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qembed-bench-") as name:
        chunks = arguments.input
        if chunks is None:
            chunks = Path(name) / "python_api"
            corpus_from_package(PACKAGES, chunks, model="minilm")
        texts = sample(unique_texts(chunks), arguments.texts)
    model = SentenceTransformer(str(resolve_model("minilm").path), device="cpu", local_files_only=True)
    reference = np.concatenate([model.encode([text]) for text in texts]).astype(np.float64)
    others = {
        "fp32": model,
        "fp16": copy.deepcopy(model).to(torch.float16),
        "bf16": copy.deepcopy(model).to(torch.bfloat16),
        "int8, simulated": rounded(model, round_int8, inputs=True),
        "nf4, simulated": rounded(model, round_nf4, inputs=False),
    }
    found = {
        name: other.encode(texts, batch_size=32, convert_to_tensor=True).double().numpy()
        for name, other in others.items()
    }
    if not kernels.unavailable(sixteen=True):
        encoder = Encoder.load("minilm", EncoderOptions(device="cpu", precision="int16"))
        batches = [texts[start : start + 32] for start in range(0, len(texts), 32)]
        found["int16"] = np.concatenate([encoder.encode(batch) for batch in batches]).astype(np.float64)
    rows = []
    for precision, vectors in found.items():
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference, axis=1)
        cosines = (vectors * reference).sum(axis=1) / lengths
        figures = (cosines.mean(), np.percentile(cosines, 1), cosines.min())
        rows.append([precision, *(f"{figure:.6f}" for figure in figures)])
    print(f"### verify_precision: {chunks.name}, {len(texts)} texts\n\n{machine_line(('torch',))}\n")
    print(markdown_table(["precision", "mean", "1st percentile", "least"], rows))


if __name__ == "__main__":
    main()
