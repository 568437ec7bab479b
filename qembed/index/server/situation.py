"""What a server has before anything is changed: version, collections, aliases, and what matters of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qembed.index.server.alias import aliases_of
from qembed.index.server.client import version
from qembed.index.server.configuration import Configuration, configuration_of, plain
from qembed.index.server.notes import ALIAS, REPLACES, Notes, keeps_metadata

if TYPE_CHECKING:
    from qdrant_client import QdrantClient


@dataclass(frozen=True, slots=True)
class Found:
    """A collection.

    Attributes:
        configuration: Its vectors.
        points: How many it holds, counted exactly.
        notes: What qembed remembers of it; empty where another tool made it.
        status: ``green``, ``yellow``, ``grey`` or ``red``.
        fields: Payload indexes: field -> type.
    """

    configuration: Configuration
    points: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict)
    status: str = "green"
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Situation:
    """A server, as far as a plan needs it.

    Attributes:
        url: Its address.
        version: Major and minor.
        names: All collections.
        aliases: All aliases -> the collection that each points to.
        found: The collections that were looked at.
    """

    url: str
    version: tuple[int, int]
    names: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, Found] = field(default_factory=dict)

    def resolve(self, name: str) -> str:
        """The collection that a name or an alias stands for."""
        return self.aliases.get(name, name)


def look(client: QdrantClient, url: str, names: Iterable[str], file: Path | None = None) -> Situation:
    """Ask the server, also about the collections that those replace; changes nothing.

    Args:
        client: Client of the server.
        url: Its address.
        names: Collections and aliases to look at; those that do not exist are left out.
        file: Notes of servers that keep none.
    """
    number = version(client)
    there = frozenset(each.name for each in client.get_collections().collections)
    aliases = aliases_of(client)
    wanted = [aliases.get(name, name) for name in names]
    found: dict[str, Found] = {}
    for name in wanted:
        if name in found or name not in there:
            continue
        info = client.get_collection(name)
        found[name] = Found(
            configuration_of(info),
            client.count(name, exact=True).count,
            Notes(client, name, url, keeps_metadata(number), file).read(),
            plain(info.status),
            {key: plain(index.data_type) for key, index in info.payload_schema.items()},
        )
        notes = found[name].notes
        wanted += [str(value) for key, value in notes.items() if key == REPLACES or key.startswith(ALIAS)]
    return Situation(url, number, there, aliases, found)
