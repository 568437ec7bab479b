"""Payload indexes: which fields of the payload the server indexes, so that filters on them are fast.

They are made before the points: a server builds its graph with them in mind, and would else build it twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qembed.errors import Mismatch, UsageError
from qembed.index.filters import parse_condition
from qembed.index.qdrant_filters import engine_key

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

TYPES = ("keyword", "integer", "float", "bool", "datetime", "text", "uuid", "geo")
"""Types of a server's payload indexes (``models.PayloadSchemaType``)."""


@dataclass(frozen=True, slots=True)
class FieldIndex:
    """An index over one field.

    Attributes:
        field: Path of the field as the server writes it: ``year``, ``original.year``, ``"Header 1"``.
        type: One of ``TYPES``.
    """

    field: str
    type: str

    def is_in(self, payload: Mapping[str, Any]) -> bool:
        """Whether a payload has the field."""
        value: Any = payload
        for name in parse_condition(f"{self.field}=x").path:
            if not isinstance(value, Mapping) or name not in value:
                return False
            value = value[name]
        return True


def parse_field(text: str) -> FieldIndex:
    """Read ``FIELD`` (a keyword) or ``FIELD:TYPE``. A colon before anything but a type is part of the name.

    Raises:
        UsageError: No field is named, or its name has quotes or backslashes.
    """
    name, colon, kind = text.strip().rpartition(":")
    if not colon or kind not in TYPES:
        name, kind = text.strip(), "keyword"
    if not name.strip('"'):
        raise UsageError(
            f"{text!r} names no field",
            remedy=f"write FIELD or FIELD:TYPE, e.g. --index-field year:integer; types: {', '.join(TYPES)}",
        )
    return FieldIndex(_as_server_writes(name), kind)


def _as_server_writes(field: str) -> str:
    """A field as ``--filter`` takes it, with quotes around names that a server takes in quotes only."""
    try:
        names = parse_condition(f"{field}=x").path
    except UsageError:  # e.g. a blank: the whole is one name
        names = [field]
    key = engine_key(names)
    if key is None:
        raise UsageError(
            f"a server has no way to write the field {field}", remedy="rename it in the metadata"
        )
    return key


def missing_fields(want: Iterable[FieldIndex], have: Mapping[str, str], collection: str) -> list[FieldIndex]:
    """Those that the collection does not have yet. Pure.

    Args:
        want: What is asked for.
        have: Fields that are indexed -> type.
        collection: Its name, for the message.

    Raises:
        UsageError: Two types are asked for one field.
        Mismatch: A field is indexed with another type.
    """
    asked: dict[str, str] = {}
    missing = []
    for each in want:
        if asked.setdefault(each.field, each.type) != each.type:
            raise UsageError(
                f"the field {each.field} is to be indexed as {asked[each.field]} and as {each.type}",
                remedy="name one type per field",
            )
        found = have.get(each.field)
        if found is None:
            missing.append(each)
        elif found != each.type:
            raise Mismatch(
                f"the field {each.field} of {collection!r} is indexed as {found}, asked for is {each.type}",
                remedy=f"--index-field {each.field}:{found}, or delete that index and try again",
            )
    return list(dict.fromkeys(missing))


def index_fields(client: QdrantClient, collection: str, missing: Iterable[FieldIndex]) -> None:
    """Make payload indexes. One that is there already is left as it is."""
    from qdrant_client import models

    for each in missing:
        client.create_payload_index(
            collection, each.field, field_schema=models.PayloadSchemaType(each.type), wait=True
        )
