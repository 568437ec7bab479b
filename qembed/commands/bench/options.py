"""What a bench is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qembed.evaluation.systems.measured import DEFAULT_MEASURES
from qembed.index.choose import IndexKind
from qembed.models import EncoderOptions
from qembed.store import USUAL, Keys

DEPTHS = (10, 20, 50, 100)


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What is compared, and how.

    Attributes:
        model: Encodes the queries; needed only where no manifest says which made the vectors.
        query_vectors: A file of embeddings whose ids are query ids, instead of the model.
        baseline: Other embeddings of the same content, e.g. the existing ones: a path, or the address of a
            collection on a server.
        baseline_model: As ``model``, for the baseline.
        baseline_query_vectors: As ``query_vectors``, for the baseline.
        rerankers: As ``open_reranker`` names them; each reranks the vectors of both sides.
        depths: Rerank depths; the deepest is the row of the table, all are the depth frontier.
        measures: The first one decides; frontier, bounds of unjudged items and unnamed gates use it.
        split: Split of the eval set; the card's own when None.
        index: Where vectors are searched.
        hnsw: Search through a graph, as a Qdrant server does; in ``edge`` only.
        bm25: Add BM25, made for documentation and code: k1 1.2, identifiers also in parts.
        bm25_plain: Add BM25 as most libraries have it: k1 1.5, whole words.
        fusion: Add reciprocal rank fusion of vectors and BM25.
        margin: Differences below it do not matter; what is within it is called equivalent.
        resamples: Number of resamples of the randomisation test.
        seed: Random seed.
        latency_queries: How many queries are timed, one at a time; none when 0.
        gates: Conditions, as ``parse_gate`` reads them.
        encoder: Device, precision and trust of the models.
        keys: What the user says about the keys of foreign records, on both sides.
    """

    model: str | None = None
    query_vectors: Path | None = None
    baseline: Path | str | None = None
    baseline_model: str | None = None
    baseline_query_vectors: Path | None = None
    rerankers: tuple[str, ...] = ()
    depths: tuple[int, ...] = DEPTHS
    measures: tuple[str, ...] = DEFAULT_MEASURES
    split: str | None = None
    index: IndexKind = "auto"
    hnsw: bool = False
    bm25: bool = True
    bm25_plain: bool = False
    fusion: bool = True
    margin: float = 0.01
    resamples: int = 10_000
    seed: int = 0
    latency_queries: int = 20
    gates: tuple[str, ...] = ()
    encoder: EncoderOptions = EncoderOptions()
    keys: Keys = USUAL
