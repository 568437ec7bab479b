"""Do the measures agree with trec_eval, and what does ranx cost?

Random graded runs with ties, unjudged items, missing queries and truncated runs go through ``evaluate`` and
through trec_eval (pytrec_eval), which is given our order as scores without ties. Controls stand beside it:
trec_eval with the scores of each query shuffled, which must differ; ranx alone, with the scores as they are
and with our order as scores without ties, which tells what its own order of ties does. Then the CPU time of
the first call in a new process, with nothing compiled and with what numba keeps on disk, and of a later call.

    python benchmarks/measures_check.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence

import numpy as np
import pytrec_eval
from common import machine_line, markdown_table

from qembed.evaluation.measures import Measure, evaluate, parse_measure
from qembed.evaluation.retrieve.ordering import ranked
from qembed.records import Qrels, Run

TREC_EVAL = {
    "nDCG": "ndcg",
    "nDCG@10": "ndcg_cut.10",
    "recall@10": "recall.10",
    "recall@100": "recall.100",
    "precision@10": "P.10",
    "MRR": "recip_rank",
    "MRR@10": "recip_rank",
    "MAP": "map",
    "MAP@100": "map_cut.100",
    "hit@1": "success.1",
    "hit@10": "success.10",
    "Rprec": "Rprec",
}
RANX = {"nDCG": "ndcg", "MRR": "mrr", "MAP": "map", "hit": "hit_rate", "Rprec": "r-precision"}
FIRST_CALL = """
import sys, time
from qembed.evaluation.measures import evaluate
evaluate({"q": {"a": 1}}, {"q": {"a": 1.0}}, sys.argv[1:])
print(time.process_time())
"""


def random_sets(queries: int, seed: int = 0) -> tuple[Qrels, Run]:
    """Grades -1 to 3, scores of which many are equal; one query of ten has no run, one a list of three."""
    generator = np.random.default_rng(seed)
    qrels: Qrels = {}
    run: Run = {}
    for number in range(queries):
        items = [f"d{item}" for item in generator.permutation(400)[:160]]
        judged = generator.choice(items, size=int(generator.integers(1, 40)), replace=False)
        qrels[f"q{number}"] = {str(item): int(generator.integers(-1, 4)) for item in judged}
        depth = generator.choice([0, 3, 150], p=[0.1, 0.1, 0.8])
        run[f"q{number}"] = {item: float(generator.integers(0, 30)) / 4 for item in items[:depth]}
    return qrels, run


def without_ties(run: Run, cut: int | None = None) -> Run:
    """Our order as scores that all differ; queries without a run are left out."""
    orders = {query: ranked(scores)[:cut] for query, scores in run.items()}
    return {
        query: {item: float(len(order) - place) for place, item in enumerate(order)}
        for query, order in orders.items()
        if order
    }


def shuffled(run: Run) -> Run:
    """The same items with their scores dealt out anew."""
    generator = np.random.default_rng(9)
    return {
        query: dict(zip(scores, generator.permutation(list(scores.values())).tolist(), strict=True))
        for query, scores in run.items()
    }


def by_trec_eval(qrels: Qrels, run: Run, text: str, rel: int) -> dict[str, float]:
    """Query -> value; queries without a run are missing."""
    name = TREC_EVAL[text]
    ordered = without_ties(run, 10 if text == "MRR@10" else None)
    values = pytrec_eval.RelevanceEvaluator(qrels, {name}, relevance_level=rel).evaluate(ordered)
    return {query: found[name.replace(".", "_")] for query, found in values.items()}


def by_ranx(qrels: Qrels, run: Run, measure: Measure) -> dict[str, float]:
    """Query -> value by ranx alone, of queries that have a run: it refuses empty ones."""
    import ranx

    name = RANX.get(measure.name, measure.name)
    name += "" if measure.cutoff is None else f"@{measure.cutoff}"
    kept = {query: scores for query, scores in run.items() if scores}
    own = ranx.Run(kept)
    ranx.evaluate(ranx.Qrels({query: qrels[query] for query in kept}), own, name)
    return dict(next(iter(own.scores.values())))


def largest(ours: dict[str, float], theirs: dict[str, float]) -> float:
    """Largest difference of a query that has a value here; a query that they miss counts 0."""
    return max(abs(value - theirs.get(query, 0.0)) for query, value in ours.items())


def agreement(queries: int) -> str:
    """The table."""
    qrels, run = random_sets(queries)
    other, tie_free = shuffled(run), without_ties(run)
    rows: list[Sequence[str]] = []
    for text, trec in TREC_EVAL.items():
        at = parse_measure(text)
        for rel in (1,) if at.name == "nDCG" else (1, 2):
            measure = Measure(at.name, at.cutoff, rel)
            ours = evaluate(qrels, run, [measure])[str(measure)].dropna().to_dict()
            found = [largest(ours, by_trec_eval(qrels, given, text, rel)) for given in (run, other)]
            if rel == 1:
                found += [largest_of_known(ours, by_ranx(qrels, given, measure)) for given in (run, tie_free)]
            cells = [f"{value:.2g}" for value in found]
            rows.append(
                [str(measure), trec + ("" if rel == 1 else " -l 2"), *cells, *[""] * (4 - len(cells))]
            )
    header = [
        "measure",
        "in trec_eval",
        "trec_eval",
        "trec_eval, shuffled",
        "ranx alone",
        "ranx alone, no ties",
    ]
    return markdown_table(header, rows, left=(0, 1))


def largest_of_known(ours: dict[str, float], theirs: dict[str, float]) -> float:
    """The same over the queries that they have."""
    return largest({query: value for query, value in ours.items() if query in theirs}, theirs)


def first_call(cache: str) -> float:
    """CPU seconds of the first call in a new process, import included."""
    command = [sys.executable, "-c", FIRST_CALL, *TREC_EVAL]
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=2000)
    queries = parser.parse_args().queries
    warnings.simplefilter("ignore")  # numba's, of casts in ranx
    print(f"### measures_check: {queries:,} random queries\n")
    print(machine_line(("ranx", "pytrec_eval-terrier", "numba")) + "\n")
    print("Largest absolute difference of a query's value to ours:\n")
    print(agreement(queries) + "\n")
    with tempfile.TemporaryDirectory() as cache:
        times = [
            ("first call, nothing compiled", first_call(cache)),
            ("first call, compiled", first_call(cache)),
        ]
    qrels, run = random_sets(1000, seed=1)
    started = time.process_time()
    evaluate(qrels, run, list(TREC_EVAL))
    times.append(("1,000 queries, 150 items each, 12 measures", time.process_time() - started))
    print(markdown_table(["evaluate", "CPU seconds"], [[name, f"{seconds:.2f}"] for name, seconds in times]))


if __name__ == "__main__":
    main()
