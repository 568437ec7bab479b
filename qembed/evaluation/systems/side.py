"""One side of a bench: a file of embeddings, opened, asked all queries, and timed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qembed.corpus import point_id
from qembed.errors import QembedError, UsageError
from qembed.evaluation.diagnose.agreement import overlap
from qembed.evaluation.diagnose.latency import time_queries
from qembed.evaluation.eval_sets.card import Level
from qembed.evaluation.retrieve.collection import Collection, read_collection
from qembed.evaluation.retrieve.depth import RESULTS, Search, own_texts, retrieve, without_own
from qembed.evaluation.retrieve.ordering import ranked
from qembed.evaluation.retrieve.pools import first
from qembed.evaluation.retrieve.units import Units, units_like, units_of
from qembed.evaluation.systems.query_vectors import encode_queries, read_query_vectors
from qembed.index import EdgeIndex, Index, Point, choose_index, make_index
from qembed.index.choose import IndexKind
from qembed.index.protocol import Similarity
from qembed.index.server.address import is_address
from qembed.index.server.search import ServerIndex
from qembed.index.server.served import open_served
from qembed.index.server.source import There, embeddings_of, there_is
from qembed.models import Encoder, EncoderOptions
from qembed.progress import Progress
from qembed.records import Qrels, Run, Vectors
from qembed.store import USUAL, Keys, Manifest, find_embeddings, manifest_of
from qembed.store.made_with import load_query_encoder, model_name
from qembed.store.manifest import similarity_of
from qembed.store.recognise import recognise


@dataclass(frozen=True, slots=True)
class SideOptions:
    """What is opened, and how.

    Attributes:
        embeddings: The file, the folder it lies in, or the address of a collection on a server.
        model: Encodes the queries; needed only where no manifest says which it was.
        query_vectors: A file of embeddings whose ids are query ids, instead of a model.
        index: Where the vectors are searched.
        encoder: Device, precision and trust.
        hnsw: Search through a graph, as a Qdrant server does, in ``edge``; what that misses is counted.
        keys: What the user says about the keys of foreign records.
    """

    embeddings: Path | str
    model: str | None = None
    query_vectors: Path | None = None
    index: IndexKind = "auto"
    encoder: EncoderOptions = EncoderOptions()
    hnsw: bool = False
    keys: Keys = USUAL

    @property
    def address(self) -> str | None:
        """The address of a collection on a server; None for files."""
        return str(self.embeddings) if is_address(str(self.embeddings)) else None

    @property
    def in_place(self) -> bool:
        """Whether a server answers the queries: its address is given, and no other index is named."""
        return self.address is not None and self.index == "auto"

    def check(self) -> There:
        """Say what is missing before anything is computed or read.

        Returns:
            What a server says of its vectors.

        Raises:
            InputNotFound: No embeddings there.
            UsageError: As ``check_index``; or nothing says which model encodes the queries.
            QembedError: As ``open_served``; or the server compares by a distance.
        """
        self.check_index()
        if self.address is not None:
            there = there_is(self.address)
            self._check_model(self.address, None, there.model)
            return there
        found = find_embeddings(Path(self.embeddings), self.keys)
        recognise(found)
        self._check_model(found.path, manifest_of(found), None)
        return There()

    def _check_model(self, path: Path | str, manifest: Manifest | None, noted: str | None) -> None:
        if self.query_vectors is None:
            model_name(path, manifest, self.model or noted)

    def check_index(self) -> IndexKind:
        """The index to take: ``edge`` where a graph is wanted, which no other has.

        Raises:
            UsageError: Another index is named; no such index; or ``edge`` is not installed.
        """
        if self.hnsw and self.index not in ("auto", "edge"):
            raise UsageError(f"the index {self.index} has no graph", remedy="--hnsw goes with --index edge")
        kind: IndexKind = "edge" if self.hnsw else self.index
        choose_index(kind, 0)
        return kind


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Embeddings that answer queries.

    Attributes:
        path: The first file of embeddings, or the address of the collection.
        read_as: What embeddings of another tool were taken for; empty for those of qembed.
        manifest: The manifest beside them, if there is one.
        collection: Their distinct texts.
        units: The judged units of these texts.
        encoder: Encodes the queries; None where query vectors were given.
        queries: float32 (queries, dimension), in the order of the query ids.
        index: Over the distinct texts.
        results: Judged units per query that every run over units holds, unless fewer are found.
        run: Text id -> score per query, from the index.
        exact_run: The same from exact search; ``run`` itself where the index is exact.
        own: Query id -> texts that are this query itself, which no run holds.
    """

    path: Path | str
    read_as: str
    manifest: Manifest | None
    collection: Collection
    units: Units
    encoder: Encoder | None
    queries: Vectors
    index: Index
    results: int
    run: Run
    exact_run: Run
    own: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def max_tokens(self) -> int | None:
        """Tokens that the model reads of each text; None where that is not known."""
        if self.manifest is not None:
            return int(self.manifest.model["max_tokens"])
        return self.encoder.info.max_tokens if self.encoder else None

    def search(self, query_ids: Sequence[str], depth: int) -> Run:
        """Text id -> score of the ``depth`` nearest texts of some of the queries."""
        search = _search_of(self.index, list(self.run), self.queries)
        return without_own(search, self.own)(query_ids, depth)

    def judged_run(self, texts: Run) -> Run:
        """A run over text ids as one over judged units, cut to ``results`` units per query."""
        return first(self.units.run(texts), self.results)

    def ann_recall(self, k: int) -> float:
        """Share of the ``k`` nearest texts that the index finds among its first ``k``, mean over queries."""
        pairs = [(ranked(self.run[query]), ranked(exact)) for query, exact in self.exact_run.items()]
        return float(np.mean([overlap(found, exact, k) for found, exact in pairs]))


def open_side(
    options: SideOptions,
    queries: dict[str, str],
    level: Level,
    *,
    results: int = RESULTS,
    texts: int = 1,
    qrels: Qrels | None = None,
    like: Side | None = None,
    progress: Progress = Progress(),
) -> Side:
    """Read embeddings, encode the queries with their model, and search.

    Args:
        options: What is opened.
        queries: Query id -> text.
        level: What is judged.
        results: Judged units retrieved per query.
        texts: Distinct texts retrieved per query, at least.
        qrels: Over chunks or pages, as the eval set has them; a query's own document that is judged relevant
            is a result like any other.
        like: The side whose names units and texts get, so that both meet the same qrels.
        progress: Receives the progress of every phase.

    Raises:
        InputNotFound: There are no embeddings.
        Mismatch: A line is no record, or the model is not the one that made the vectors.
        DimensionMismatch: Vectors differ in length.
        ModelUnreachable: The model is neither on this machine nor on the hub.
        UsageError: Neither the options nor a manifest name the model; or pages are judged and not known.
    """
    options.check_index()
    there = options.check() if options.address is not None else There()
    with embeddings_of(options.embeddings, options.keys, progress) as found:
        path, read_as, manifest = options.address or found.path, recognise(found), manifest_of(found)
        progress.phase("reading vectors", total=manifest.output.records if manifest else None, unit="vectors")
        collection = read_collection(found, like=like.collection if like else None, progress=progress)
    try:
        units = units_like(like.units, like.collection, collection) if like else units_of(collection, level)
    except UsageError as error:
        raise UsageError(error.message, where=str(path), remedy=error.remedy) from None
    encoder = None
    if options.query_vectors is not None:
        vectors = read_query_vectors(options.query_vectors, list(queries), collection.dimension)
    else:
        progress.phase("loading the model")
        encoder = _load_encoder(options, path, manifest, collection.dimension, there, like is not None)
        progress.phase("encoding queries", total=len(queries), unit="queries")
        vectors = encode_queries(encoder, list(queries.values()), progress)
    similarity = there.similarity or similarity_of(manifest, encoder.info.similarity if encoder else "cosine")
    index = _index_of(options, collection, similarity, progress)
    progress.phase("searching", total=len(queries), unit="queries")
    own = own_texts(queries, units, collection.ids, collection.texts, qrels)
    search = without_own(_search_of(index, list(queries), vectors), own)
    exact_run = run = retrieve(search, list(queries), units, results=results, texts=texts)
    if not index.exact:
        reference = build_index(collection, "exact", similarity)
        search = without_own(_search_of(reference, list(queries), vectors), own)
        exact_run = retrieve(search, list(queries), units, results=results, texts=texts)
        reference.close()
    return Side(
        path, read_as, manifest, collection, units, encoder, vectors, index, results, run, exact_run, own
    )


def _index_of(
    options: SideOptions, collection: Collection, similarity: Similarity, progress: Progress
) -> Index:
    """The index that answers the queries: the server's own, or one over the distinct texts."""
    if not options.in_place:
        progress.phase("building the index", total=len(collection), unit="texts")
        return build_index(collection, options.check_index(), similarity, hnsw=options.hnsw)
    names = {}
    for text, chunks in zip(collection.ids, collection.chunks, strict=True):
        for chunk in chunks:
            names[chunk] = names[str(point_id(chunk))] = text
    return ServerIndex(open_served(str(options.address), note=progress.note), options.keys, names)


def _load_encoder(
    options: SideOptions,
    path: Path | str,
    manifest: Manifest | None,
    dimension: int,
    there: There,
    baseline: bool,
) -> Encoder:
    """The model of the queries; what is wrong with it names the option of this side."""
    try:
        model = options.model or there.model
        return load_query_encoder(
            path, manifest, model, options.encoder, dimension=dimension, **there.made_with
        )
    except QembedError as error:
        if baseline and error.remedy:
            error.remedy = error.remedy.replace("--model", "--baseline-model")
        raise


def build_index(
    collection: Collection, kind: IndexKind, similarity: Similarity = "cosine", *, hnsw: bool = False
) -> Index:
    """An index over the distinct texts, each with its text as payload, as a reranker needs it.

    Args:
        collection: What is searched.
        kind: Kind of the index.
        similarity: That of the vectors' model.
        hnsw: Build the graph of ``edge``, which takes seconds for thousands of texts.
    """
    index = make_index(choose_index(kind, len(collection)), collection.dimension, similarity)
    index.add(_points(collection))
    if hnsw and isinstance(index, EdgeIndex):
        index.optimize()
    return index


def search_run(index: Index, query_ids: Sequence[str], vectors: Vectors, depth: int) -> Run:
    """Text id -> score of the ``depth`` nearest texts of each query."""
    answers = index.search_many(vectors, depth=depth)
    return {
        query: {hit.chunk_id: hit.score for hit in hits}
        for query, hits in zip(query_ids, answers, strict=True)
    }


def time_side(
    side: Side, queries: Sequence[str], sample: Sequence[int], depth: int
) -> dict[str, list[float]]:
    """Milliseconds of encoding and of retrieval, for each query of the sample; encoding only with a model.

    Args:
        side: To be timed.
        queries: Texts of all queries.
        sample: Positions of those that are timed.
        depth: Depth of retrieval.
    """
    stages: dict[str, list[float]] = {}
    encoder = side.encoder
    if encoder is not None:
        stages["encode"] = time_queries(lambda at: encoder.encode([queries[at]], "query"), sample)
    index = side.index
    search = index.ask_once if isinstance(index, ServerIndex) else index.search
    stages["retrieve"] = time_queries(lambda at: search(side.queries[at], depth=depth), sample)
    return stages


def _search_of(index: Index, query_ids: Sequence[str], vectors: Vectors) -> Search:
    row = {query: at for at, query in enumerate(query_ids)}
    return lambda asked, depth: search_run(index, asked, vectors[[row[query] for query in asked]], depth)


def _points(collection: Collection) -> Iterator[Point]:
    for name, text, vector in zip(collection.ids, collection.texts, collection.vectors, strict=True):
        yield Point(name, vector, {"text": text})


def describe_side(side: Side) -> dict[str, Any]:
    """What was searched, for the stored result."""
    made = side.manifest.model if side.manifest else {}
    info = side.encoder.info if side.encoder else None
    return {
        "embeddings": str(side.path),
        "embeddings_sha256": side.manifest.output.sha256 if side.manifest else None,
        "read_as": side.read_as,
        "chunks": side.collection.records,
        "texts": len(side.collection),
        "texts_with_two_vectors": side.collection.disagreeing,
        "own_documents_left_out": len(side.own),
        "dimension": side.collection.dimension,
        "model": made.get("id") or (info.id if info else None),
        "revision": made.get("revision"),
        "weights_sha256": made.get("weights_sha256") or (info.weights_sha256 if info else None),
        "weights_note": made.get("weights_note") or (info.weights_note if info else ""),
        "dtype": made.get("dtype"),
        "max_tokens": side.max_tokens,
        "texts_cut": int((side.collection.tokens > (side.max_tokens or np.inf)).sum()),
        "index": side.index.name,
        "exact": side.index.exact,
        "ann_recall": None if side.index.exact else {str(k): side.ann_recall(k) for k in (1, 10, 100)},
        "query_encoder": None
        if info is None
        else {"dtype": info.dtype, "device": info.device_name, "prompt": info.query_prompt},
    }
