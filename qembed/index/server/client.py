"""The connection to a server.

The key of the server comes from ``QDRANT_API_KEY`` or from a prompt. It is sent in a header and kept nowhere
else: no message, representation, journal or log of qembed holds it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from time import sleep
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qembed.errors import UsageError
from qembed.index.server.address import Address
from qembed.index.server.failures import API_KEY, PASSING, passing
from qembed.index.server.retry import Again, Patience, retrying

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

TIMEOUT_SECONDS = 60
"""For one request; the client's own 5 seconds are too few for a server that indexes."""


def connect(
    address: Address,
    *,
    api_key: str | None = None,
    timeout_seconds: int = TIMEOUT_SECONDS,
    note: Callable[[str], None] = lambda _: None,
    patience: Patience | None = None,
    retry: Callable[[Again, float], None] = lambda *_: None,
    wait: Callable[[float], object] = sleep,
) -> QdrantClient:
    """A client of a server, over REST. Nothing is sent yet.

    Args:
        address: The collection.
        api_key: Key of the server; that in ``QDRANT_API_KEY`` when None.
        timeout_seconds: For one request.
        note: Told where the key would travel unencrypted.
        patience: How long every request is tried again while it fails in a way that may pass; once when None.
            A request may then be applied twice, so it must be idempotent.
        retry: Told of every such failure and of the wait, from the thread of the request.
        wait: Waits for some seconds; may raise in order to stop.

    Raises:
        UsageError: The URL is none that the client takes, or the key cannot be sent.
    """
    from qdrant_client import QdrantClient

    key = (api_key if api_key is not None else os.environ.get(API_KEY, "")).strip()
    if not (key.isascii() and key.isprintable()):  # httpx would repeat it in its message
        raise UsageError(
            "the API key has characters that no header can hold", remedy=f"see what is in {API_KEY}"
        )
    if key and address.url.startswith("http://") and not address.loopback:
        note(f"the API key goes to {address.host} unencrypted; use https where the server has it")
    # This machine is reached directly, not through the proxy of HTTP_PROXY, which would get the key.
    direct: dict[str, Any] = {"mounts": {"http://": None, "https://": None}} if address.loopback else {}
    try:
        client = QdrantClient(
            url=address.url,
            timeout=timeout_seconds,
            # As a header: the client warns of every key over http, also on loopback.
            metadata={"api-key": key} if key else {},
            check_compatibility=False,  # it asks from a thread, and warns where nobody is told; see `version`
            **direct,
        )
    except Exception as error:  # httpx.InvalidURL, or whatever the version of the client raises
        raise UsageError(f"the URL {address.url!r} cannot be used: {error}") from error
    _escape_names(client)
    if patience is not None:
        client.http.client.add_middleware(_patient(patience, retry, wait))
    return client


def _escape_names(client: QdrantClient) -> None:
    """Escape names in URLs, which clients before 1.20 do not: of ``docs#2`` they would write to ``docs``."""
    if _client_escapes():
        return
    there: Any = client.http.client
    request = there.request

    def escaped(*, path_params: dict[str, Any] | None = None, **rest: Any) -> Any:
        names = {key: quote(str(value), safe="") for key, value in (path_params or {}).items()}
        return request(path_params=names, **rest)

    there.request = escaped


def _client_escapes() -> bool:
    from qdrant_client.http import api_client

    return hasattr(api_client, "quote_path_params")


def _patient(
    patience: Patience, retry: Callable[[Again, float], None], wait: Callable[[float], object]
) -> Callable[[Any, Callable[[Any], Any]], Any]:
    """Middleware of the client that tries a request again."""
    from qdrant_client.http.exceptions import UnexpectedResponse

    def middleware(request: Any, send: Callable[[Any], Any]) -> Any:
        def once() -> Any:
            response = send(request)
            if response.status_code in PASSING:
                raise UnexpectedResponse.for_response(response)
            return response

        return retrying(once, passing=passing, patience=patience, retry=retry, sleep=wait)

    return middleware


def version(client: QdrantClient) -> tuple[int, int]:
    """Major and minor version of the server; (0, 0) where it does not tell."""
    numbers = re.match(r"(\d+)\.(\d+)", str(client.info().version))
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def compare_versions(client: QdrantClient, note: Callable[[str], None]) -> None:
    """Say where client and server are further apart than their makers support, as the client itself does."""
    from importlib.metadata import version as installed

    from qdrant_client.common.version_check import is_compatible

    here, there = installed("qdrant-client"), str(client.info().version)
    if not is_compatible(here, there):
        note(
            f"the server is Qdrant {there}, the installed qdrant-client {here}: "
            "their minor versions should differ by 1 at most"
        )
