"""Two runs of a search from elsewhere, with judgements, compared; for tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from qembed.commands.compare.compare import CompareOptions, RunComparison, compare_runs

QUERIES, ITEMS = 24, 60


def compared(folder: Path, *, texts: bool = False, better: float = 0.5) -> RunComparison:
    """``production.json`` as ranx writes it and ``candidate.csv``, which lacks a query; a quarter is judged.

    Args:
        folder: Where the files are written, queries and corpus as well.
        texts: Read those two.
        better: By how much the candidate lifts what is relevant.
    """
    random = np.random.default_rng(3)
    ids = [f"docs/page {item}" if item % 7 == 0 else f"docs/page{item}" for item in range(ITEMS)]
    production: dict[str, dict[str, float]] = {}
    candidate, rows = ["query_id,doc_id,score"], ["query-id\tcorpus-id\tscore"]
    for query in range(QUERIES):
        relevant, others = np.split(random.permutation(ITEMS)[:16], [4])
        rows += [f"q{query}\t{ids[item]}\t{1 + item % 2}" for item in relevant]
        rows += [f"q{query}\t{ids[item]}\t0" for item in others]
        old = random.normal(size=ITEMS)
        old[relevant] += 1.2
        new = old + 0.6 * random.normal(size=ITEMS)
        new[relevant] += better
        production[f"q{query}"] = {ids[item]: float(old[item]) for item in np.argsort(-old)[:30]}
        if query != 3:
            candidate += [f"q{query},{ids[item]},{float(new[item])!r}" for item in np.argsort(-new)[:30]]
    (folder / "qrels.tsv").write_text("\n".join(rows))
    (folder / "production.json").write_text(json.dumps(production))
    (folder / "candidate.csv").write_text("\n".join(candidate))
    corpus = ({"_id": name, "title": "", "text": f"About filters and points, {name}"} for name in ids)
    queries = ({"_id": f"q{query}", "text": f"How do I filter points {query}?"} for query in range(QUERIES))
    for name, lines in (("corpus.jsonl", corpus), ("questions.jsonl", queries)):
        (folder / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    options = CompareOptions(queries=folder / "questions.jsonl", corpus=folder / "corpus.jsonl")
    runs = [folder / "production.json", folder / "candidate.csv"]
    return compare_runs(runs, folder / "qrels.tsv", options if texts else CompareOptions())
