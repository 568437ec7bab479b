"""Talking to a server: the connection, and what its failures mean.

The key of the server comes from ``QDRANT_API_KEY`` or from a prompt. It is sent in a header and kept nowhere
else: no message, representation, journal or log of qembed holds it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from time import sleep, time
from typing import TYPE_CHECKING, Any

from qembed.errors import DimensionMismatch, InputNotFound, Mismatch, QembedError, Unreachable, UsageError
from qembed.index.server.address import Address
from qembed.index.server.retry import Again, GaveUp, Patience, retrying

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

API_KEY = "QDRANT_API_KEY"
TIMEOUT_SECONDS = 60
"""For one request; the client's own 5 seconds are too few for a server that indexes."""

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_DISK_FULL = re.compile(
    r"no space left|not enough space|out of disk|disk (is )?full|disk quota", re.IGNORECASE
)
# What servers say to requests that hold too much: in bytes (400; a proxy says 413), in points under strict
# mode (400), and more than a rate limit can ever let through (429 without Retry-After).
_TOO_LARGE = re.compile(
    r"is larger than allowed|payload has exceeded limit|try to split your request"
    r"|Limit exceeded \d+ > \d+ for \W*(upsert )?limit",
    re.IGNORECASE,
)
_DIMENSION = re.compile(r"dimension error: expected dim: (\d+), got (\d+)", re.IGNORECASE)
_REACH = "see that the server runs and that URL and port are right (curl {url}/readyz)"


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
    try:
        client = QdrantClient(
            url=address.url,
            timeout=timeout_seconds,
            # As a header: the client warns of every key over http, also on loopback.
            metadata={"api-key": key} if key else {},
            check_compatibility=False,  # it asks from a thread, and warns where nobody is told; see `version`
        )
    except Exception as error:  # httpx.InvalidURL, or whatever the version of the client raises
        raise UsageError(f"the URL {address.url!r} cannot be used: {error}") from error
    if patience is not None:
        client.http.client.add_middleware(_patient(patience, retry, wait))
    return client


def _patient(
    patience: Patience, retry: Callable[[Again, float], None], wait: Callable[[float], object]
) -> Callable[[Any, Callable[[Any], Any]], Any]:
    """Middleware of the client that tries a request again."""
    from qdrant_client.http.exceptions import UnexpectedResponse

    def middleware(request: Any, send: Callable[[Any], Any]) -> Any:
        def once() -> Any:
            response = send(request)
            if response.status_code in _PASSING:
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


def is_too_large(error: Exception) -> bool:
    """Whether the server refuses a request that it would take in smaller parts."""
    from qdrant_client.http.exceptions import UnexpectedResponse

    if not isinstance(error, UnexpectedResponse):
        return False
    return error.status_code == 413 or (
        error.status_code in (400, 429) and bool(_TOO_LARGE.search(_said(error)))
    )


def passing(error: Exception) -> Again | None:
    """Whether a failure of the client may pass; None where trying again is of no use."""
    from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    match error:
        case ResourceExhaustedResponse():
            return Again(f"429: {error}", float(error.retry_after_s))
        case QdrantException() if "Retry-After" in str(error):
            return Again("429, with a Retry-After that the client cannot read")
        case UnexpectedResponse():
            said = _said(error)
            if error.status_code not in _PASSING or _DISK_FULL.search(said) or is_too_large(error):
                return None
            return Again(f"{error.status_code}: {said}", _retry_after(error.headers.get("Retry-After")))
        case ResponseHandlingException() if _is_network(error.source) and not _is_tls(error.source):
            return Again(_network(error.source))
    return None


@contextmanager
def explained(address: Address, client: QdrantClient | None = None) -> Iterator[None]:
    """Turn what the client raises into errors of qembed; ``client`` is asked which collections there are.

    Raises:
        Unreachable: The server cannot be reached, refuses the key, or was unavailable for too long.
        InputNotFound: There is no such collection.
        DimensionMismatch: Vectors of another length.
        Mismatch: The server refuses a request for another reason, or is no Qdrant.
        QembedError: The server's disk is full.
    """
    from qdrant_client.common.client_exceptions import QdrantException
    from qdrant_client.http.exceptions import ApiException

    try:
        yield
    except GaveUp as error:
        cause = error.__cause__
        assert isinstance(cause, Exception)
        raise (meaning(cause, address) if error.tries == 1 else _gave_up(error, address)) from cause
    except (ApiException, QdrantException) as error:
        raise meaning(error, address, client) from error
    except json.JSONDecodeError as error:  # clients before 1.20 let it through
        raise _no_qdrant(address, str(error)) from error


def meaning(error: Exception, address: Address, client: QdrantClient | None = None) -> QembedError:
    """The error of qembed for one of the client."""
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    if isinstance(error, UnexpectedResponse):
        return _refused(error, address, client)
    if isinstance(error, ResponseHandlingException):
        if _is_tls(error.source):
            return Unreachable(
                f"no encrypted connection: {error.source}",
                where=address.url,
                remedy="https needs a certificate that this machine trusts; SSL_CERT_FILE names your own",
            )
        if _is_network(error.source):
            return Unreachable(
                f"the server cannot be reached: {_network(error.source)}",
                where=address.url,
                remedy=_REACH.format(url=address.url),
            )
        return _no_qdrant(address, str(error.source))
    again = passing(error)
    return Unreachable(f"the server refuses: {again.why if again else error}", where=address.url)


def collections(client: QdrantClient) -> list[str]:
    """Names of all collections and aliases of a server, sorted; empty where they cannot be had."""
    names: list[str] = []
    with suppress(Exception):  # asked only to help in a message
        names = [each.name for each in client.get_collections().collections]
        names += [each.alias_name for each in client.get_aliases().aliases]
    return sorted(names)


def _refused(error: Any, address: Address, client: QdrantClient | None) -> QembedError:
    code, said, where = error.status_code, _said(error), address.url
    if code == 507 or _DISK_FULL.search(said):
        return QembedError(
            f"the disk of the server is full: {said}",
            where=where,
            remedy="make room on the server, then run the same command again: it resumes",
        )
    if code in (401, 403):
        key = "the API key is refused" if os.environ.get(API_KEY) else "the server requires an API key"
        what = key if code == 401 else "the server forbids the request"
        return Unreachable(
            f"{what} ({code}: {said})", where=where, remedy=f"set {API_KEY} to a key that may write"
        )
    if dimensions := _DIMENSION.search(said):
        return DimensionMismatch(
            f"the collection holds vectors of {dimensions[1]} dimensions, these have {dimensions[2]}",
            where=str(address),
            remedy="name another --collection",
        )
    if code == 404 and "ollection" in said:
        return _no_collection(address, client)
    if is_too_large(error):
        return Mismatch(f"a request is too large for the server: {said}", where=where)
    if code in _PASSING:
        after = _retry_after(error.headers.get("Retry-After"))
        when = f"try again in {after:.0f} s, as it asks" if after else "try again later"
        return Unreachable(f"the server is not available ({code}: {said})", where=where, remedy=when)
    if code == 404 or not _is_json(error.content):
        return _no_qdrant(address, f"{code} {error.reason_phrase}")
    return Mismatch(f"the server refuses a request ({code}: {said})", where=str(address))


def _no_collection(address: Address, client: QdrantClient | None) -> QembedError:
    names = collections(client) if client is not None else []
    there = f"it has {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}" if names else ""
    return InputNotFound(
        f"the server has no collection {address.collection!r}",
        where=address.url,
        remedy=f"name another one; {there}" if there else "see that the name and the server are right",
    )


def _no_qdrant(address: Address, said: str) -> QembedError:
    return Unreachable(
        f"the server does not answer like Qdrant's REST API: {' '.join(said.split())[:200]}",
        where=address.url,
        remedy=f"give the URL of Qdrant's REST API, e.g. http://{address.host}:6333",
    )


def _gave_up(error: GaveUp, address: Address) -> QembedError:
    return Unreachable(
        f"the server was tried {error.tries} times in {error.seconds:.0f} s and still fails: {error.why}",
        where=address.url,
        remedy="see to the server, then run the same command again: it resumes",
    )


def _said(error: Any) -> str:
    """The server's own words."""
    try:
        status = json.loads(error.content)["status"]
        return str(status["error"] if isinstance(status, dict) else status)
    except (ValueError, TypeError, KeyError):
        return str(error.reason_phrase)


def _is_json(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False


def _retry_after(header: str | None) -> float | None:
    """Seconds that a header asks for: a number, or a date (RFC 9110, section 10.2.3)."""
    if header is None:
        return None
    with suppress(ValueError):
        return max(0.0, float(header))
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    return None


def _is_network(source: object) -> bool:
    import httpx

    return isinstance(source, httpx.TransportError)


def _is_tls(source: object) -> bool:
    return "[SSL" in str(source) or "CERTIFICATE" in str(source)


def _network(source: Exception) -> str:
    import httpx

    if isinstance(source, httpx.TimeoutException):
        return "no answer in time"
    return str(source) or type(source).__name__
