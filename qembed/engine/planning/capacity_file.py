"""Measured capacities on disk, so that a second run plans from facts: one small JSON file of the user's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import msgspec
from filelock import FileLock, Timeout

from qembed.engine.planning.capacity import Capacity
from qembed.user_cache import user_cache

_VERSION = 2
_LOCK_SECONDS = 5.0
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CapacityKey:
    """What decides a capacity; two that differ in anything are two entries.

    Attributes:
        device_name: As the device calls itself.
        memory_bytes: Memory of the device.
        model_id: Hub id or folder.
        weights: Revision on the hub, or hash of the weights.
        dtype: Dtype of weights and arithmetic.
        attention: Kernel that transformers chose, e.g. ``sdpa``.
        torch_version: E.g. ``2.10.0``.
        max_tokens: What the model reads of a text.
        sharded: The model is spread over several devices; this one holds a part.
        longest_tokens: Longest text of the batches that were measured.
    """

    device_name: str
    memory_bytes: int
    model_id: str
    weights: str
    dtype: str
    attention: str
    torch_version: str
    max_tokens: int
    sharded: bool
    longest_tokens: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One measured capacity.

    Attributes:
        key: What was measured.
        capacity: The fit.
    """

    key: CapacityKey
    capacity: Capacity


@dataclass(frozen=True, slots=True)
class _Content:
    version: int
    entries: list[Entry]


def capacity_path() -> Path:
    """``capacity.json`` in qembed's cache (``user_cache``)."""
    return user_cache() / "capacity.json"


def read_capacities(path: Path | None = None, *, note: Note = lambda _: None) -> list[Entry]:
    """All entries, oldest first; none where there is no file. A file that makes no sense is left alone.

    Args:
        path: ``capacity_path()`` when None.
        note: Called with a message about a file that cannot be used.
    """
    path = path or capacity_path()
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_Content)
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        note(f"the measured capacities in {path} cannot be read and are ignored: {error}")
        return []
    if content.version != _VERSION:
        note(f"the measured capacities in {path} are of another version of qembed and are ignored")
        return []
    return content.entries


def find_capacity(
    key: CapacityKey, path: Path | None = None, *, note: Note = lambda _: None
) -> Capacity | None:
    """What was measured for exactly this key."""
    found = [entry.capacity for entry in read_capacities(path, note=note) if entry.key == key]
    return found[-1] if found else None


def measured_for(
    device_name: str, model_id: str, path: Path | None = None, *, note: Note = lambda _: None
) -> dict[str, Capacity]:
    """The newest capacity by dtype of a whole model on a kind of device, whatever the versions."""
    entries = read_capacities(path, note=note)
    return {
        entry.key.dtype: entry.capacity
        for entry in entries
        if (entry.key.device_name, entry.key.model_id, entry.key.sharded) == (device_name, model_id, False)
    }


def store_capacity(
    key: CapacityKey, capacity: Capacity, path: Path | None = None, *, note: Note = lambda _: None
) -> None:
    """Add or replace one entry. Several processes may do so at once; nothing is raised where it cannot be.

    A run must not fail because its cache cannot be written.
    """
    path = path or capacity_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=_LOCK_SECONDS):
            others = [entry for entry in read_capacities(path, note=note) if entry.key != key]
            _replace(path, asdict(_Content(_VERSION, [*others, Entry(key, capacity)])))
    except (OSError, Timeout) as error:
        note(f"the measured capacity is not kept: {error}")


def _replace(path: Path, content: object) -> None:
    with NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            file.write(msgspec.json.format(msgspec.json.encode(content)))
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            file.close()
            with suppress(OSError):
                Path(file.name).unlink()
            raise
