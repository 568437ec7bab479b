"""Chunks on disk: any of them back at any time, from any thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.records import Chunk, Place
from qembed.store import Spool

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


def test_from_several_threads(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool, ThreadPoolExecutor(4) as threads:
        for number in range(500):
            spool.append(Chunk(str(number), f"text {number}", {}, Place("p")))
        parts = [range(start, 500, 4) for start in range(4)]
        for part, texts in zip(parts, threads.map(spool.texts, parts), strict=True):
            assert texts == [f"text {number}" for number in part]


def test_closing_twice_and_without_its_folder(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(Chunk("a", "b", {}, Place("p")))
    spool.path.unlink()
    spool.close()
    spool.close()
