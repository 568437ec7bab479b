"""Memory and speed of what streams: walking a large corpus, auditing a large file of embeddings.

Each runs in a process of its own over synthetic data of the given size; reported are items per second and the
peak resident memory of that process, next to that of a process that has only imported the same code.

    python benchmarks/streaming.py                      # 1,000,000 chunks, 1 GB of embeddings
    python benchmarks/streaming.py --chunks 100000 --gigabytes 0.1
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
import orjson

import qembed
from qembed.models.device import device_name
from qembed.store import record_line

CHUNKS_A_FILE = 1000
DIMENSION = 384

MEASURE = """
import sys
from pathlib import Path
from time import perf_counter
{imports}
from qembed.engine import peak_memory_bytes
idle = peak_memory_bytes("cpu")["host_bytes"]
started = perf_counter()
items = {work}
print(items, perf_counter() - started, idle, peak_memory_bytes("cpu")["host_bytes"])
"""


def write_corpus(folder: Path, chunks: int, *, one_file: bool) -> None:
    """Chunks of about 1,000 characters: many files, or one list of all."""
    (folder / "docs").mkdir(parents=True)
    size = chunks if one_file else CHUNKS_A_FILE
    for start in range(0, chunks, size):
        with (folder / "docs" / f"page{start}_chunks.json").open("wb") as file:
            file.write(b"[")
            for index in range(size):
                text = f"chunk {start + index} " + "words of text " * 70
                item = {"content": text, "metadata": {"chunk_index": index}}
                file.write((b",\n" if index else b"") + orjson.dumps(item))
            file.write(b"]")


def write_embeddings(path: Path, size_bytes: float) -> None:
    """Records with random unit vectors and texts of about 1,000 characters."""
    random = np.random.default_rng(0)
    written, number = 0, 0
    with path.open("wb") as file:
        while written < size_bytes:
            vector = random.standard_normal(DIMENSION).astype(np.float32)
            vector /= np.linalg.norm(vector)
            text = f"chunk {number} " + "words of text " * 70
            written += file.write(record_line(f"c:docs:page:chunk:{number}", text, vector, {}))
            number += 1


def measure(imports: str, work: str, argument: Path) -> tuple[int, float, float, float]:
    """Items, seconds, idle MB and peak MB of a process that does ``work`` (an expression giving a count)."""
    code = MEASURE.format(imports=imports, work=work)
    command = [sys.executable, "-c", code, str(argument)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    items, seconds, idle, peak = done.stdout.split()
    return int(items), float(seconds), int(idle) / 1e6, int(peak) / 1e6


def main() -> None:
    """Make the data, measure, print markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    arguments = parser.parse_args()
    walk = ("from qembed.corpus import read_chunks", "sum(1 for _ in read_chunks(Path(sys.argv[1])))")
    survey = (
        "from qembed.commands.inspect.inspect import inspect",
        "inspect(Path(sys.argv[1]), groups_shown=0).total.chunks",
    )
    audit = ("from qembed.store.audit.report import audit", "audit(Path(sys.argv[1])).records")
    rows = []
    started = perf_counter()
    with tempfile.TemporaryDirectory(prefix="qembed-bench-") as name:
        for one_file in (False, True):
            folder = Path(name) / f"corpus{one_file:d}"
            write_corpus(folder, arguments.chunks, one_file=one_file)
            where = "one list" if one_file else f"files of {CHUNKS_A_FILE:,}"
            rows.append((f"read chunks, {where}", *measure(*walk, folder)))
            rows.append((f"inspect, {where}", *measure(*survey, folder)))
        embeddings = Path(name) / "bench_embeddings.jsonl"
        write_embeddings(embeddings, arguments.gigabytes * 1e9)
        rows.append((f"audit, {embeddings.stat().st_size / 1e9:.2f} GB", *measure(*audit, embeddings)))
    print(f"### streaming\n\n{datetime.now(UTC):%Y-%m-%d}, {device_name('cpu')}, ", end="")
    print(f"qembed {qembed.__version__}, Python {platform.python_version()}, ", end="")
    print(f"{perf_counter() - started:.0f} s in all\n")
    print("| | items | items/s | peak MB | idle MB |\n|---|---:|---:|---:|---:|")
    for what, items, seconds, idle, peak in rows:
        print(f"| {what} | {items:,} | {items / seconds:,.0f} | {peak:,.0f} | {idle:,.0f} |")


if __name__ == "__main__":
    main()
