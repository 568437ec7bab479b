"""A collection on a server as something to search: which of its vectors, how it compares, how many points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from qembed.errors import Mismatch, UsageError
from qembed.index.protocol import Similarity
from qembed.index.server.address import Address, parse
from qembed.index.server.client import connect
from qembed.index.server.configuration import DISTANCES, Configuration, configuration_of
from qembed.index.server.failures import explained
from qembed.index.server.notes import MODEL, PREFIX, QUERY_PROMPT, WEIGHTS
from qembed.index.server.retry import Again, Patience

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

Result = TypeVar("Result")
PATIENCE = Patience(limit_seconds=30.0)
"""Somebody waits for the answer to a question."""


@dataclass(frozen=True, slots=True)
class Served:
    """A dense vector of a collection.

    Attributes:
        address: With the name of the vector.
        client: Client of its server; it tries a failed request again for a while.
        dimension: Dimension of every vector.
        distance: ``Cosine``, ``Dot``, ``Euclid`` or ``Manhattan``.
        points: How many there are, exactly.
        model: Id of the model whose vectors these are, as ``qembed upload`` noted it; None where it did not.
        weights: Hash of that model's weights, likewise.
        query_prompt: What stands before a query, likewise.
    """

    address: Address
    client: QdrantClient
    dimension: int
    distance: str
    points: int
    model: str | None = None
    weights: str | None = None
    query_prompt: str | None = None

    @property
    def similarity(self) -> Similarity:
        """By which the server compares.

        Raises:
            Mismatch: By a distance, which no other index here has.
        """
        for similarity, distance in DISTANCES.items():
            if distance == self.distance:
                return similarity
        raise Mismatch(
            f"the collection compares by {self.distance}, a distance; order, ties and exact search here are "
            "those of a similarity",
            where=str(self.address),
            remedy="upload the vectors into a collection with Cosine or Dot",
        )

    def ask(self, call: Callable[[QdrantClient], Result]) -> Result:
        """The answer to a request that changes nothing, tried again for a while where the failure may pass.

        Raises:
            Unreachable: The server cannot be reached, refuses the key, or fails for too long.
            QembedError: As ``client.explained``.
        """
        with explained(self.address, self.client):
            return call(self.client)

    def close(self) -> None:
        """Close the connection."""
        self.client.close()


def open_served(
    text: str, *, patience: Patience | None = None, note: Callable[[str], None] = lambda _: None
) -> Served:
    """The collection at an address, looked at but not read.

    Args:
        text: As ``address.parse`` reads it; without the name of a vector the only dense one is taken.
        patience: How long a failed request is tried again; ``PATIENCE`` when None.
        note: Told of what the user should know.

    Raises:
        UsageError: No address; several dense vectors and none named; or the one that is named is not there.
        Mismatch: The vector is sparse, or a multivector.
        InputNotFound: There is no such collection.
        Unreachable: The server cannot be reached, or refuses the key.
    """
    address = parse(text)

    def retry(again: Again, seconds: float) -> None:
        note(f"{again.why}; trying again in {seconds:.1f} s")

    client = connect(address, note=note, patience=patience or PATIENCE, retry=retry)
    try:
        with explained(address, client):
            info = client.get_collection(address.collection)
            counted = client.count(address.collection, exact=True)
        configuration = configuration_of(info)
        name = _vector_name(address, configuration)
        dense = configuration.vectors[name]
        if dense.multivector:
            raise Mismatch(
                f"the vector {name!r} is a multivector: several vectors per point",
                where=str(address),
                remedy="only one vector per point can be searched here; name another one behind a #",
            )
        address = Address(address.url, address.collection, name)
    except BaseException:
        client.close()
        raise
    noted = info.config.metadata or {}
    model, weights, prompt = (noted.get(f"{PREFIX}{key}{name}") for key in (MODEL, WEIGHTS, QUERY_PROMPT))
    return Served(address, client, dense.size, dense.distance, counted.count, model, weights, prompt)


def _vector_name(address: Address, configuration: Configuration) -> str:
    dense, wanted = configuration.vectors, address.vector
    if wanted in dense and (wanted or len(dense) == 1):
        return wanted
    if wanted in configuration.sparse:
        raise Mismatch(
            f"the vector {wanted!r} is sparse",
            where=str(address),
            remedy="only dense vectors can be searched here",
        )
    if not dense:
        raise Mismatch(
            "the collection has no dense vector",
            where=str(address),
            remedy="only dense vectors can be searched here",
        )
    names = ", ".join(name or "one without a name" for name in dense)
    if wanted:
        raise UsageError(
            f"the collection has no vector {wanted!r}",
            where=str(address),
            remedy=f"name one that it has: {names}"
            if any(dense)
            else "its vector has no name: leave the # out",
        )
    if len(dense) > 1:
        first = next(filter(None, dense))
        raise UsageError(
            f"the collection has several vectors: {names}",
            where=str(address),
            remedy=f"name one: {Address(address.url, address.collection, first)}",
        )
    return next(iter(dense))
