"""The distinct texts of a file of embeddings, which is what is retrieved, reranked and judged.

Chunks with exactly the same text cannot be told apart by their content: a reader is served as well by one as
by the other. They are one item here, named by the smallest of their chunk ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qembed.corpus import page_id, point_id
from qembed.errors import DimensionMismatch, Mismatch
from qembed.progress import Progress
from qembed.records import Lengths, Vectors
from qembed.store import Embeddings, Record, placed_records
from qembed.store.keys import listed

_REMEDY = "qembed audit lists all that is wrong"


@dataclass(frozen=True, slots=True)
class Collection:
    """Distinct texts, sorted by id; position ``i`` is the same text in every field.

    Attributes:
        ids: The smallest chunk id with each text.
        texts: What was embedded.
        chunks: Every chunk id with it, sorted.
        pages: ``{subdirectory}/{filename}`` of those chunks, sorted; empty where the metadata do not say it.
        vectors: float32 (texts, dimension); that of the first chunk of the file with the text.
        tokens: Before truncation, as the metadata have it; int64 (texts,), -1 where they do not.
        records: Chunks in the file.
        disagreeing: Chunks whose vector differs from that of an earlier chunk with the same text.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    chunks: tuple[tuple[str, ...], ...]
    pages: tuple[tuple[str, ...], ...]
    vectors: Vectors
    tokens: Lengths
    records: int
    disagreeing: int

    @property
    def dimension(self) -> int:
        """Dimension of every vector."""
        return int(self.vectors.shape[1])

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True)
class _Text:
    vector: npt.NDArray[np.float32]
    tokens: int
    chunks: list[str] = field(default_factory=list)
    pages: set[str] = field(default_factory=set)


def read_collection(
    embeddings: Embeddings, *, like: Collection | None = None, progress: Progress = Progress()
) -> Collection:
    """Read every record once; memory is that of the distinct texts and their vectors.

    Args:
        embeddings: Which files.
        like: Another collection of the same chunks: a record without a text has the text that its id, a
            chunk id or a point id of Qdrant, has there; a text of which no page is known stands on its pages
            there.
        progress: Receives the progress of every record.

    Raises:
        Mismatch: A line that is no record, a text that is missing, a vector that no search can use; or none.
        DimensionMismatch: Vectors of two lengths.
    """
    found: dict[str, _Text] = {}
    records = disagreeing = dimension = 0
    elsewhere = _Elsewhere(like)
    for record, place in placed_records(embeddings):
        dimension = dimension or len(record.vector)
        _check(record, place, dimension)
        chunk_id, text = elsewhere.named(record, place)
        records += 1
        progress.advance(1)
        known = found.get(text)
        if known is None:
            known = found[text] = _Text(record.vector.copy(), _tokens(record.metadata))
        elif not np.array_equal(known.vector, record.vector):
            disagreeing += 1
        known.chunks.append(chunk_id)
        page = _page(record.metadata)
        if page is not None:
            known.pages.add(page)
    if not found:
        what = "collection" if embeddings.origin else "file"
        raise Mismatch(f"the {what} holds no vectors", where=embeddings.name, remedy=_REMEDY)
    _check_names(found, embeddings)
    ordered = sorted(found.items(), key=lambda item: min(item[1].chunks))
    there = dict(zip(like.texts, like.pages, strict=True)) if like else {}
    return Collection(
        ids=tuple(min(one.chunks) for _, one in ordered),
        texts=tuple(text for text, _ in ordered),
        chunks=tuple(tuple(sorted(one.chunks)) for _, one in ordered),
        pages=tuple(tuple(sorted(one.pages)) or there.get(text, ()) for text, one in ordered),
        vectors=np.stack([one.vector for _, one in ordered]),
        tokens=np.array([one.tokens for _, one in ordered], dtype=np.int64),
        records=records,
        disagreeing=disagreeing,
    )


class _Elsewhere:
    """Texts of another collection by chunk id and by point id; made when the first record has none."""

    def __init__(self, like: Collection | None) -> None:
        self._like = like
        self._texts: dict[str, tuple[str, str]] | None = None

    def named(self, record: Record, place: str) -> tuple[str, str]:
        """Chunk id and text of a record."""
        if record.text is not None and record.text.strip():
            return str(record.id), record.text
        if self._texts is None:
            self._texts = dict(self._pairs())
        found = self._texts.get(str(record.id))
        if found is None:
            raise self._no_text(record, place)
        return found

    def _no_text(self, record: Record, place: str) -> Mismatch:
        """What is wrong with a record without a text; which keys there are, and which option names one."""
        what, remedy = "rerankers and BM25 read texts", "name the key that holds it: --text-key KEY"
        if self._like is not None:
            what = "no chunk of the other embeddings has its id"
            remedy += ", or the one that holds the chunk id: --id-key KEY"
        remedy = f"{remedy}; {_REMEDY}" if record.metadata else _REMEDY
        keys = f" (keys of the metadata: {listed(record.metadata)})" if record.metadata else ""
        return Mismatch(f"{record.id!r} has no text{keys}, and {what}", where=place, remedy=remedy)

    def _pairs(self) -> Iterator[tuple[str, tuple[str, str]]]:
        if self._like is not None:
            for text, chunks in zip(self._like.texts, self._like.chunks, strict=True):
                for chunk in chunks:
                    yield str(point_id(chunk)), (chunk, text)
                    yield chunk, (chunk, text)


def _check(record: Record, place: str, dimension: int) -> None:
    if len(record.vector) != dimension:
        raise DimensionMismatch(
            f"{record.id!r} has {len(record.vector)} dimensions, the first vector {dimension}",
            where=place,
            remedy=_REMEDY,
        )
    if not np.isfinite(record.vector).all() or not record.vector.any():
        raise Mismatch("the vector is zero or not finite; no search can use it", where=place, remedy=_REMEDY)


def _check_names(found: Mapping[str, _Text], embeddings: Embeddings) -> None:
    """Refuse ids that name several texts: qrels, results and reranked candidates could not be told apart."""
    text_of: dict[str, str] = {}
    for text, one in found.items():
        for chunk in one.chunks:
            if text_of.setdefault(chunk, text) != text:
                raise Mismatch(
                    f"the id {chunk!r} names several texts",
                    where=embeddings.name,
                    remedy="--id-key KEY names the key of an id that every chunk has for itself; --id-key id "
                    "takes the point's own",
                )


def _page(metadata: dict[str, Any]) -> str | None:
    """The page of a chunk; in payloads of LangChain the metadata are an object of their own."""
    for held in (metadata, metadata.get("metadata")):
        if isinstance(held, dict) and held.get("subdirectory") and held.get("filename"):
            return page_id(str(held["subdirectory"]), str(held["filename"]))
    return None


def _tokens(metadata: dict[str, Any]) -> int:
    tokens = metadata.get("token_count")
    return tokens if isinstance(tokens, int) else -1
