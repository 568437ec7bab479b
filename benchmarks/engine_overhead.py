"""What the engine costs by itself: planning, the run around an encoder that costs nothing, writing, memory.

The encoder gives constant vectors and the tokenizer counts words, so what is left is reading, grouping,
batching, messages between processes, checksums and files. Each figure comes from a process of its own.

    python benchmarks/engine_overhead.py                       # a few minutes, 5,000,000 chunks at most
    python benchmarks/engine_overhead.py --chunks 100000 200000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import orjson
from common import machine_line, markdown_table

from qembed.commands.embed import embed as api_embed
from qembed.commands.embed import workers as embed_engine
from qembed.commands.embed.embed import EmbedOptions, embed
from qembed.engine import make_batches, peak_memory_bytes
from qembed.models import EncoderOptions
from qembed.models.info import EncoderInfo
from qembed.models.tokens import Tokenized
from qembed.store import Spool
from qembed.store.writing import open_writer

CHUNKS_A_FILE = 1000
WORDS = 8
DIMENSION = 8
RECORD_DIMENSION = 768


class Nothing:
    """An encoder that costs nothing: the same vector for every text."""

    reads_tokens = True
    info = EncoderInfo(
        name="nothing",
        id="nothing",
        revision=None,
        weights_sha256="",
        config_sha256="",
        dtype="fp32",
        device="cpu",
        device_name="nothing",
        dimension=DIMENSION,
        full_dimension=DIMENSION,
        max_tokens=256,
        normalized=True,
        query_prompt="",
        document_prompt="",
        attention="none",
    )

    def __init__(self) -> None:
        self._vectors = np.full((1 << 14, DIMENSION), DIMENSION**-0.5, dtype=np.float32)

    @classmethod
    def load(cls, *_: object) -> Nothing:
        return cls()

    def submit(self, ids: Sequence[Any]) -> Nothing:
        self._count = len(ids)
        return self

    def result(self) -> Any:
        return self._vectors[: self._count]


class Words:
    """A tokenizer that costs little: one token per word."""

    document_prompt = ""

    def encode(self, texts: Sequence[str], max_tokens: int) -> Tokenized:
        lengths = np.array([text.count(" ") + 1 for text in texts], dtype=np.int64)
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum(np.minimum(lengths, max_tokens), out=offsets[1:])
        return Tokenized(lengths, np.zeros(offsets[-1], dtype=np.int32), offsets)


def write_corpus(folder: Path, chunks: int) -> None:
    """Short chunks, all different."""
    (folder / "docs").mkdir(parents=True)
    for start in range(0, chunks, CHUNKS_A_FILE):
        items = [
            {"content": f"chunk {number} " + "word " * (number % WORDS), "metadata": {"chunk_index": index}}
            for index, number in enumerate(range(start, start + CHUNKS_A_FILE))
        ]
        (folder / "docs" / f"page{start}_chunks.json").write_bytes(orjson.dumps(items))


def run_embed(folder: Path) -> dict[str, float]:
    """The whole of ``embed`` around the encoder that costs nothing."""
    embed_engine.Encoder = Nothing  # type: ignore[assignment,misc]
    api_embed.load_tokenizer = lambda _: Words()  # type: ignore[assignment,return-value]
    with tempfile.TemporaryDirectory(prefix="qembed-bench-") as output:
        started = perf_counter()
        options = EmbedOptions("minilm", encoder=EncoderOptions(device="cpu", precision="fp32"))
        summary = embed(folder, Path(output), options).summary
    seconds = perf_counter() - started
    peak = peak_memory_bytes("cpu")["host_bytes"]
    phases = summary["phases_seconds"]
    return {"chunks": summary["total_chunks"], "seconds": seconds, "peak_mb": peak / 1e6, **phases}


def run_plan(chunks: int) -> dict[str, float]:
    """Batches for short chunks, window by window as the engine makes them."""
    lengths = np.random.default_rng(0).integers(3, 40, chunks)
    started = perf_counter()
    for start in range(0, chunks, 16_384):
        make_batches(lengths[start : start + 16_384], token_budget=2048)
    return {"chunks": chunks, "seconds": perf_counter() - started}


def run_write(folder: Path, records: int) -> dict[str, float]:
    """Records with metadata and text, from the spool to JSON lines."""
    from qembed.corpus import complete, read_chunks

    vectors = np.random.default_rng(0).standard_normal((1024, RECORD_DIMENSION)).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="qembed-bench-") as name:
        spool = Spool(Path(name))
        for chunk in read_chunks(folder):
            spool.append(chunk)
            if len(spool) == records:
                break
        started = perf_counter()
        writer = open_writer("jsonl", Path(name), "bench", dimension=RECORD_DIMENSION, records=records)
        for start in range(0, records, 256):
            chunks = [spool[number] for number in range(start, min(start + 256, records))]
            metadatas = [complete(chunk.metadata, {"token_count": 9}) for chunk in chunks]
            ids, texts = [chunk.id for chunk in chunks], [chunk.text for chunk in chunks]
            writer.add(ids, texts, vectors[: len(chunks)], metadatas)
        writer.close()
        seconds = perf_counter() - started
        spool.close()
    return {"records": records, "seconds": seconds}


def in_process(*arguments: object) -> dict[str, float]:
    """The figures that this script prints with ``--only``."""
    command = [sys.executable, __file__, "--only", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Make the corpora, measure, print markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, nargs="+", default=[500_000, 5_000_000])
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--only", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        kind, *rest = arguments.only
        if kind == "embed":
            print(json.dumps(run_embed(Path(rest[0]))))
        elif kind == "plan":
            print(json.dumps(run_plan(int(rest[0]))))
        else:
            print(json.dumps(run_write(Path(rest[0]), int(rest[1]))))
        return
    plan = in_process("plan", 1_000_000)
    rows = []
    with tempfile.TemporaryDirectory(prefix="qembed-bench-") as name:
        for chunks in arguments.chunks:
            folder = Path(name) / str(chunks)
            write_corpus(folder, chunks)
            found = in_process("embed", folder)
            micros = found["seconds"] / chunks * 1e6
            phases = [f"{found[phase] / chunks * 1e6:.1f}" for phase in ("read", "encode", "write")]
            rows.append(
                [
                    f"{chunks:,}",
                    f"{found['seconds']:.0f}",
                    f"{micros:.1f}",
                    *phases,
                    f"{found['peak_mb']:,.0f}",
                ]
            )
        written = in_process("write", Path(name) / str(arguments.chunks[0]), arguments.records)
    print(f"### engine_overhead\n\n{machine_line(('torch', 'numpy', 'orjson'))}\n")
    print(f"Planned: {plan['chunks'] / plan['seconds']:,.0f} short chunks/s. Written as JSON lines: ", end="")
    print(f"{written['records'] / written['seconds']:,.0f} records/s of {RECORD_DIMENSION} dimensions.\n")
    header = ["chunks", "seconds", "µs/chunk", "read", "encode", "write", "peak MB"]
    print(markdown_table(header, rows, left=()))


if __name__ == "__main__":
    main()
