"""What retrieval is worth: Qdrant alone against BM25, fusion and rerankers, on the bundled eval sets.

Makes each collection, embeds it with the bundled model and runs ``qembed bench``. ``python_api`` comes from
installed packages, ``handbook`` from this checkout's documentation; ``qdrant_ecosystem`` needs the collection
that it judges, which is not part of qembed.

    python benchmarks/retrieval.py
    python benchmarks/retrieval.py --sets qdrant_ecosystem --qdrant-ecosystem CHUNKS

``qembed models fetch msmarco bge-small`` brings a published reranker and a second embedder:

    python benchmarks/retrieval.py -r msmarco maxsim:minilm
    python benchmarks/retrieval.py --model bge-small --baseline minilm -r
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from common import machine_line, markdown_table

from qembed import (
    BenchOptions,
    EmbedOptions,
    bench,
    corpus_from_markdown,
    corpus_from_package,
    embed,
    store_bench,
)
from qembed.commands.bench.result import BenchResult
from qembed.commands.quickstart.cli import EXCLUDE, PACKAGES
from qembed.evaluation.diagnose.frontier import DepthPoint, advice
from qembed.evaluation.diagnose.waterfall import STAGES
from qembed.evaluation.systems.rows import Row

REPOSITORY = Path(__file__).resolve().parent.parent
LIBRARIES = ("torch", "sentence-transformers", "qdrant-client", "bm25s", "ranx")


def main() -> None:
    """Print a table for each eval set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=["python_api", "handbook"])
    parser.add_argument("--qdrant-ecosystem", type=Path, metavar="CHUNKS", help="the collection it judges")
    parser.add_argument("-r", "--rerankers", nargs="*", default=["maxsim:minilm"])
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--baseline", metavar="MODEL", help="existing embeddings to compare with")
    parser.add_argument("--latency-queries", type=int, default=20)
    parser.add_argument("-o", "--reports", type=Path, help="keep the stored results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qembed-bench-") as name:
        for eval_set in arguments.sets:
            chunks = collection(eval_set, Path(name), arguments.qdrant_ecosystem)
            vectors = Path(name) / f"{eval_set}-vectors"
            embed(chunks, vectors, EmbedOptions(model=arguments.model))
            old = Path(name) / f"{eval_set}-baseline" if arguments.baseline else None
            if old:
                embed(chunks, old, EmbedOptions(model=arguments.baseline))
            options = BenchOptions(
                baseline=old,
                rerankers=tuple(arguments.rerankers),
                latency_queries=arguments.latency_queries,
            )
            result = bench(vectors, eval_set, options)
            show(result)
            if arguments.reports:
                print(f"\nstored in {store_bench(result, arguments.reports)}")


def collection(eval_set: str, folder: Path, given: Path | None) -> Path:
    """The folder of chunks that an eval set judges."""
    made = folder / eval_set
    makers: dict[str, Callable[[], object]] = {
        "python_api": lambda: corpus_from_package(PACKAGES, made, collection=eval_set, exclude=[EXCLUDE]),
        "handbook": lambda: corpus_from_markdown(
            [REPOSITORY / "docs", REPOSITORY / "CONTRIBUTING.md"], made, collection=eval_set
        ),
    }
    if eval_set in makers:
        makers[eval_set]()
        return made
    if given is None:
        raise SystemExit(f"{eval_set}: name its collection with --qdrant-ecosystem")
    return given


def show(result: BenchResult) -> None:
    """Print one bench."""
    answered = sum(any(grade > 0 for grade in grades.values()) for grades in result.qrels.values())
    side = result.sides[0]
    print(
        f"\n## retrieval: {result.eval_set.card.name}, {answered} queries with an answer, "
        f"{side.collection.records:,} chunks, {len(side.collection):,} texts\n"
    )
    searched = "every vector is compared" if side.index.exact else "through a graph"
    print(f"{machine_line(LIBRARIES)}; index {side.index.name}, {searched}\n")
    primary, *others = map(str, result.measures)
    header = ["system", primary, "95 %", "against vectors", "p", *others, "p50 ms"]
    print(markdown_table(header, [system_row(row, primary, others) for row in result.rows], left=(0, 3)))
    for name, found in result.frontiers.items():
        words = advice(
            best=found.best,
            chosen=found.chosen,
            too_shallow=found.too_shallow,
            falls_after=found.falls_after,
        )
        print(f"\nDepth of {name}: {words}\n")
        header = ["depth", primary, "95 %", "best order", "ms"]
        print(markdown_table(header, [depth_row(point) for point in found.points]))
    print()
    rows = [
        [name, *(f"{100 * found.shares[stage]:.1f}" for stage in STAGES)]
        for name, found in result.waterfalls.items()
    ]
    print(markdown_table(["system", *STAGES], rows))
    if result.answerability:
        words = ", ".join(f"{name} {value:.2f}" for name, value in result.answerability.items())
        print(f"\nDoes the best score tell queries with an answer from those without? AUC: {words}")


def system_row(row: Row, primary: str, others: list[str]) -> list[str]:
    """One system, with its verdict."""
    found, estimate = row.comparisons.get(primary), row.estimates[primary]
    verdict, p = "", ""
    if found is not None:
        verdict = f"{found.verdict}, {found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
        p = f"{found.p_adjusted:.4f}"
    return [
        row.system.name,
        f"{estimate.mean:.3f}",
        f"{estimate.low:.3f}-{estimate.high:.3f}",
        verdict,
        p,
        *(f"{row.estimates[name].mean:.3f}" for name in others),
        "-" if row.latency is None else f"{row.latency.p50:.1f}",
    ]


def depth_row(point: DepthPoint) -> list[str]:
    """One depth."""
    quality = point.quality
    return [
        str(point.depth),
        f"{quality.mean:.3f}",
        f"{quality.low:.3f}-{quality.high:.3f}",
        f"{point.ceiling:.3f}",
        "-" if point.milliseconds is None else f"{point.milliseconds:.0f}",
    ]


if __name__ == "__main__":
    main()
