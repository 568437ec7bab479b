"""SHA-256 of large files, computed once: 28 GB take a minute, and every worker of a run needs the hash."""

from __future__ import annotations

import re
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path
from typing import Final

import orjson
from filelock import FileLock, Timeout

from qembed.user_cache import user_cache

LARGE_BYTES: Final = 64 << 20
"""Smaller files are hashed each time: it takes less time than to look the hash up."""

_BLOB: Final = re.compile(r"[0-9a-f]{64}")
_ENTRIES: Final = 200
_WAIT_SECONDS: Final = 600.0


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; of a large one from the hub's cache or from qembed's, where it stands there.

    The hub's cache names a large file by its SHA-256. qembed's own cache knows a file by its path, size and
    time of change (nanoseconds). Processes wait for each other, so that one of them reads the file.
    """
    target = path.resolve()
    if _is_blob(target):
        return target.name
    if target.stat().st_size < LARGE_BYTES:
        return _hash(target)
    file = user_cache() / "sha256.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock", timeout=_WAIT_SECONDS):
            return _remembered(target, file)
    except (OSError, Timeout):  # a home that cannot be written to
        return _hash(target)


def _is_blob(target: Path) -> bool:
    """Whether huggingface_hub named the file by its content: ``models--owner--name/blobs/<sha256>``."""
    folder = target.parent
    return folder.name == "blobs" and "--" in folder.parent.name and bool(_BLOB.fullmatch(target.name))


def _remembered(target: Path, file: Path) -> str:
    known: dict[str, list[object]] = {}
    with suppress(OSError, orjson.JSONDecodeError):
        read = orjson.loads(file.read_bytes())
        known = read if isinstance(read, dict) else {}
    state = target.stat()
    stamp = [state.st_size, state.st_mtime_ns]
    entry = known.pop(str(target), None)
    found = entry[2] if isinstance(entry, list) and entry[:2] == stamp and len(entry) == 3 else None
    digest = found if isinstance(found, str) else _hash(target)
    if target.stat().st_mtime_ns == state.st_mtime_ns:  # unchanged while it was read
        known[str(target)] = [*stamp, digest]
    if found is None:
        made = file.with_suffix(".tmp")
        made.write_bytes(orjson.dumps(dict(list(known.items())[-_ENTRIES:])))
        made.replace(file)
    return digest


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
