"""Do the simulated forms of ``qembed sweep`` find what Qdrant's own quantisation finds?

    python benchmarks/sweep_qdrant.py EMBEDDINGS EVAL_SET

Builds the vectors into qdrant-edge (the server's engine in this process) with scalar int8 (quantile 0.99)
and with binary quantisation, without a graph, so that every quantised vector is compared, and asks the judged
queries: without rescoring, and rescored with an oversampling of 4 at a limit of 10. Printed are nDCG@10 of
both, over the texts that a limit of 10 returns, and the share that both find.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from qembed.evaluation.diagnose.variants import Form, Rows, cut, search
from qembed.evaluation.measures import evaluate
from qembed.evaluation.systems.judged import Judged, ask, load_judged
from qembed.evaluation.systems.side import SideOptions
from qembed.models import EncoderOptions

LIMIT = 10
OVERSAMPLING = 4


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("eval_set", type=Path)
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    side = SideOptions(
        arguments.embeddings, index="exact", encoder=EncoderOptions(precision=arguments.precision)
    )
    judged = ask(load_judged(arguments.eval_set), side, results=LIMIT)
    documents, queries = judged.side.collection.vectors, judged.side.queries
    print(f"{len(documents):,} texts, {len(queries)} queries, limit {LIMIT}")
    print(f"{'form':24}{'nDCG@10 qdrant':>16}{'simulated':>12}{'same top 10':>13}")
    for kind, rescore in (("int8", 0), ("int8", OVERSAMPLING), ("binary", 0), ("binary", OVERSAMPLING)):
        form = Form(documents.shape[1], kind, rescore)  # type: ignore[arg-type]
        engine = by_qdrant(cut(documents, form.dimension), cut(queries, form.dimension), form)
        ours = search(documents, queries, form, depth=max(100, LIMIT * OVERSAMPLING), k=LIMIT)[:, :LIMIT]
        same = np.mean([len(np.intersect1d(*pair)) / LIMIT for pair in zip(engine, ours, strict=True)])
        print(
            f"{form.name:24}{value(judged, engine):16.3f}{value(judged, ours):12.3f}{same:13.1%}", flush=True
        )


def by_qdrant(documents: Any, queries: Any, form: Form) -> Rows:
    """Rows of the ``LIMIT`` nearest documents of each query, as the engine finds them."""
    import qdrant_edge as edge

    quantization = (
        edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.99)
        if form.kind == "int8"
        else edge.BinaryQuantizationConfig()
    )
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=form.dimension, distance=edge.Distance.Cosine),
        hnsw_config=edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=1),
        quantization_config=quantization,
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=1, default_segment_number=1),
        wal_enabled=False,
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shard = edge.EdgeShard.create(folder, config)
        for start in range(0, len(documents), 1000):
            rows = range(start, min(start + 1000, len(documents)))
            points = [edge.Point(row, documents[row].tolist(), {}) for row in rows]
            shard.update(edge.UpdateOperation.upsert_points(points))
        shard.optimize()
        searching = edge.SearchParams(
            exact=False,
            quantization=edge.QuantizationSearchParams(
                ignore=False, rescore=bool(form.rescore), oversampling=float(max(1, form.rescore))
            ),
        )
        requests = [
            edge.QueryRequest(limit=LIMIT, query=edge.Query.Nearest(query.tolist()), params=searching)
            for query in queries
        ]
        answers = shard.query_batch(edge.QueryBatchRequest(requests))
        found = np.array([[int(point.id) for point in points] for points in answers], dtype=np.int64)
        shard.close()
    return found


def value(judged: Judged, rows: Rows) -> float:
    """Mean nDCG@10 over judged units."""
    ids = judged.side.collection.ids
    run = {
        query: judged.side.units.scores({ids[row]: -float(rank) for rank, row in enumerate(found)})
        for query, found in zip(judged.queries, rows.tolist(), strict=True)
    }
    return float(evaluate(judged.qrels, run, ["nDCG@10"])["nDCG@10"].mean())


if __name__ == "__main__":
    main()
