"""What only in-memory Qdrant does: the contract's point ids, no advice about servers."""

from __future__ import annotations

from contextlib import closing
from hashlib import sha256

import numpy as np

from qembed.index import MemoryIndex, Point


def test_point_ids_are_the_contracts() -> None:
    with closing(MemoryIndex(2)) as index:
        index.add([Point("c:docs:a.md:chunk:0", np.array([1, 0], dtype=np.float32), {})])
        (point,), _ = index._client.scroll("qembed")
        digest = int(sha256(b"c:docs:a.md:chunk:0").hexdigest(), 16)
        assert point.id == digest % 2**63
        assert point.payload == {"chunk_id": "c:docs:a.md:chunk:0"}


def test_no_advice_about_servers() -> None:
    """Qdrant warns beyond 20,000 points; warnings are errors here."""
    with closing(MemoryIndex(2)) as index:
        index.add(Point(str(n), np.array([1, n], dtype=np.float32), {}) for n in range(20_001))
        assert len(index) == 20_001
