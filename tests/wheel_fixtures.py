"""Models from wheels that are built on the spot; qembed's cache and pip's settings are the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_wheels import TinyWheel, tiny_wheel

from qembed.models import catalog
from qembed.models.catalog import ModelCard


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """qembed's cache; it does not exist yet."""
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all pip knows: no network and no settings of this machine."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "PIP_INDEX_URL": "",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_CACHE_DIR": str(tmp_path / "pip"),
    }.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def in_catalog(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModelCard], None]:
    """``in_catalog(card)`` puts a card in the place of the one with its id."""

    def put(card: ModelCard) -> None:
        cards = tuple({**{other.id: other for other in catalog.load_catalog()}, card.id: card}.values())
        monkeypatch.setattr(catalog, "load_catalog", lambda: cards)

    return put


@pytest.fixture
def embedder(index: Path, in_catalog: Callable[[ModelCard], None]) -> TinyWheel:
    """``bge-small`` is a small model, whose wheel pip finds."""
    made = tiny_wheel(index, "embedder")
    in_catalog(made.card)
    return made
