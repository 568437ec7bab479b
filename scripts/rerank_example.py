"""Search, rerank the first 50 results, and show what moved: qembed's Python API in one page.

    python scripts/rerank_example.py out/ "how do I delete points by a filter?"
    python scripts/rerank_example.py out/ "what is HNSW" --reranker maxsim:minilm --depth 20

OUT is what `qembed embed` wrote. Get the default reranker once with `qembed models fetch msmarco`;
maxsim:minilm needs no download.
Whether reranking is worth its time on your chunks is a question for `qembed bench`, not for one query.
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from time import perf_counter

from qembed import open_index, open_reranker


def main(arguments: list[str] | None = None) -> None:
    """Print the first results after reranking, each with its rank before."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("question")
    parser.add_argument("--reranker", default="msmarco")
    parser.add_argument("--depth", type=int, default=50, help="results that are reranked")
    parser.add_argument("--show", type=int, default=10, help="results that are printed")
    chosen = parser.parse_args(arguments)

    reranker = open_reranker(chosen.reranker)  # first: a model that cannot be had is known at once
    found = open_index(chosen.embeddings).ask(chosen.question, k=chosen.depth)
    started = perf_counter()
    scores = reranker.score_one(chosen.question, [result.text for result in found])
    milliseconds = 1000 * (perf_counter() - started)

    order = sorted(zip(scores, found, strict=True), key=lambda pair: (-pair[0], pair[1].chunk_id))
    print(f"{len(found)} results reranked in {milliseconds:,.0f} ms by {chosen.reranker}")
    for rank, (score, result) in enumerate(order[: chosen.show], start=1):
        moved = result.rank - rank
        arrow = f"up {moved}" if moved > 0 else f"down {-moved}" if moved < 0 else "same"
        print(f"{rank:>3}  {arrow:<8} {score:>8.3f}  {result.chunk_id}")
        print(f"     {' '.join(result.text.split())[:100]}")


if __name__ == "__main__":
    main()
