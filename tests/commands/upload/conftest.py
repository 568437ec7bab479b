"""What the tests of upload share: a server, embeddings, and retries that do not wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
from qdrant_stub import QdrantStub, qdrant_stub
from uploads import make_embeddings

from qembed.commands.upload.options import UploadOptions
from qembed.commands.upload.result import UploadResult
from qembed.commands.upload.upload import upload

Upload: TypeAlias = Callable[..., UploadResult]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Locks in a folder of the test; no server and no key from outside, unless the test wants them."""
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))
    if request.node.get_closest_marker("server"):
        return
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    monkeypatch.delenv("QDRANT_URL", raising=False)


@pytest.fixture
def stub() -> Iterator[QdrantStub]:
    with qdrant_stub() as served:
        yield served


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with 100 chunks."""
    return make_embeddings(tmp_path / "out", 100)


@pytest.fixture
def options() -> UploadOptions:
    """Ten requests, two at a time."""
    return UploadOptions(batch_points=10, streams=2, patience_seconds=20, green_seconds=5)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once, as far as the server does not say otherwise."""
    monkeypatch.setattr("qembed.commands.upload.connection.Retries.wait", lambda self, seconds: None)


@pytest.fixture
def run(stub: QdrantStub, out: Path, options: UploadOptions, no_waiting: None) -> Upload:
    """``run()`` uploads ``out`` into the collection ``docs``; anything can be named otherwise."""

    def call(embeddings: Path = out, **changes: object) -> UploadResult:
        settings = {"url": stub.url, "collection": "docs", "options": options, **changes}
        return partial(upload, embeddings)(**settings)  # type: ignore[arg-type]

    return call
