"""Which files of a folder are chunk files, and to which subdirectory each belongs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qembed.errors import InputNotFound

ROOT = "root"
"""Subdirectory of files that lie at the top of the collection."""

WANTED = "*_chunks.json, chunks.json, another *.json list of chunks, *.jsonl, or a BEIR corpus.jsonl"
_OWN_OUTPUT = ("_embeddings.jsonl", "_embedding_summary.json", "_embedding_manifest.json")


@dataclass(frozen=True, slots=True)
class ChunkFile:
    """A file that may hold chunks.

    Attributes:
        path: Where to open it.
        name: Its path relative to the root, with ``/``; findings show it.
        subdirectory: First folder below the root, or ``root``.
    """

    path: Path
    name: str
    subdirectory: str

    @property
    def stem(self) -> str:
        """File name without ``_chunks.json`` or its suffix."""
        return self.path.name.removesuffix(self.path.suffix).removesuffix("_chunks")


def walk(root: Path) -> Iterator[ChunkFile]:
    """The chunk files below ``root`` (or ``root`` itself, when it is a file), in a stable order.

    A folder with a ``corpus.jsonl`` at its top is a BEIR collection: only that file holds chunks.
    Hidden files and folders and qembed's own output are passed over. Links are followed once.

    Raises:
        InputNotFound: Nothing is there, or nothing that could be a chunk file.
    """
    if root.is_file():
        yield ChunkFile(root, root.name, ROOT)
        return
    if not root.is_dir():
        raise InputNotFound(
            f"the input {str(root)!r} does not exist",
            where=_nearest(root),
            remedy="give a folder of chunk files, or one file",
        )
    beir = root / "corpus.jsonl"
    if beir.is_file():
        yield ChunkFile(beir, beir.name, ROOT)
        return
    empty = True
    for path in _files(root, seen=set()):
        empty = False
        relative = path.relative_to(root)
        subdirectory = relative.parts[0] if len(relative.parts) > 1 else ROOT
        yield ChunkFile(path, relative.as_posix(), subdirectory)
    if empty:
        raise InputNotFound(
            f"no chunk files in {str(root)!r}; looked for {WANTED}",
            where=_what_lies_in(root),
            remedy="point at the folder whose subfolders hold the chunk files",
        )


def _files(folder: Path, seen: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    with os.scandir(folder) as entries:
        names = sorted((entry.is_dir(), entry.name) for entry in entries if not entry.name.startswith("."))
    for is_folder, name in names:
        if is_folder:
            yield from _files(folder / name, seen)
        elif name.endswith((".json", ".jsonl")) and not name.endswith(_OWN_OUTPUT):
            yield folder / name


def _nearest(path: Path) -> str:
    parent = path.absolute().parent
    while not parent.is_dir():
        parent = parent.parent
    return _what_lies_in(parent)


def _what_lies_in(folder: Path) -> str:
    with os.scandir(folder) as entries:
        names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in islice(entries, 2000))
    if not names:
        return f"{folder} is empty"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"{folder} holds {', '.join(names[:8])}{more}"
