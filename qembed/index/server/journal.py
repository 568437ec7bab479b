"""What an upload has sent, beside the embeddings, so that a killed one resumes; and that there is only one.

    {"schema": ..., "target": "qdrant://...", "embeddings_sha256": ..., "records": 8108}
    {"first": 0, "last": 255}        one line for every batch that the server has confirmed

A line is a claim, not the truth: points that the journal names are compared with those of the server before
they are left out. So a journal that is torn, or of a collection that was deleted, costs time, never points.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt
import orjson
from filelock import FileLock, Timeout

from qembed.errors import QembedError
from qembed.index.server.address import Address
from qembed.user_cache import VARIABLE, user_cache

SCHEMA = "qembed.upload-journal/1"


@dataclass(frozen=True, slots=True)
class Head:
    """What an upload sends, and where to.

    Attributes:
        target: The address of the collection.
        embeddings_sha256: Hash of the files of embeddings, as ``manifest.sha256_of``.
        records: How many they hold.
        schema: Version of this form.
    """

    target: str
    embeddings_sha256: str
    records: int
    schema: str = SCHEMA


class _Line(msgspec.Struct, frozen=True):
    first: int
    last: int


class UploadJournal:
    """The journal of one upload.

    Attributes:
        path: Its file, hidden beside the embeddings.
        claimed: Records that an earlier upload has sent, by its journal; bool (records,).
        replaced: Whether there was a journal of other embeddings.
        note: Why nothing is written down; None where it is.
    """

    def __init__(self, embeddings: Path, head: Head) -> None:
        """Open the journal of a target, or begin it.

        Args:
            embeddings: File of the embeddings; of several, the first.
            head: What is sent.
        """
        self.path = journal_path(embeddings, head.target)
        self.note: str | None = None
        self._file: BinaryIO | None = None
        found, lines, sound_bytes = _read(self.path)
        same = found == head
        self.replaced = found is not None and not same
        self.claimed: npt.NDArray[np.bool_] = np.zeros(head.records, dtype=np.bool_)
        for line in lines if same else ():
            if 0 <= line.first <= line.last < head.records:
                self.claimed[line.first : line.last + 1] = True
        try:
            self._file = self.path.open("r+b" if same else "wb", buffering=0)
            if same:
                self._file.truncate(sound_bytes)  # a line that was torn would spoil the next one
                self._file.seek(sound_bytes)
            else:
                self._append(asdict(head))
        except OSError as error:
            self._stop(error)

    def done(self, first: int, last: int) -> None:
        """The server has confirmed these records."""
        if self._file is None:
            return
        try:
            self._append({"first": first, "last": last})
        except OSError as error:  # the upload can do without
            self._stop(error)

    def close(self, *, finished: bool) -> None:
        """Close it; one whose upload has finished is removed."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if finished:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _append(self, document: object) -> None:
        assert self._file is not None
        rest = memoryview(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
        while len(rest):
            rest = rest[self._file.write(rest) :]

    def _stop(self, error: OSError) -> None:
        reason = error.strerror or error
        self.note = f"no journal can be written ({reason}): after a kill, the upload would start over"
        if self._file is not None:
            self._file.close()
            self._file = None


def journal_path(embeddings: Path, target: str) -> Path:
    """Where the journal of a target is."""
    return embeddings.parent / f".{embeddings.name}.{_short(target)}.upload"


@contextmanager
def only_one(address: Address) -> Iterator[None]:
    """Hold the lock of a collection. It holds on this machine only: a server knows of no locks.

    Raises:
        QembedError: Another upload into this collection runs here, or there is no place for the lock.
    """
    folder = user_cache() / "uploads"
    target = str(Address(address.url, address.collection))
    lock = FileLock(folder / f"{_short(target)}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise QembedError(
            "another upload into this collection is running on this machine",
            where=target,
            remedy="wait until it has finished",
        ) from None
    except OSError as error:
        raise QembedError(
            f"the lock file cannot be created: {error.strerror or error}",
            where=str(folder),
            remedy=f"{VARIABLE} names a folder that can be written",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _short(target: str) -> str:
    return sha256(target.encode()).hexdigest()[:16]


def _read(path: Path) -> tuple[Head | None, list[_Line], int]:
    """Head, lines, and how many bytes at the beginning are whole lines."""
    try:
        data = path.read_bytes()
    except OSError:
        return None, [], 0
    whole = data[: data.rfind(b"\n") + 1]
    first, *rest = whole.splitlines() or [b""]
    try:
        head = msgspec.json.decode(first, type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None, [], 0
    lines = []
    for line in rest:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):  # a claim less
            lines.append(msgspec.json.decode(line, type=_Line))
    return head, lines, len(whole)
