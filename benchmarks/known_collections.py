"""Do BM25, vectors, fusion and rerankers reach here what others published on BEIR's collections?

FOLDER holds one folder in BEIR's layout per collection (corpus.jsonl, queries.jsonl, qrels/test.tsv), as
https://github.com/beir-cellar/beir offers them; nothing is downloaded. Each corpus is embedded, searched
exactly and measured with ``qembed bench``; rerankers read the first 100 of BM25, as the published ones did.
published.toml has the figures and their sources. Exit code 1: a figure is not reached within the tolerance.

    qembed models fetch msmarco bge-small
    python benchmarks/known_collections.py FOLDER
    python benchmarks/known_collections.py FOLDER --sets scifact --models minilm -r msmarco maxsim:minilm

SciFact has 5,183 texts, NFCorpus 3,633, FiQA 57,638. ``ms-marco-minilm``, the reranker with published
figures, needs a model hub or its folder: ``-r ms-marco-minilm=FOLDER``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import machine_line, markdown_table

from qembed import BenchOptions, EmbedOptions, bench, embed
from qembed.commands.bench.result import BenchResult
from qembed.evaluation.measures import evaluate
from qembed.evaluation.rerank.open import open_reranker
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.retrieve.pools import rerank_run
from qembed.evaluation.systems.system import System

MEASURE = "nDCG@10"
DEPTH = 100
TOLERANCE = 0.02
"""Tokenizers, stemmers, stop words and ties differ; vectors depend on them only in the last digit."""

SETS = ("scifact", "nfcorpus", "fiqa")
MODELS = ("minilm", "bge-small")
RERANKERS = ("msmarco", "maxsim:minilm")


@dataclass(frozen=True)
class Figure:
    """What others published.

    Attributes:
        collection: Name of its folder.
        system: As this script names it.
        value: nDCG@10.
        how: What was different from here.
        url: Where it was read.
    """

    collection: str
    system: str
    value: float
    how: str
    url: str


@dataclass(frozen=True)
class Measured:
    """One system on one collection, with what was published where there is something."""

    collection: str
    system: str
    value: float
    published: Figure | None

    @property
    def difference(self) -> float | None:
        """Measured minus published."""
        return None if self.published is None else self.value - self.published.value

    def within(self, tolerance: float) -> bool:
        """Whether the published figure is reached; True where there is none."""
        return self.difference is None or abs(self.difference) <= tolerance


def main(arguments: list[str] | None = None) -> int:
    """Print a table; 1 where a published figure is not reached."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="Folder with one BEIR folder per collection.")
    parser.add_argument("--sets", nargs="+", default=SETS, help="Folders to take.")
    parser.add_argument("--models", nargs="+", default=MODELS, help="Embedding models.")
    parser.add_argument("-r", "--rerankers", nargs="*", default=RERANKERS, help="NAME, or NAME=MODEL.")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="Largest difference that passes.")
    chosen = parser.parse_args(arguments)
    found = []
    with tempfile.TemporaryDirectory(prefix="qembed-known-") as work:
        for name in chosen.sets:
            found += measure(chosen.folder / name, chosen.models, chosen.rerankers, Path(work) / name)
    print(f"\n## known_collections: {', '.join(chosen.sets)}\n\n{machine_line()}\n")
    print(table(found, chosen.tolerance))
    return 0 if all(each.within(chosen.tolerance) for each in found) else 1


def published() -> dict[tuple[str, str], Figure]:
    """The figures of published.toml by collection and system."""
    text = Path(__file__).with_name("published.toml").read_text(encoding="utf-8")
    figures = [Figure(**entry) for entry in tomllib.loads(text)["figure"]]
    return {(figure.collection, figure.system): figure for figure in figures}


def measure(folder: Path, models: list[str], rerankers: list[str], work: Path) -> Iterator[Measured]:
    """Every system on one collection: BM25, each model's vectors and their fusion, each reranker on BM25."""
    figures = published()
    results: dict[str, float] = {}
    for model in models:
        embed(folder / "corpus.jsonl", work / model.replace("/", "-"), EmbedOptions(model=model))
        result = bench(work / model.replace("/", "-"), folder, BenchOptions(latency_queries=0))
        systems = {row.system.name: row for row in result.rows}
        results[model] = systems["vectors"].estimates[MEASURE].mean
        results[f"{model} + bm25"] = systems["vectors + bm25"].estimates[MEASURE].mean
        results.setdefault("bm25", systems["bm25"].estimates[MEASURE].mean)
    for named in rerankers:
        name, _, spec = named.partition("=")
        results[f"bm25 > {name}"] = reranked(result, systems["bm25"].system, spec or name)
    for system, value in results.items():
        yield Measured(folder.name, system, value, figures.get((folder.name, system)))


def reranked(result: BenchResult, base: System, spec: str) -> float:
    """nDCG@10 of a reranker over the first 100 of ``base``."""
    collection, queries = base.side.collection, result.eval_set.queries
    position = {name: at for at, name in enumerate(collection.ids)}
    asked = list(result.qrels)
    heads = [ranked(base.texts[query])[:DEPTH] for query in asked]
    candidates = [np.array([position[name] for name in head], dtype=np.int64) for head in heads]
    work = open_reranker(spec).rerank([queries[query] for query in asked], collection.texts, candidates)
    scores = {
        query: dict(zip(head, values.tolist(), strict=True))
        for query, head, values in zip(asked, heads, work.scores, strict=True)
    }
    run = base.side.judged_run(rerank_run(base.texts, scores, DEPTH))
    return float(evaluate(result.qrels, run, [MEASURE])[MEASURE].mean())


def table(found: list[Measured], tolerance: float) -> str:
    """Measured and published side by side, in Markdown."""
    rows = []
    for each in found:
        figure, difference = each.published, each.difference
        said = ["", "", "", ""]
        if figure is not None and difference is not None:
            verdict = "reached" if each.within(tolerance) else "NOT REACHED"
            said = [f"{figure.value:.3f}", f"{difference:+.3f}", verdict, f"{figure.how}, {figure.url}"]
        rows.append([each.collection, each.system, f"{each.value:.3f}", *said])
    header = ["collection", "system", MEASURE, "published", "difference", f"within {tolerance:g}", "source"]
    return markdown_table(header, rows, left=(0, 1, 5, 6))


if __name__ == "__main__":
    sys.exit(main())
