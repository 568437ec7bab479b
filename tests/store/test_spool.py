"""Chunks on disk: any of them back at any time; vectors on disk."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.records import Chunk, Place
from qembed.store import Spool, open_vectors

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
CHUNKS = st.lists(
    st.tuples(TEXT, TEXT, st.dictionaries(TEXT, st.integers(0, 9) | TEXT, max_size=3)), max_size=20
)


@given(chunks=CHUNKS, data=st.data())
def test_random_access(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[tuple[str, str, dict]], data: st.DataObject
) -> None:
    with closing(Spool(tmp_path_factory.mktemp("spool"))) as spool:
        for name, text, metadata in chunks:
            spool.append(Chunk(name, text, metadata, Place("p")))
        assert len(spool) == len(chunks)
        order = data.draw(st.permutations(range(len(chunks))))
        for position in order:
            assert tuple(spool[position]) == chunks[position]
        assert spool.texts(np.array(order, dtype=np.int64)) == [chunks[position][1] for position in order]


def test_appending_after_reading(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        for number in range(5):
            spool.append(Chunk(str(number), f"text {number}", {}, Place("p")))
            assert spool[0].text == "text 0"
        assert spool.texts(range(5)) == [f"text {number}" for number in range(5)]


def test_beyond_the_end(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool, pytest.raises(IndexError):
        spool[0]


def test_vectors_lie_on_disk(tmp_path: Path) -> None:
    vectors = open_vectors(tmp_path, 3, 4)
    assert (vectors.dtype, vectors.shape) == (np.float32, (3, 4))
    assert not vectors.any()
    vectors[1] = [1, 2, 3, 4]
    vectors.flush()
    assert (tmp_path / "vectors.f32").stat().st_size == 48
    assert np.fromfile(tmp_path / "vectors.f32", dtype=np.float32)[4:8].tolist() == [1, 2, 3, 4]
    assert (tmp_path / "vectors.f32").stat().st_blocks > 0  # the room is taken now, not when it is too late
