"""The journal of an upload, for any damage; and its lock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.errors import QembedError
from qembed.index.server.address import Address
from qembed.index.server.journal import Head, UploadJournal, only_one

HEAD = Head("qdrant://localhost:6333/docs", "ab" * 32, 50)


def test_claims_come_back(tmp_path: Path) -> None:
    path = tmp_path / "c_embeddings.jsonl"
    journal = UploadJournal(path, HEAD)
    assert not journal.claimed.any()
    journal.done(0, 9)
    journal.done(30, 30)
    journal.close(finished=False)
    again = UploadJournal(path, HEAD)
    assert again.claimed.nonzero()[0].tolist() == [*range(10), 30]
    assert not again.replaced
    again.close(finished=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", [{"embeddings_sha256": "cd" * 32}, {"records": 51}])
def test_other_embeddings_begin_anew(tmp_path: Path, change: dict[str, str]) -> None:
    path = tmp_path / "c_embeddings.jsonl"
    journal = UploadJournal(path, HEAD)
    journal.done(0, 9)
    journal.close(finished=False)
    again = UploadJournal(path, replace(HEAD, **change))  # type: ignore[arg-type]
    assert again.replaced
    assert not again.claimed.any()
    again.close(finished=False)


@given(st.integers(0, 400), st.binary(max_size=20))
def test_any_damage_claims_nothing_that_was_not_sent(
    tmp_path_factory: pytest.TempPathFactory, at: int, bytes_: bytes
) -> None:
    """Cut anywhere, and anything written behind the cut but a claim."""
    path = tmp_path_factory.mktemp("journal") / "c_embeddings.jsonl"
    journal = UploadJournal(path, HEAD)
    for first in range(0, 50, 10):
        journal.done(first, first + 4)
    journal.close(finished=False)
    data = journal.path.read_bytes()
    journal.path.write_bytes(data[:at] + bytes_)
    again = UploadJournal(path, HEAD)
    claimed = again.claimed.nonzero()[0]
    assert all(number % 10 < 5 for number in claimed)
    again.done(45, 46)
    again.close(finished=False)
    last = UploadJournal(path, HEAD)
    assert set(claimed) | {45, 46} <= set(last.claimed.nonzero()[0])
    last.close(finished=False)


def test_no_place_for_a_journal_is_a_note(tmp_path: Path) -> None:
    journal = UploadJournal(tmp_path / "absent" / "c_embeddings.jsonl", HEAD)
    assert journal.note is not None
    assert "start over" in journal.note
    journal.done(0, 1)
    journal.close(finished=True)


def test_no_place_for_the_lock_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path / "file"))
    with (
        pytest.raises(QembedError, match="the lock file cannot be created") as failed,
        only_one(Address.of("x", "docs")),
    ):
        pass
    assert "QEMBED_CACHE" in str(failed.value)


def test_one_upload_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMBED_CACHE", str(tmp_path))
    docs = Address.of("localhost", "docs")
    with only_one(docs):
        with (
            pytest.raises(QembedError, match="another upload into this collection"),
            only_one(Address.of("localhost", "docs", "text")),  # another vector of the same points
        ):
            pass
        with only_one(Address.of("localhost", "other")):
            pass
    with only_one(docs):
        pass
