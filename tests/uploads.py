"""Small embeddings to upload, and whether a server holds exactly them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from qdrant_stub import QdrantStub

from qembed.corpus import point_id
from qembed.index.payload import point_of
from qembed.store import find_embeddings, open_writer, placed_records


def make_embeddings(
    folder: Path, count: int, *, dimension: int = 4, seed: int = 0, collection: str = "c", suffix: str = ""
) -> Path:
    """Write chunks with random vectors of norm 1; ``suffix`` makes other texts. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with open_writer("jsonl", folder, collection, dimension=dimension, records=count) as writer:
        writer.add(
            [f"{collection}:docs:page{number}.md:chunk:0" for number in range(count)],
            [f"chunk {number} of a page{suffix}" for number in range(count)],
            vectors,
            [{"collection": collection, "subdirectory": "docs", "number": number} for number in range(count)],
        )
        writer.close()
    return folder


def held(
    stub: QdrantStub, collection: str, vector: str = ""
) -> dict[int, tuple[npt.NDArray[np.float32], dict[str, object]]]:
    """Every point that the engine behind the stub holds: id -> vector, payload."""
    points, after = stub.db.scroll(collection, limit=100_000, with_vectors=True)
    assert after is None
    return {
        point.id: (np.array(point.vector[vector] if vector else point.vector, np.float32), point.payload)
        for point in points
    }


def assert_holds(stub: QdrantStub, collection: str, embeddings: Path, vector: str = "") -> None:
    """The collection holds every point of the embeddings as they are, and no other."""
    found = held(stub, collection, vector)
    records = [record for record, _ in placed_records(find_embeddings(embeddings))]
    assert len(found) == len(records)
    for record in records:
        point = point_of(record)
        stored, payload = found[point_id(point.chunk_id)]
        assert payload == point.payload
        np.testing.assert_allclose(stored, point.vector / np.linalg.norm(point.vector), atol=1e-6)
