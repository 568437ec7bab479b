"""The server of an upload: asked for its key where it wants one, and tried again while it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from qembed.commands.upload.options import UploadOptions
from qembed.index.server.address import Address
from qembed.index.server.client import compare_versions, connect, version
from qembed.index.server.failures import explained
from qembed.index.server.retry import Again, Patience
from qembed.index.server.send import Stopped
from qembed.progress import Progress

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

_NOTE_EVERY_SECONDS = 10.0


class Retries:
    """Counts requests that are tried again, and says so now and then. Called from several threads."""

    def __init__(self, progress: Progress) -> None:
        self.count = 0
        self.stop = threading.Event()
        self._progress = progress
        self._lock = threading.Lock()
        self._said = -_NOTE_EVERY_SECONDS

    def __call__(self, again: Again, seconds: float) -> None:
        """A request failed and is tried again after some seconds."""
        with self._lock:
            self.count += 1
            if seconds >= 1 and monotonic() - self._said >= _NOTE_EVERY_SECONDS:
                self._said = monotonic()
                self._progress.note(f"the server fails ({again.why}); retrying in {seconds:.0f} s")

    def wait(self, seconds: float) -> None:
        """Sleep, unless the upload ends meanwhile.

        Raises:
            Stopped: It does.
        """
        if self.stop.wait(seconds):
            raise Stopped


@contextmanager
def server_of(
    address: Address,
    options: UploadOptions,
    *,
    api_key: str | None,
    ask_key: Callable[[], str] | None,
    progress: Progress,
) -> Iterator[tuple[QdrantClient, tuple[int, int], Retries]]:
    """A patient client, the server's version, and what counts retries; closed and stopped at the end.

    Raises:
        Unreachable: The server cannot be reached, refuses the key, or failed for too long.
        QembedError: As ``explained`` tells of what goes wrong meanwhile.
    """
    retries = Retries(progress)

    def ask() -> str:
        assert ask_key is not None
        progress.close()  # nothing is drawn while the user types
        return ask_key()

    try:
        progress.phase("connecting")
        client, version = open_server(
            address,
            options,
            retries,
            api_key=api_key,
            ask_key=ask if ask_key else None,
            note=progress.note,
        )
        with closing(client), explained(address, client):
            yield client, version, retries
    finally:
        retries.stop.set()
        progress.close()


def open_server(
    address: Address,
    options: UploadOptions,
    retries: Retries,
    *,
    api_key: str | None,
    ask_key: Callable[[], str] | None,
    note: Callable[[str], None],
) -> tuple[QdrantClient, tuple[int, int]]:
    """A patient client, and the server's version. The first request is not tried again.

    Args:
        address: The collection.
        options: Timeout and patience.
        retries: Told of every retry.
        api_key: Key of the server; that in ``QDRANT_API_KEY`` when None.
        ask_key: Asks the user for a key where the server wants one and there is none.
        note: Told what the user should know.

    Raises:
        Unreachable: The server cannot be reached, or refuses the key.
    """
    from qdrant_client.http.exceptions import UnexpectedResponse

    with explained(address):
        first = connect(address, api_key=api_key, timeout_seconds=options.timeout_seconds)
        try:
            version(first)
            first.collection_exists(address.collection)  # the version is told to everybody, this is not
        except UnexpectedResponse as error:
            if error.status_code not in (401, 403) or ask_key is None:
                raise
            api_key = ask_key()
        finally:
            first.close()
        patient = connect(
            address,
            api_key=api_key,
            timeout_seconds=options.timeout_seconds,
            note=note,
            patience=Patience(options.patience_seconds),
            retry=retries,
            wait=retries.wait,
        )
        number = version(patient)
        compare_versions(patient, note)
        patient.collection_exists(address.collection)
    return patient, number
