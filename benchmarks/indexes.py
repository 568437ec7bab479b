"""Indexes against each other: time to fill, time of a query alone and in a batch, same ids, ANN recall.

python benchmarks/indexes.py                              # 5,000 clustered and 50,000 random vectors of 384
python benchmarks/indexes.py --points 5000 --no-hnsw      # only the clustered ones, no graph built
python benchmarks/indexes.py --embeddings out/            # vectors of a file; every tenth one asks

All systems take turns, round by round, over the same vectors. Plain torch is ``topk(Q @ X.T)`` and returns
tensors; the indexes return hits with id, score and payload.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from common import machine_line, markdown_table

from qembed.index import EdgeIndex, EdgeOptions, ExactIndex, Index, Point, ann_recall, make_index
from qembed.store import BadLine, find_embeddings, read_records

DIMENSION = 384
SLOW_QUERIES = 20  # in-memory Qdrant needs 0.1 s for each at 50,000 points
BUILT = {
    "edge, HNSW": EdgeOptions(),
    "edge, HNSW, scalar": EdgeOptions(quantization="scalar"),
    "edge, HNSW, binary, oversampling 3": EdgeOptions(quantization="binary", oversampling=3.0),
}


def clustered(random: np.random.Generator, count: int) -> np.ndarray:
    """Like text embeddings: topics of many sizes in some thirty directions, and noise in all."""
    topics = random.normal(size=(200, 30))
    sizes = random.dirichlet(np.full(200, 0.5))
    inner = topics[random.choice(200, size=count, p=sizes)] + 0.6 * random.normal(size=(count, 30))
    spread = np.random.default_rng(0).normal(size=(30, DIMENSION)) / np.sqrt(30)
    return unit(inner @ spread + 0.3 * random.normal(size=(count, DIMENSION)))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@dataclass
class System:
    """Something that answers ``queries`` at once."""

    name: str
    build_seconds: float
    batch: Callable[[np.ndarray], object]
    single: Callable[[np.ndarray], object]
    queries: int
    index: Index | None = None


def fill(index: Index, vectors: np.ndarray) -> float:
    """Seconds until the first answer."""
    started = perf_counter()
    index.add(Point(f"c:{n:06d}", row, {"subdirectory": "docs", "n": n}) for n, row in enumerate(vectors))
    index.search(vectors[0], depth=1)
    return perf_counter() - started


def systems(vectors: np.ndarray, queries: int, depth: int) -> Iterator[System]:
    """Plain torch, then every index, filled."""
    matrix = torch.from_numpy(vectors)

    def plain(asked: np.ndarray) -> torch.Tensor:
        return torch.topk(torch.from_numpy(asked) @ matrix.T, depth, dim=1)[1]

    yield System("plain torch", 0.0, plain, lambda query: plain(query[None]), queries)
    for kind in ("exact", "edge", "memory"):
        index = make_index(kind, vectors.shape[1])
        yield System(
            name=kind,
            build_seconds=fill(index, vectors),
            batch=lambda asked, index=index: index.search_many(asked, depth=depth),
            single=lambda query, index=index: index.search(query, depth=depth),
            queries=queries if kind != "memory" else min(queries, SLOW_QUERIES),
            index=index,
        )


def milliseconds(work: Callable[[], object], count: int) -> float:
    """Milliseconds of one of ``count`` queries."""
    started = perf_counter()
    work()
    return (perf_counter() - started) * 1000 / count


def compare(vectors: np.ndarray, queries: np.ndarray, depth: int, rounds: int) -> ExactIndex:
    """Print the table of what compares all vectors; returns the reference."""
    taking_part = list(systems(vectors, len(queries), depth))
    batch: dict[str, list[float]] = {system.name: [] for system in taking_part}
    single: dict[str, list[float]] = {system.name: [] for system in taking_part}
    for _ in range(rounds + 1):  # the first round warms up
        for system in taking_part:
            asked = queries[: system.queries]
            batch[system.name].append(milliseconds(lambda: system.batch(asked), len(asked)))  # noqa: B023
            few = queries[:SLOW_QUERIES]
            one_by_one = milliseconds(lambda: [system.single(query) for query in few], len(few))  # noqa: B023
            single[system.name].append(one_by_one)
    reference = next(system.index for system in taking_part if isinstance(system.index, ExactIndex))
    least = float(np.median(batch["plain torch"][1:]))
    rows = []
    for system in taking_part:
        times = batch[system.name][1:]
        alike = "" if system.index is None else same_ids(system.index, reference, queries, depth)
        rows.append(
            (
                system.name,
                f"{system.build_seconds:.2f}",
                f"{np.median(single[system.name][1:]):.2f}",
                f"{np.median(times):.3f}",
                f"{min(times):.3f}-{max(times):.3f}",
                f"{np.median(times) / least:.2f}",
                alike,
            )
        )
    header = ("index", "fill s", "single ms", "batch ms a query", "min-max", "to torch", "same ids")
    print(markdown_table(header, rows), end="\n\n")
    for system in taking_part:
        if system.index is not None and system.index is not reference:
            system.index.close()
    return reference


def same_ids(index: Index, reference: Index, queries: np.ndarray, depth: int) -> str:
    """Number of queries with the same ids, apart from ids that tie with the last place."""
    asked = queries[:SLOW_QUERIES]
    alike = 0
    for found, wanted in zip(
        index.search_many(asked, depth=depth), reference.search_many(asked, depth=depth), strict=True
    ):
        clear = wanted[-1].score + 1e-6
        alike += {h.chunk_id for h in wanted if h.score > clear} <= {h.chunk_id for h in found} and all(
            abs(a.score - b.score) < 1e-6 for a, b in zip(found, wanted, strict=True)
        )
    return f"{alike} of {len(asked)}"


def approximate(vectors: np.ndarray, queries: np.ndarray, reference: ExactIndex, depth: int) -> None:
    """Print what the graph and quantisation of edge cost and miss."""
    rows = []
    for name, options in BUILT.items():
        index = EdgeIndex(vectors.shape[1], options)
        fill(index, vectors)
        started = perf_counter()
        index.optimize()
        seconds = perf_counter() - started
        for ef in (None, 4 * options.ef_construct):
            index.options = replace(options, ef=ef)
            index.search_many(queries[:SLOW_QUERIES], depth=depth)
            time = milliseconds(lambda: index.search_many(queries, depth=depth), len(queries))  # noqa: B023
            recalls = [ann_recall(index, reference, queries, k).mean() for k in (10, 100)]
            rows.append(
                (
                    name,
                    str(ef or options.ef_construct),
                    f"{seconds:.1f}",
                    f"{time:.3f}",
                    *(f"{recall:.3f}" for recall in recalls),
                )
            )
        index.close()
    header = ("approximate", "ef", "optimize s", "batch ms a query", "ANN recall@10", "@100")
    print(markdown_table(header, rows), end="\n\n")


def stored(path: Path) -> np.ndarray:
    """The vectors of a file of embeddings, each once, shuffled."""
    records = [record for part in find_embeddings(path).parts for record in read_records(part)]
    vectors = np.stack([record.vector for record in records if not isinstance(record, BadLine)])
    return np.random.default_rng(0).permutation(np.unique(unit(vectors), axis=0))


def collections(arguments: argparse.Namespace) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, vectors and queries of each collection to measure with."""
    if arguments.embeddings is not None:
        vectors = stored(arguments.embeddings)
        cut = min(arguments.queries, len(vectors) // 10)
        yield str(arguments.embeddings.name), vectors[cut:], vectors[:cut]
        return
    random = np.random.default_rng(1)
    for count in arguments.points:
        if count <= 5000:
            both = clustered(random, count + arguments.queries)
            yield "clustered", both[arguments.queries :], both[: arguments.queries]
        else:
            both = unit(random.normal(size=(count + arguments.queries, DIMENSION)))
            yield "random", both[arguments.queries :], both[: arguments.queries]


def main() -> None:
    """Make the vectors, measure, print markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, nargs="+", default=[5000, 50_000])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--embeddings", type=Path, help="a file of embeddings, or the folder it is in")
    parser.add_argument("--no-hnsw", action="store_true", help="build no graph, which takes minutes")
    arguments = parser.parse_args()
    print("### indexes\n")
    print(f"{machine_line(('torch', 'qdrant-client', 'qdrant-edge-py'))}, {arguments.rounds} rounds\n")
    for name, vectors, queries in collections(arguments):
        print(
            f"{len(vectors):,} {name} vectors of {vectors.shape[1]}, {len(queries):,} queries "
            f"({SLOW_QUERIES} where memory or one query at a time is measured), depth {arguments.depth}\n"
        )
        reference = compare(vectors, queries, arguments.depth, arguments.rounds)
        if not arguments.no_hnsw:
            approximate(vectors, queries, reference, arguments.depth)


if __name__ == "__main__":
    main()
