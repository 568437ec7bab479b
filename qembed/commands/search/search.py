"""``search``: a question against embeddings: files, or a collection on a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qembed.corpus import content_sha256
from qembed.engine.workers.oom import encode_in_parts
from qembed.errors import DimensionMismatch, Mismatch, UsageError
from qembed.index import Condition, Hit, Index, IndexKind, Point, choose_index, make_index
from qembed.index.choose import MEMORY_POINTS
from qembed.index.payload import CONTENT_SHA256, TEXT, metadata_of, point_of
from qembed.index.protocol import Similarity
from qembed.index.server.address import is_address
from qembed.index.server.search import ServerIndex
from qembed.index.server.served import open_served
from qembed.index.server.source import There, embeddings_of, there_is
from qembed.models import Encoder, EncoderOptions
from qembed.progress import Progress
from qembed.store import USUAL, Embeddings, Keys, Manifest, manifest_of, placed_records
from qembed.store.made_with import load_query_encoder, model_name, name_here
from qembed.store.manifest import similarity_of


@dataclass(frozen=True, slots=True)
class Result:
    """One line of an answer: a text, found once however many chunks have it.

    Attributes:
        rank: From 1.
        score: Cosine of query and chunk, or their dot product where the model is made for it.
        chunk_id: The first chunk with this text, by id.
        text: The chunk's text.
        metadata: The chunk's payload, without the text and the hash of the point.
        copies: Ids of the other chunks with exactly this text.
    """

    rank: int
    score: float
    chunk_id: str
    text: str
    metadata: dict[str, Any]
    copies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenIndex:
    """An index with the encoder that made its vectors.

    Attributes:
        index: The vectors.
        encoder: Encodes questions as the vectors were made.
        manifest: What is known of the vectors; None for files of other tools.
    """

    index: Index
    encoder: Encoder
    manifest: Manifest | None

    def ask(self, question: str, *, k: int = 10, where: Sequence[Condition] = ()) -> list[Result]:
        """The ``k`` best distinct texts, best first.

        Raises:
            UsageError: An empty question.
        """
        if not question.strip():
            raise UsageError("the question is empty")
        if any("\ud800" <= character <= "\udfff" for character in question):
            raise UsageError(f"the question {question!r} is not valid Unicode", remedy="type it in UTF-8")
        vector = encode_in_parts(self.encoder, [question], "query")[0]
        return distinct_results(self.index, vector, k=k, where=where)


@dataclass(slots=True)
class _Group:
    best: Hit
    copies: list[str] = field(default_factory=list)


def open_index(
    embeddings: Path | str,
    *,
    model: str | None = None,
    options: EncoderOptions = EncoderOptions(),
    index: IndexKind = "auto",
    keys: Keys = USUAL,
    progress: Progress = Progress(),
) -> OpenIndex:
    """Load embeddings of any format into an index, and the model that made them.

    A collection on a server is asked in place: nothing is read of it but what is found. With an index named,
    it is read into that one.

    Args:
        embeddings: The file (JSON lines, Parquet or npy; any shard means all), the folder it lies in, or an
            address like ``qdrant://localhost/docs``.
        model: Needed only where neither a manifest nor the collection says which model it was.
        options: Device, precision and trust; prompts, lengths and dimension come from the manifest.
        index: Which one; ``auto`` goes by the number of vectors (``choose_index``). All compare every vector.
        keys: What the user says about the keys of foreign records.
        progress: Receives the progress of every phase.

    Raises:
        InputNotFound: No embeddings there, or not all of their files.
        Mismatch: A line that is no record, or another model than the vectors were made with.
        DimensionMismatch: Vectors of two lengths.
        ModelUnreachable: The model is neither here nor on the hub.
        UsageError: No such index, or the package of ``edge`` is not installed.
        QembedError: As ``index.server.served.open_served``, of a collection.
    """
    choose_index(index, points=0)  # an error now, not once the vectors are read
    try:
        if index == "auto" and is_address(str(embeddings)):
            return _open_in_place(str(embeddings), model, options, keys, progress)
        there = there_is(embeddings)
        if is_address(str(embeddings)):
            model = model_name(str(embeddings), None, model or there.model)
        with embeddings_of(embeddings, keys, progress) as found:
            return _open_read(found, model, options, index, there, progress)
    finally:
        progress.close()


def _open_in_place(
    address: str, model: str | None, options: EncoderOptions, keys: Keys, progress: Progress
) -> OpenIndex:
    """A collection that its server searches."""
    progress.phase("looking at the collection")
    served = open_served(address, note=progress.note)
    index = ServerIndex(served, keys)
    try:
        name = model_name(address, None, model or name_here(served.model, served.weights))
        progress.phase(f"loading {name}")
        encoder = load_query_encoder(
            address,
            None,
            name,
            options,
            dimension=index.dimension,
            weights=served.weights,
            query_prompt=served.query_prompt,
        )
    except BaseException:
        index.close()
        raise
    return OpenIndex(index, encoder, None)


def _open_read(
    found: Embeddings,
    model: str | None,
    options: EncoderOptions,
    index: IndexKind,
    there: There,
    progress: Progress,
) -> OpenIndex:
    """Files, or a copy of a collection, in an index of this process."""
    path, manifest = found.origin or found.path, manifest_of(found)
    name = model_name(path, manifest, model)
    count = manifest.output.records if manifest else None
    progress.phase("loading vectors", total=count, unit="vectors")
    loaded = _load(found, index, there.similarity or similarity_of(manifest), progress)
    progress.phase(f"loading {name}")
    encoder = load_query_encoder(
        path, manifest, model, options, dimension=loaded.dimension, **there.made_with
    )
    similarity = there.similarity or similarity_of(manifest, encoder.info.similarity)
    if similarity != loaded.similarity:  # no manifest said so before the model was loaded
        loaded.close()
        loaded = _load(found, index, similarity, progress)
    return OpenIndex(loaded, encoder, manifest)


def search(
    embeddings: Path | str,
    question: str,
    *,
    k: int = 10,
    where: Sequence[Condition] = (),
    model: str | None = None,
    options: EncoderOptions = EncoderOptions(),
    index: IndexKind = "auto",
) -> list[Result]:
    """The ``k`` chunks nearest to one question; raises what ``open_index`` raises.

    To ask several questions, use ``open_index``: it loads vectors and model once.
    """
    return open_index(embeddings, model=model, options=options, index=index).ask(question, k=k, where=where)


def distinct_results(
    index: Index, vector: npt.NDArray[np.float32], *, k: int, where: Sequence[Condition] = ()
) -> list[Result]:
    """The ``k`` best distinct texts; chunks with identical text become one result.

    Copies share one vector and so one score; the search deepens until a score below the ``k``-th text's is
    seen, which makes the counts of all ``k`` complete (texts that the model cuts can share a vector too).
    """
    depth = 2 * (k + 1)
    while True:
        hits = index.search(vector, depth=depth, where=where)
        groups: dict[str, _Group] = {}
        for hit in hits:
            key = _text_key(hit)
            if key in groups:
                groups[key].copies.append(hit.chunk_id)
            else:
                groups[key] = _Group(hit)
        scores = [group.best.score for group in groups.values()]
        if len(hits) < depth or (len(groups) > k and hits[-1].score < scores[k - 1]):
            break
        depth *= 4
    return [_result(rank, group) for rank, group in enumerate(list(groups.values())[:k], start=1)]


def _result(rank: int, group: _Group) -> Result:
    best = group.best
    text, metadata = str(best.payload.get(TEXT, "")), metadata_of(best.payload)
    return Result(rank, best.score, best.chunk_id, text, metadata, tuple(sorted(group.copies)))


def _text_key(hit: Hit) -> str:
    """Equal for chunks with the same text; a chunk without a text is one of its own."""
    if hit.payload.get(CONTENT_SHA256):
        return str(hit.payload[CONTENT_SHA256])
    return content_sha256(str(hit.payload[TEXT])) if TEXT in hit.payload else hit.chunk_id


def _load(embeddings: Embeddings, kind: IndexKind, similarity: Similarity, progress: Progress) -> Index:
    name, points = embeddings.name, _points(embeddings, progress)
    head = list(islice(points, MEMORY_POINTS + 1))  # enough to choose by
    if not head:
        what = "collection" if embeddings.origin else "file"
        raise Mismatch(f"the {what} holds no vectors", where=name, remedy="qembed audit tells what is wrong")
    dimension = len(head[0].vector)
    index = make_index(choose_index(kind, len(head)), dimension, similarity)
    try:
        index.add(_same_length(chain(head, points), dimension, name))
    except BaseException:
        index.close()
        raise
    return index


def _points(embeddings: Embeddings, progress: Progress) -> Iterator[Point]:
    for record, place in placed_records(embeddings):
        if not np.isfinite(record.vector).all() or not record.vector.any():
            raise Mismatch(
                "the vector is zero or not finite; no search can use it",
                where=place,
                remedy="qembed audit lists all that is wrong",
            )
        progress.advance(1)
        yield point_of(record)


def _same_length(points: Iterator[Point], dimension: int, name: str) -> Iterator[Point]:
    for point in points:
        if len(point.vector) != dimension:
            raise DimensionMismatch(
                f"{point.chunk_id!r} has {len(point.vector)} dimensions, the first vector {dimension}",
                where=name,
                remedy="qembed audit lists all that is wrong",
            )
        yield point
