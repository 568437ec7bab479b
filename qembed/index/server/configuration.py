"""What a collection on a server is made of: what an upload wants, what is there, and where the two differ.

An upload writes whole points, and a point that is written again loses every vector that is not in the
request. So a collection with further vectors (dense or sparse) does not fit, unless only one is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qembed.errors import DimensionMismatch, Mismatch
from qembed.index.protocol import Similarity

if TYPE_CHECKING:
    from qdrant_client import QdrantClient, models

Quantization: TypeAlias = Literal["none", "scalar", "binary", "turbo"]

_WOULD_BE_LOST = "none; points sent again lose them"
DISTANCES: dict[Similarity, str] = {"cosine": "Cosine", "dot": "Dot"}


@dataclass(frozen=True, slots=True)
class Dense:
    """One dense vector of a collection.

    Attributes:
        size: Number of dimensions.
        distance: ``Cosine``, ``Dot``, ``Euclid`` or ``Manhattan``.
        quantization: ``none``, ``scalar``, ``binary``, ``turbo`` or ``product``; None for any.
        on_disk: Whether the vectors are read from the disk, not kept in memory; None for either.
        datatype: What stores a component, e.g. ``float32``, ``float16`` or ``uint8``.
        multivector: Whether a point holds several vectors under this name.
    """

    size: int
    distance: str
    quantization: str | None = None
    on_disk: bool | None = None
    datatype: str = "float32"
    multivector: bool = False


@dataclass(frozen=True, slots=True)
class Configuration:
    """What decides whether points fit into a collection.

    Attributes:
        vectors: Name -> dense vector; the unnamed one has the name ``""``.
        sparse: Name -> modifier (``none`` or ``idf``) of sparse vectors.
        custom_sharding: Whether every point must name its shard.
    """

    vectors: Mapping[str, Dense]
    sparse: Mapping[str, str] = field(default_factory=dict)
    custom_sharding: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """One row of the table of differences.

    Attributes:
        what: What differs, e.g. ``dimension``.
        collection: What the collection has.
        upload: What the upload needs.
    """

    what: str
    collection: str
    upload: str


def wanted(
    dimension: int,
    similarity: Similarity,
    *,
    vector: str = "",
    quantization: Quantization | None = None,
    on_disk: bool | None = None,
) -> Configuration:
    """The configuration that embeddings need.

    Args:
        dimension: Dimension of the vectors.
        similarity: By which they compare (``store.manifest.similarity_of``).
        vector: Name of the vector; empty for a collection with one unnamed vector.
        quantization: As asked for; None leaves it to the collection.
        on_disk: As asked for; None leaves it to the collection.
    """
    return Configuration({vector: Dense(dimension, DISTANCES[similarity], quantization, on_disk)})


def configuration_of(info: models.CollectionInfo) -> Configuration:
    """The configuration of a collection, as the server describes it."""
    params = info.config.params
    given: Any = params.vectors or {}
    vectors = dict(given) if isinstance(given, Mapping) else {"": given}
    return Configuration(
        {name: _dense(each, info.config.quantization_config) for name, each in vectors.items()},
        {name: plain(each.modifier or "none") for name, each in (params.sparse_vectors or {}).items()},
        custom_sharding=plain(params.sharding_method or "auto") == "custom",
    )


def _dense(params: models.VectorParams, of_collection: models.QuantizationConfig | None) -> Dense:
    quantization = params.quantization_config or of_collection
    # Newer servers say `memory`, older ones only know `on_disk`; a client may know neither of them.
    memory = getattr(params, "memory", None)
    return Dense(
        size=params.size,
        distance=plain(params.distance),
        quantization=next(iter(quantization.model_dump(exclude_none=True))) if quantization else "none",
        on_disk=bool(params.on_disk) if memory is None else plain(memory) == "cold",
        datatype=plain(params.datatype or "float32"),
        multivector=params.multivector_config is not None,
    )


def plain(value: Any) -> str:
    """The word that an enumeration of the client stands for."""
    return str(getattr(value, "value", value))


def differences(want: Configuration, have: Configuration, *, alone: bool = True) -> tuple[Difference, ...]:
    """Where a collection does not fit an upload; empty where it does. Pure.

    Args:
        want: Has one vector.
        have: That of the collection.
        alone: The upload writes whole points, so the collection must have no vector but the one. False where
            only this one is written.
    """
    ((name, need),) = want.vectors.items()
    found, rows = have.vectors.get(name), []
    if found is None and alone:
        rows.append(Difference("vector", _names(have.vectors), _named(name)))
        if len(have.vectors) == 1:  # its other differences say more than its name
            (found,) = have.vectors.values()
    if found is not None:
        rows += _dense_differences(need, found)
    if alone and name in have.vectors and len(have.vectors) > 1:
        rows.append(Difference("further vectors", _names(have.vectors.keys() - {name}), _WOULD_BE_LOST))
    if alone and have.sparse:
        sparse = [each if how == "none" else f"{each} ({how})" for each, how in sorted(have.sparse.items())]
        rows.append(Difference("sparse vectors", ", ".join(sparse), _WOULD_BE_LOST))
    if have.custom_sharding:
        rows.append(Difference("sharding", "custom: every point names its shard", "automatic"))
    return tuple(rows)


def _dense_differences(need: Dense, found: Dense) -> Iterable[Difference]:
    if found.size != need.size:
        yield Difference("dimension", f"{found.size:,}", f"{need.size:,}")
    if found.distance != need.distance:
        yield Difference("distance", found.distance, need.distance)
    if found.multivector:
        yield Difference("vectors per point", "several (multivector)", "one")
    if found.datatype == "uint8":  # whole numbers from 0 to 255: of the vectors of a model nothing is left
        yield Difference("datatype", found.datatype, need.datatype)
    if need.quantization is not None and found.quantization != need.quantization:
        yield Difference("quantisation", found.quantization or "none", need.quantization)
    if need.on_disk is not None and found.on_disk != need.on_disk:
        places = {True: "on disk", False: "in memory"}
        yield Difference("vectors kept", places[bool(found.on_disk)], places[need.on_disk])


def _named(name: str) -> str:
    return f"{name!r}" if name else "unnamed"


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(_named, sorted(names))) or "none"


def table(rows: Iterable[Difference]) -> list[str]:
    """The differences as lines of text, aligned, for an error message."""
    cells = [("", "collection", "upload"), *((row.what, row.collection, row.upload) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in (0, 1)]
    return [f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in cells]


def does_not_fit(collection: str, rows: tuple[Difference, ...], remedy: str) -> Mismatch:
    """The error (exit code 5) that shows a table of differences."""
    kind = DimensionMismatch if any(row.what == "dimension" for row in rows) else Mismatch
    message = "\n".join([f"the collection {collection!r} does not fit these embeddings", *table(rows)])
    return kind(message, remedy=remedy)


def create_collection(
    client: QdrantClient, collection: str, want: Configuration, *, metadata: Mapping[str, Any] | None = None
) -> None:
    """Make an empty collection; the server refuses where one of that name exists.

    Args:
        client: Client of the server.
        collection: Name of the new collection.
        want: As ``wanted`` makes it.
        metadata: Kept by the server with the collection; None for servers that keep none (before 1.16).
    """
    vectors = {name: vector_params(dense) for name, dense in want.vectors.items()}
    extra: dict[str, Any] = {} if metadata is None else {"metadata": dict(metadata)}
    client.create_collection(
        collection, vectors_config=vectors[""] if list(vectors) == [""] else vectors, **extra
    )


def add_vector(client: QdrantClient, collection: str, want: Configuration) -> None:
    """Add the vector of ``want`` to a collection (servers from 1.18); nothing where one of its name is there.

    So it may be asked again, where the response to the first try was lost.
    """
    from qdrant_client import models
    from qdrant_client.http.exceptions import UnexpectedResponse

    ((name, dense),) = want.vectors.items()
    config = models.DenseVectorConfig(size=dense.size, distance=models.Distance(dense.distance))
    try:
        client.create_vector_name(collection, name, models.DenseVectorNameConfig(dense=config), wait=True)
    except UnexpectedResponse:
        if name not in configuration_of(client.get_collection(collection)).vectors:
            raise


def vector_params(dense: Dense) -> models.VectorParams:
    """One vector's configuration, as the server takes it."""
    from qdrant_client import models

    return models.VectorParams(
        size=dense.size,
        distance=models.Distance(dense.distance),
        quantization_config=_quantization_config(dense.quantization),
        on_disk=dense.on_disk,
    )


def _quantization_config(name: str | None) -> Any:
    from qdrant_client import models

    if name == "scalar":
        return models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8))
    if name == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig())
    if name == "turbo":
        return models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig())
    return None
