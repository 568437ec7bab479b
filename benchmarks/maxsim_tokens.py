"""MaxSim with and without special tokens ([CLS], [SEP]): does the order of real answers change?

The nearest texts by the vectors of a file are reranked both ways and measured with an eval set.

    python benchmarks/maxsim_tokens.py EMBEDDINGS --eval-set eval_sets/python_api
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine_line, markdown_table

from qembed.evaluation.eval_sets.eval_set import EvalSet, load_eval_set
from qembed.evaluation.measures import evaluate
from qembed.evaluation.rerank.open import open_reranker
from qembed.evaluation.retrieve.collection import Collection, read_collection
from qembed.evaluation.retrieve.units import Units, units_of
from qembed.evaluation.statistics.compare import compare
from qembed.models import Encoder, EncoderOptions
from qembed.models.rerank.token_states import TokenEncoder, TokenStates
from qembed.store import find_embeddings

MEASURE = "nDCG@10"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--eval-set", type=Path, required=True)
    parser.add_argument("--model", default="minilm", help="model of the embeddings")
    parser.add_argument("--depth", type=int, default=100)
    arguments = parser.parse_args()
    judged = load_eval_set(arguments.eval_set)
    collection = read_collection(find_embeddings(arguments.embeddings))
    units = units_of(collection, judged.card.level)
    queries = {
        query: text for query, text in judged.queries.items() if any(judged.qrels.get(query, {}).values())
    }
    candidates = nearest(collection, list(queries.values()), arguments.model, arguments.depth)
    matched = values(arguments.model, queries, collection, units, judged, candidates)
    right = TokenEncoder._states
    TokenEncoder._states = without_special(right)  # type: ignore[method-assign]
    bare = values(arguments.model, queries, collection, units, judged, candidates)
    found = compare(bare, matched)
    print(f"### maxsim_tokens: {judged.card.name}, {len(queries)} queries, depth {arguments.depth}\n")
    print(f"{machine_line(('torch', 'sentence-transformers'))}, {arguments.model}\n")
    rows = [
        ("not matched", f"{np.nanmean(bare):.4f}", ""),
        (
            "matched",
            f"{np.nanmean(matched):.4f}",
            f"{found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f})",
        ),
    ]
    print(markdown_table(("special tokens", MEASURE, "difference (95 %)"), rows))


def nearest(collection: Collection, queries: list[str], model: str, depth: int) -> list[np.ndarray]:
    """For each query positions of the nearest texts."""
    encoder = Encoder.load(model, EncoderOptions(device="cpu"))
    vectors = np.stack([encoder.encode([query], "query")[0] for query in queries])
    return list(np.argsort(-(vectors @ collection.vectors.T), axis=1, kind="stable")[:, :depth])


def values(
    model: str,
    queries: dict[str, str],
    collection: Collection,
    units: Units,
    judged: EvalSet,
    candidates: list[np.ndarray],
) -> np.ndarray:
    """The measure of each query."""
    reranker = open_reranker(f"maxsim:{model}", options=EncoderOptions(device="cpu"))
    made = reranker.rerank(list(queries.values()), collection.texts, candidates)
    run = {
        query: {collection.ids[place]: float(score) for place, score in zip(some, scores, strict=True)}
        for query, some, scores in zip(queries, candidates, made.scores, strict=True)
    }
    qrels = units.qrels({query: judged.qrels[query] for query in queries})
    return evaluate(qrels, units.run(run), [MEASURE])[MEASURE].to_numpy()


def without_special(right: Any) -> Any:
    """``TokenEncoder._states`` that lets special tokens match nothing."""

    def states(self: TokenEncoder, features: Any, role: Any) -> TokenStates:
        special = torch.tensor(self._model.tokenizer.all_special_ids)
        made = right(self, dict(features), role)
        matched = made.matched & ~torch.isin(features["input_ids"], special)
        return TokenStates(made.states, torch.where(matched.any(1, keepdim=True), matched, made.matched))

    return states


if __name__ == "__main__":
    main()
