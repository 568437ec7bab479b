"""What failures of a server mean: which may pass, and what to tell the user of the others."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any

from qembed.errors import DimensionMismatch, InputNotFound, Mismatch, QembedError, Unreachable
from qembed.index.server.address import Address
from qembed.index.server.retry import Again, GaveUp

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

API_KEY = "QDRANT_API_KEY"
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of failures that may pass."""
_DISK_FULL = re.compile(
    r"no space left|not enough space|out of disk|disk (is )?full|disk quota", re.IGNORECASE
)
# What servers say to requests that hold too much: in bytes (400; a proxy says 413), in points under strict
# mode (400), and more than a rate limit can ever let through (429 without Retry-After).
_TOO_LARGE = re.compile(
    r"is larger than allowed|payload has exceeded limit|try to split your request"
    r"|Limit exceeded \d+ > \d+ for \W*((upsert|update) )?limit",
    re.IGNORECASE,
)
_DIMENSION = re.compile(r"dimension error: expected dim: (\d+), got (\d+)", re.IGNORECASE)
_REACH = "see that the server runs and that URL and port are right (curl {url}/readyz)"


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
            if error.status_code not in PASSING or _DISK_FULL.search(said) or is_too_large(error):
                return None
            return Again(f"{error.status_code}: {said}", _retry_after(error.headers.get("Retry-After")))
        case ResponseHandlingException() if _is_network(error.source) and not _is_tls(error.source):
            return Again(_network(error.source))
    return None


def is_too_large(error: Exception) -> bool:
    """Whether the server refuses a request that it would take in smaller parts."""
    from qdrant_client.http.exceptions import UnexpectedResponse

    if not isinstance(error, UnexpectedResponse):
        return False
    return error.status_code == 413 or (
        error.status_code in (400, 403, 429) and bool(_TOO_LARGE.search(_said(error)))
    )


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
                remedy="https needs a server that encrypts, with a certificate that this machine trusts; "
                "SSL_CERT_FILE names your own",
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
    if is_too_large(error):
        return Mismatch(f"a request is too large for the server: {said}", where=where)
    if "Index required but not found" in said:  # strict mode, which Qdrant Cloud turns on
        return Mismatch(
            f"the server filters by fields with an index only: {said}",
            where=str(address),
            remedy="index the field: upload again with --index-field FIELD",
        )
    if code == 403:  # by the rights of a key, or because the server is locked
        return Unreachable(
            f"the server forbids the request (403: {said})",
            where=where,
            remedy=f"where the key may not do it, set {API_KEY} to one that may",
        )
    if code == 401:
        sent = "Invalid" in said or (API_KEY in os.environ and "Must provide" not in said)
        key = "the API key is refused" if sent else "the server requires an API key"
        return Unreachable(
            f"{key} (401: {said})", where=where, remedy=f"set {API_KEY} to a key of this server"
        )
    if dimensions := _DIMENSION.search(said):
        return DimensionMismatch(
            f"the collection holds vectors of {dimensions[1]} dimensions, these have {dimensions[2]}",
            where=str(address),
            remedy="name another --collection",
        )
    if code == 404 and "ollection" in said:
        return _no_collection(address, client)
    if code in PASSING:
        after = _retry_after(error.headers.get("Retry-After"))
        when = f"try again in {after:.0f} s, as it asks" if after else "try again later"
        return Unreachable(f"the server is not available ({code}: {said})", where=where, remedy=when)
    if code == 404 or not _is_json(error.content):
        to = f", to {error.headers['Location']}" if "Location" in error.headers else ""
        return _no_qdrant(address, f"{code} {error.reason_phrase}{to}")
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
        remedy="give the URL of Qdrant's REST API: mostly port 6333, and https where the server encrypts",
    )


def _gave_up(error: GaveUp, address: Address) -> QembedError:
    return Unreachable(
        f"the server was tried {error.tries} times in {error.seconds:.0f} s and still fails: {error.why}",
        where=address.url,
        remedy="see to the server, then run the same command again: it resumes",
    )


def _said(error: Any) -> str:
    """The server's own words: JSON, or plain text where it is about the key."""
    try:
        status = json.loads(error.content)["status"]
        return str(status["error"] if isinstance(status, dict) else status)
    except (ValueError, TypeError, KeyError):
        text = " ".join(error.content.decode(errors="replace").split())
        return text if text and len(text) <= 200 and "<" not in text else str(error.reason_phrase)


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
