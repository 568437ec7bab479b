"""`qembed upload` against `client.upload_points` with its best settings, and its memory for a million points.

python benchmarks/upload.py --embeddings out/     # speed
python benchmarks/upload.py --points 1000000      # memory of the whole command

Both send the same file to the same server on this machine, taking turns. The client's settings are the
fastest of a first round over batch sizes, once with one process and once with several. Its points are made
with as little as they need; those of qembed carry hashes too. No real server was at hand:
tests/qdrant_stub.py stands in, once keeping the points in the client's own engine, once keeping ids and
hashes only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import numpy as np
import psutil
from common import machine_line, markdown_table
from qdrant_client import QdrantClient, models

from qembed.corpus import point_id
from qembed.index.payload import point_of
from qembed.index.server.address import Address
from qembed.index.server.batches import Encoded, batches, encode
from qembed.index.server.client import connect
from qembed.index.server.retry import Patience
from qembed.index.server.send import Writer, send
from qembed.store import find_embeddings, open_writer, placed_records

STUB = Path(__file__).resolve().parent.parent / "tests" / "qdrant_stub.py"
COLLECTION = "benchmark"
BATCHES, PROCESSES = (64, 256, 1024), (1, 2, 4)


@contextmanager
def server(*arguments: str) -> Iterator[str]:
    """The URL of a stub in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, str(STUB), *arguments], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def empty(url: str, dimension: int) -> QdrantClient:
    """A client of a server whose collection is empty."""
    client = QdrantClient(url=url, check_compatibility=False, timeout=60)
    client.delete_collection(COLLECTION)
    params = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
    client.create_collection(COLLECTION, vectors_config=params)
    return client


@dataclass(frozen=True)
class Case:
    """One way to send a file: seconds for a server whose collection is empty."""

    name: str
    run: Callable[[str], object]


def with_qembed(path: Path, streams: int = 4) -> Case:
    """What ``qembed upload`` does between audit and checks."""
    found = find_embeddings(path)

    def points() -> Iterator[Encoded]:
        for number, (record, _) in enumerate(placed_records(found)):
            yield encode(number, point_of(record))

    def run(url: str) -> None:
        client = connect(Address.of(url, COLLECTION), patience=Patience())
        write = Writer(client, COLLECTION)
        send(batches(points()), write, lambda _: None, streams=streams, stop=threading.Event())

    return Case(f"qembed, {streams} streams", run)


def with_client(path: Path, size: int, processes: int) -> Case:
    """``client.upload_points``; waits for each batch, as qembed does."""
    found = find_embeddings(path)

    def points() -> Iterator[models.PointStruct]:
        for record, _ in placed_records(found):
            payload = {**record.metadata, "text": record.text, "chunk_id": record.id}
            yield models.PointStruct(
                id=point_id(str(record.id)), vector=record.vector.tolist(), payload=payload
            )

    def run(url: str) -> None:
        client = QdrantClient(url=url, check_compatibility=False, timeout=60)
        client.upload_points(COLLECTION, points(), batch_size=size, parallel=processes, wait=True)

    return Case(f"upload_points, batch {size}, {processes} process{'es' * (processes > 1)}", run)


def seconds(case: Case, url: str, dimension: int, records: int) -> float:
    """Seconds until the server has all points."""
    client = empty(url, dimension)
    started = perf_counter()
    case.run(url)
    taken = perf_counter() - started
    held = client.count(COLLECTION, exact=True).count
    assert held == records, f"{case.name}: {held} of {records}"
    return taken


def speed(path: Path, rounds: int) -> None:
    """The table of speeds, for a server that keeps points and for one that drops them."""
    records = [record for record, _ in placed_records(find_embeddings(path))]
    count, dimension = len(records), len(records[0].vector)
    del records
    print(f"{machine_line(['qdrant-client'])}, {count:,} points of {dimension} dimensions, {rounds} rounds\n")
    for label, arguments in (("keeps points", ()), ("counts points", ("--discard",))):
        with server(*arguments) as url:
            tried = [with_client(path, size, processes) for processes in PROCESSES for size in BATCHES]
            first = {case.name: seconds(case, url, dimension, count) for case in tried}
            alone, several = tried[: len(BATCHES)], tried[len(BATCHES) :]
            finalists = [min(group, key=lambda case: first[case.name]) for group in (alone, several)]
            cases = [*finalists, with_qembed(path, 2), with_qembed(path, 4)]
            taken: dict[str, list[float]] = {case.name: [] for case in cases}
            for _ in range(rounds):
                for case in cases:
                    taken[case.name].append(seconds(case, url, dimension, count))
        base = min(median(taken[case.name]) for case in finalists)
        rows = [
            [
                name,
                f"{median(each):.2f}",
                f"{min(each):.2f}",
                f"{max(each):.2f}",
                f"{count / median(each):,.0f}",
                f"{base / median(each):.0%}",
            ]
            for name, each in taken.items()
        ]
        heads = [f"a server that {label}", "seconds, median", "min", "max", "points/s", "speed"]
        print(markdown_table(heads, rows), flush=True)
        print(f"\nFirst round of the client: {', '.join(f'{n[15:]} {s:.2f} s' for n, s in first.items())}\n")


def million(path: Path, count: int, dimension: int = 8) -> None:
    """Write a file of random vectors."""
    rng = np.random.default_rng(0)
    with open_writer("jsonl", path, "million", dimension=dimension, records=count) as writer:
        for start in range(0, count, 10_000):
            numbers = range(start, min(count, start + 10_000))
            vectors = rng.normal(size=(len(numbers), dimension)).astype(np.float32)
            writer.add(
                [f"million:docs:page{number}.md:chunk:0" for number in numbers],
                [f"text {number}" for number in numbers],
                vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
                [{"collection": "million", "number": number} for number in numbers],
            )
        writer.close()


def memory(count: int) -> None:
    """Memory of the whole command, by how many points the server has."""
    with tempfile.TemporaryDirectory() as folder, server("--discard") as url:
        million(Path(folder), count)
        line = ["upload", folder, "--url", url, "--collection", COLLECTION, "--sample", "0", "--quiet"]
        code = "import sys; from qembed.cli import run; sys.exit(run(sys.argv[1:]))"
        started = perf_counter()
        process = subprocess.Popen([sys.executable, "-c", code, *line])
        client = QdrantClient(url=url, check_compatibility=False, timeout=60)
        seen: list[tuple[int, float]] = []
        own = psutil.Process(process.pid)
        while process.poll() is None:
            held = client.count(COLLECTION).count if client.collection_exists(COLLECTION) else 0
            seen.append((held, own.memory_info().rss / 1e6 if process.poll() is None else 0.0))
            sleep(0.5)
        assert process.returncode == 0
        assert client.count(COLLECTION).count == count
    print(f"{machine_line(['qdrant-client'])}, {count:,} points, {perf_counter() - started:.0f} s\n")
    rows = []
    for share in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0):
        reached = [rss for held, rss in seen if held >= share * count and rss]
        rows.append([f"{share:.0%}", f"{reached[0]:,.0f}" if reached else "-"])
    rows.append(["most", f"{max(rss for _, rss in seen):,.0f}"])
    print(markdown_table(["points on the server", "MB"], rows))


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embeddings", type=Path, help="Measure the speed with these.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, help="Measure the memory with so many points.")
    arguments = parser.parse_args()
    if arguments.embeddings:
        speed(arguments.embeddings, arguments.rounds)
    if arguments.points:
        memory(arguments.points)
    if not (arguments.embeddings or arguments.points):
        parser.error("name --embeddings, --points, or both")


if __name__ == "__main__":
    main()
