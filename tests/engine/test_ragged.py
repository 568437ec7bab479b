"""Texts of a window on disk and back, by position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.engine.ragged import Ragged, pack_texts, window_path, write_ragged

IDS = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9), max_size=20)
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20)


def write_ids(path: Path, ids: list[list[int]]) -> None:
    offsets = np.concatenate([[0], np.cumsum([len(item) for item in ids])]).astype(np.int64)
    with path.open("wb") as file:
        write_ragged(file, offsets, np.array([number for item in ids for number in item], dtype=np.int32))


@given(ids=IDS, data=st.data())
def test_token_ids(
    tmp_path_factory: pytest.TempPathFactory, ids: list[list[int]], data: st.DataObject
) -> None:
    path = window_path(tmp_path_factory.mktemp("ragged"), 3)
    write_ids(path, ids)
    positions = data.draw(st.lists(st.integers(0, len(ids) - 1)) if ids else st.just([]))
    read = Ragged(path, tokens=True).ids(np.array(positions, dtype=np.int64))
    assert [item.tolist() for item in read] == [ids[position] for position in positions]
    assert all(item.dtype == np.int32 for item in read)


@given(texts=TEXTS)
def test_texts(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = window_path(tmp_path_factory.mktemp("ragged"), 0)
    with path.open("wb") as file:
        write_ragged(file, *pack_texts(texts))
    backwards = np.arange(len(texts), dtype=np.int64)[::-1]
    assert Ragged(path, tokens=False).texts(backwards) == texts[::-1]


@pytest.mark.parametrize("count", [0, 3, 510])  # of 510, the items would begin at the end of a page
def test_empty_texts(tmp_path: Path, count: int) -> None:
    write_ids(tmp_path / "w", [[]] * count)
    read = Ragged(tmp_path / "w", tokens=True).ids(np.arange(count))
    assert [item.tolist() for item in read] == [[]] * count


def test_what_was_read_stays_when_the_file_goes(tmp_path: Path) -> None:
    write_ids(tmp_path / "w", [[1, 2], [3]])
    ragged = Ragged(tmp_path / "w", tokens=True)
    (tmp_path / "w").unlink()
    assert ragged.ids(np.array([1, 0]))[1].tolist() == [1, 2]


def test_windows_have_names_of_their_own(tmp_path: Path) -> None:
    assert len({window_path(tmp_path, number) for number in range(3)}) == 3
