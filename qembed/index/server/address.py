"""Where a collection is: a server, a name, and a named vector."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self
from urllib.parse import quote, unquote, urlsplit

from qembed.errors import UsageError

PORT = 6333
"""Port of Qdrant's REST API; the client takes it too where a URL names none."""

_SCHEMES = {"qdrant": "http", "qdrant+http": "http", "qdrant+https": "https"}
_REMEDY = "write it like qdrant://localhost/NAME or qdrant+https://HOST:PORT/NAME#VECTOR"


@dataclass(frozen=True, slots=True)
class Address:
    """A collection on a server.

    Attributes:
        url: ``http`` or ``https``, host, port, and the prefix of a proxy if there is one.
        collection: Its name, or an alias.
        vector: Name of the vector in it; empty where vectors have no name.
    """

    url: str
    collection: str
    vector: str = ""

    def __post_init__(self) -> None:
        """Refuse names that are a folder in a URL: a request would go to what is above.

        Raises:
            UsageError: It is named so.
        """
        if self.collection in (".", ".."):
            raise UsageError(f"no collection can be named {self.collection!r}", remedy="name another one")

    @classmethod
    def of(cls, url: str, collection: str, vector: str = "") -> Self:
        """The collection of a server whose URL the user gave; ``localhost`` and ``host:1234`` are http.

        Raises:
            UsageError: It is no URL, or it holds a password.
        """
        text = url.strip()
        parts = _split(text if "://" in text else f"http://{text}")
        if parts.scheme not in ("http", "https"):
            raise UsageError(
                f"--url takes http or https, not {parts.scheme!r}", remedy="--url http://localhost:6333"
            )
        if not collection:
            raise UsageError("the collection has no name", remedy="name it with --collection")
        return cls(f"{parts.scheme}://{_host(parts.hostname, parts.port)}{parts.path}", collection, vector)

    @property
    def host(self) -> str:
        """Its host, without the port."""
        return urlsplit(self.url).hostname or ""

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        """As ``parse`` reads it."""
        scheme, _, rest = self.url.partition("://")
        vector = f"#{quote(self.vector, safe='')}" if self.vector else ""
        prefix = "qdrant" if scheme == "http" else "qdrant+https"
        return f"{prefix}://{rest}/{quote(self.collection, safe='')}{vector}"


def is_address(text: str) -> bool:
    """Whether this names a collection on a server, rather than a file."""
    return text.partition("://")[0] in _SCHEMES and "://" in text


def parse(text: str) -> Address:
    """``qdrant://HOST[:PORT]/COLLECTION[#VECTOR]``; ``qdrant+https://`` for TLS. The port is 6333 by default.

    Raises:
        UsageError: It is written otherwise, or it holds a password.
    """
    if not is_address(text):
        raise UsageError(f"{text!r} is no address of a collection", remedy=_REMEDY)
    parts = _split(text)
    prefix, _, collection = parts.path.rstrip("/").rpartition("/")
    if not collection:
        raise UsageError(f"{text!r} names no collection", remedy=_REMEDY)
    url = f"{_SCHEMES[parts.scheme]}://{_host(parts.hostname, parts.port)}{prefix}"
    return Address(url, unquote(collection), unquote(parts.fragment))


@dataclass(frozen=True, slots=True)
class _Parts:
    scheme: str
    hostname: str
    port: int
    path: str
    fragment: str


def _split(text: str) -> _Parts:
    server = text.partition("//")[2].partition("/")[0]
    if "@" in server:  # not repeated: what stands before the @ is a secret
        raise UsageError(
            "the URL holds a user name or a password",
            remedy="leave it out, and give the key of the server as QDRANT_API_KEY",
        )
    shown, mark, _ = text.partition("?")  # a key may stand behind the mark
    try:
        parts = urlsplit(text)
        port = parts.port or PORT
    except ValueError:
        raise UsageError(f"{shown!r} is no URL", remedy=_REMEDY) from None
    if not parts.hostname:
        raise UsageError(f"{shown!r} names no host", remedy=_REMEDY)
    if mark:
        raise UsageError(f"a '?' follows {shown!r}; what stands behind it would be lost", remedy=_REMEDY)
    return _Parts(parts.scheme, parts.hostname, port, parts.path.rstrip("/"), parts.fragment)


def _host(name: str, port: int) -> str:
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
