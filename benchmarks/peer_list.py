"""The peers that ``peers.py`` compares: which class, loaded how, with which settings to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ADAPTERS = Path(__file__).with_name("peer_adapters.py")
BATCH_SIZES = (1, 4, 8, 16, 32)


@dataclass(frozen=True)
class Peer:
    """One way to encode.

    Attributes:
        name: For ``--peers`` and the table.
        adapter: Class in ``adapters``.
        options: How it is loaded.
        settings: Tried on a slice of their own; the fastest is measured.
        environment: Folder below ``--setup`` with its virtual environment; this Python's own when empty.
        variables: Environment variables of its process.
        install: What to run when it is not installed.
        adapters: Python file of the class.
        by_hand: An engine driven by this benchmark's own code, where the others are what users pick.
    """

    name: str
    adapter: str
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Sequence[Mapping[str, Any]] = ({},)
    environment: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    install: str = ""
    adapters: Path = ADAPTERS
    by_hand: bool = False


def batches(sizes: Sequence[int] = BATCH_SIZES, **more: Any) -> list[dict[str, Any]]:
    """A setting for each batch size."""
    return [{**more, "batch_size": size} for size in sizes]


ST, ONE_THREAD = "SentenceTransformers", {"OMP_NUM_THREADS": "1"}
GRAPHS = ("model.onnx", "model_O2.onnx")
ONNX_SETTINGS = [setting for graph in GRAPHS for setting in batches((1, 8, 32), file=graph)]
# chunk_size None: sentence-transformers hands out at most a tenth of the texts a process at a time.
POOL_SETTINGS = [setting for chunk in (None, 32) for setting in batches((1, 8, 32), chunk_size=chunk)]
QEMBED_SETTINGS = [{"token_budget": b, "processes": p} for p in (1, 2) for b in (512, 2048, 4096)]
ST_INSTALL = "pip install sentence-transformers"
ONNX_INSTALL = "pip install sentence-transformers[onnx]"
OPENVINO_INSTALL = "pip install sentence-transformers[openvino]"
INFINITY_INSTALL = "pip install infinity-emb[torch,optimum]"

REFERENCE = Peer("reference", ST, {"slice_texts": 1}, install=ST_INSTALL)
"""fp32, one text at a time: no padding, no other text in the batch. Vectors are compared with these."""
LOOP = Peer("users' loop", ST, {"slice_texts": 24}, install=ST_INSTALL)
"""Slices of 24 texts as they come, default settings: what people write."""

PEERS = (
    LOOP,
    Peer("ST fp32", ST, {}, batches(), install=ST_INSTALL),
    Peer("ST bf16", ST, {"dtype": "bfloat16"}, batches(), install=ST_INSTALL),
    Peer("ST fp32 pool", ST, {"processes": 2}, POOL_SETTINGS, variables=ONE_THREAD, install=ST_INSTALL),
    Peer(
        "ST bf16 pool",
        ST,
        {"processes": 2, "dtype": "bfloat16"},
        POOL_SETTINGS,
        variables=ONE_THREAD,
        install=ST_INSTALL,
    ),
    Peer("ST ONNX fp32", ST, {"backend": "onnx"}, ONNX_SETTINGS, "onnx", install=ONNX_INSTALL),
    Peer(
        "ST ONNX int8",
        ST,
        {"backend": "onnx"},
        batches((1, 8, 32), file="model_qint8_avx512_vnni.onnx"),
        "onnx",
        install=ONNX_INSTALL,
    ),
    Peer("ST OpenVINO", ST, {"backend": "openvino"}, batches(), "openvino", install=OPENVINO_INSTALL),
    Peer(
        "ST OpenVINO fp32",
        ST,
        {"backend": "openvino", "ov_config": {"INFERENCE_PRECISION_HINT": "f32"}},
        batches(),
        "openvino",
        install=OPENVINO_INSTALL,
    ),
    Peer(
        "OpenVINO bf16",
        "OpenVino",
        {},
        batches(),
        "openvino",
        install="pip install openvino",
        by_hand=True,
    ),
    Peer(
        "OpenVINO fp32",
        "OpenVino",
        {"precision": "f32"},
        batches(),
        "openvino",
        install="pip install openvino",
        by_hand=True,
    ),
    Peer("fastembed", "FastEmbed", {}, ONNX_SETTINGS, "fastembed", install="pip install fastembed"),
    Peer("infinity fp32", "Infinity", {}, batches((4, 8, 32)), "infinity", install=INFINITY_INSTALL),
    Peer(
        "infinity bf16",
        "Infinity",
        {"dtype": "bfloat16"},
        batches((4, 8, 32)),
        "infinity",
        install=INFINITY_INSTALL,
    ),
    Peer(
        "infinity ONNX",
        "Infinity",
        {"engine": "optimum"},
        batches((4, 8, 32)),
        "infinity",
        install=INFINITY_INSTALL,
    ),
    Peer("qembed fp32", "Qembed", {"precision": "fp32"}, QEMBED_SETTINGS),
    Peer("qembed auto", "Qembed", {"precision": "auto"}, QEMBED_SETTINGS),
    Peer("qembed bf16", "Qembed", {"precision": "bf16"}, QEMBED_SETTINGS),
)
