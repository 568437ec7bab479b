"""Collections on a server for tests that read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient, models

from qembed.corpus import point_id
from qembed.index.payload import point_of
from qembed.index.server.address import Address
from qembed.index.server.client import connect
from qembed.store import find_embeddings, placed_records


def fill(
    url: str,
    points: Mapping[int | str, tuple[Any, Mapping[str, Any]]],
    vectors: Any,
    *,
    collection: str = "docs",
    sparse: Sequence[str] = (),
) -> str:
    """A collection of points (id -> vector, payload), made anew; returns its address."""
    address = Address.of(url, collection)
    client = connect(address)
    client.delete_collection(collection)
    client.create_collection(
        collection,
        vectors_config=vectors,
        sparse_vectors_config={name: models.SparseVectorParams() for name in sparse} or None,
    )
    made = [
        models.PointStruct(id=name, vector=vector, payload=dict(payload))
        for name, (vector, payload) in points.items()
    ]
    _upsert(client, collection, made)
    client.close()
    return str(address)


def plain(dimension: int, distance: models.Distance = models.Distance.COSINE) -> models.VectorParams:
    """One unnamed vector."""
    return models.VectorParams(size=dimension, distance=distance)


def upload(url: str, folder: Path, *, collection: str = "docs", texts: bool = True) -> str:
    """The embeddings of a folder as ``qembed upload`` sends them; without texts where there shall be none."""
    points: dict[int | str, tuple[Any, Mapping[str, Any]]] = {}
    dimension = 0
    for record, _ in placed_records(find_embeddings(folder)):
        point = point_of(record)
        payload = point.payload if texts else {"page": record.metadata.get("filename")}
        points[point_id(point.chunk_id)] = (point.vector.tolist(), payload)
        dimension = len(point.vector)
    return fill(url, points, plain(dimension), collection=collection)


def _upsert(client: QdrantClient, collection: str, points: Sequence[models.PointStruct]) -> None:
    for start in range(0, len(points), 256):
        client.upsert(collection, points[start : start + 256], wait=True)
