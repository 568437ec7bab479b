"""Every kind of model gives the vectors of sentence-transformers itself, in every role, precision and kernel.

The table of kinds is ``kinds.KINDS``; docs/models.md shows it with the versions that it was run with.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models.conformance.kinds import KINDS, build

from qembed.models import Encoder, EncoderOptions, load_tokenizer, resolve_model
from qembed.models.cpu import kernels
from qembed.models.device import cpu_has_bf16
from qembed.models.probe import check_probe

pytestmark = pytest.mark.filterwarnings("ignore")  # what libraries say of small and odd models

TEXTS = [
    "vector search",
    "filter the chunk by a point and index it: passage, query, model text!",
    "a",
    "0 1 2 3 4 5 6 7 8 9 text model chunk filter point search vector index query passage again and again",
    "index",
]
LEAST = {"fp32": 0.99999, "int16": 0.9999, "bf16": 0.97, "fp16": 0.999}
"""Cosine of the worst text. These networks are made to spread vectors, so they round worse than real ones."""

PLAIN = EncoderOptions(device="cpu", precision="fp32", kernels="plain")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(scope="module")
def library() -> dict[str, Any]:
    """What sentence-transformers gives, by kind and role."""
    return {}


def made(base: Path, name: str) -> Path:
    return base / name if (base / name).exists() else build(base, name)


def of_library(library: dict[str, Any], folder: Path, name: str) -> dict[str, np.ndarray]:
    if name not in library:
        from sentence_transformers import SentenceTransformer

        from qembed.models.fitting import set_pad_token

        model = SentenceTransformer(str(folder), device="cpu")
        set_pad_token(model, name)
        if KINDS[name].max_length:
            model.max_seq_length = KINDS[name].max_length
        library[name] = {
            "document": model.encode_document(TEXTS),
            "query": model.encode_query(TEXTS),
        }
    found: dict[str, np.ndarray] = library[name]
    return found


def least_cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # A text without a known word has no direction, in either.
    both = (np.linalg.norm(a, axis=1) == 0) & (np.linalg.norm(b, axis=1) == 0)
    return float(np.where(both, 1.0, (a * b).sum(1) / np.where(lengths == 0, 1, lengths)).min())


def check(encoder: Encoder, expected: dict[str, np.ndarray], least: float) -> None:
    for role in ("document", "query"):
        vectors = encoder.encode(TEXTS, role)  # type: ignore[arg-type]
        assert vectors.shape == expected[role].shape
        if encoder.info.dtype == "fp16":  # what overflows is computed again in fp32 by the engine
            vectors = np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, expected[role])
            assert least_cosine(vectors, expected[role]) >= least, role
            continue
        assert least_cosine(vectors, expected[role]) >= least, role
        if not encoder.info.normalized:
            lengths = [np.linalg.norm(one, axis=1) for one in (vectors, expected[role])]
            assert np.allclose(*lengths, rtol=1 - least + 1e-4), role
        one_by_one = np.concatenate([encoder.encode([text], role) for text in TEXTS])  # type: ignore[arg-type]
        assert least_cosine(one_by_one, expected[role]) >= least, f"{role}, without padding"


@pytest.mark.parametrize("kernels", ["plain", "auto"])
@pytest.mark.parametrize("name", KINDS)
def test_fp32(base: Path, library: dict[str, Any], name: str, kernels: Any) -> None:
    folder = made(base, name)
    options = replace(PLAIN, kernels=kernels, max_length=KINDS[name].max_length)
    encoder = Encoder.load(str(folder), options)
    check(encoder, of_library(library, folder, name), LEAST["fp32"])
    if encoder.reads_tokens:
        source = resolve_model(str(folder))
        tokens = load_tokenizer(source, max_tokens=options.max_length).encode(TEXTS)
        by_tokens = encoder.submit([tokens[i] for i in range(len(TEXTS))]).result()
        assert least_cosine(by_tokens, library[name]["document"]) >= LEAST["fp32"]


@pytest.mark.parametrize("precision", ["int16", "bf16", "fp16"])
@pytest.mark.parametrize("name", KINDS)
def test_other_precisions(base: Path, library: dict[str, Any], name: str, precision: Any) -> None:
    if precision == "int16" and kernels.unavailable(sixteen=True):
        pytest.skip("int16 does not run here")
    if precision == "bf16" and not cpu_has_bf16():
        pytest.skip("bf16 is emulated here")
    folder = made(base, name)
    kind = KINDS[name]
    if precision == "int16":  # asked for, it is refused where it does not suit; auto falls back to fp32
        precision = "auto"
    options = replace(PLAIN, kernels="auto", precision=precision, max_length=kind.max_length)
    encoder = Encoder.load(str(folder), options)
    check(encoder, of_library(library, folder, name), LEAST[encoder.info.dtype])


def test_the_same_in_another_process(base: Path) -> None:
    options = replace(PLAIN, kernels="auto")
    mine: dict[str, Any] = {}
    for name, kind in KINDS.items():
        try:
            folder = made(base, name)
        except pytest.skip.Exception:
            continue
        mine[name] = Encoder.load(str(folder), replace(options, max_length=kind.max_length)).info
    script = (
        "import json, sys\nfrom qembed.models import Encoder, EncoderOptions\n"
        "for name, length in json.loads(sys.argv[1]).items():\n"
        "    options = EncoderOptions(device='cpu', precision='fp32', max_length=length)\n"
        "    print(json.dumps([name, Encoder.load(name, options).info.probe]))\n"
    )
    asked = json.dumps({str(base / name): KINDS[name].max_length for name in mine})
    done = subprocess.run([sys.executable, "-c", script, asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = dict(map(json.loads, done.stdout.splitlines()))
    assert len(lines) == len(mine)
    for folder_name, probe in lines.items():
        check_probe(probe, "fp32", mine[Path(folder_name).name], what="another process")
