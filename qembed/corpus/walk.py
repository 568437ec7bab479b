"""Which files of a folder are chunk files, and to which subdirectory each belongs."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qembed.errors import InputNotFound
from qembed.records import OWN_OUTPUT, Finding, OnFinding, Place

ROOT = "root"
"""Subdirectory of files that lie at the top of the collection."""

WANTED = "*_chunks.json, chunks.json, another *.json list of chunks, *.jsonl, or a BEIR corpus.jsonl"
_BEIR = "corpus.jsonl"


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
        return self.name.rpartition("/")[2].removesuffix(self.path.suffix).removesuffix("_chunks")


def no_file(path: Path) -> str | None:
    """What ``path`` is, where it is neither a file nor a folder; opening it could wait for ever."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    kinds = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode))


def walk(root: Path, on_finding: OnFinding = lambda _: None) -> Iterator[ChunkFile]:
    """The chunk files below ``root`` (or ``root`` itself, when it is a file), in a stable order.

    A folder with a ``corpus.jsonl`` is a BEIR collection: nothing else in it holds chunks.
    Hidden files and folders and qembed's own output are passed over. Links are followed once.

    Args:
        root: A folder, or one file.
        on_finding: Called for folders below the root that cannot be listed.

    Raises:
        InputNotFound: Nothing is there, or nothing that could be a chunk file.
    """
    if root.is_file():
        yield ChunkFile(root, _readable(root.name), ROOT)
        return
    if kind := no_file(root):
        raise InputNotFound(
            f"the input {str(root)!r} is {kind}, not a file or folder",
            remedy="write what comes out of it into a file first",
        )
    if not root.is_dir():
        raise InputNotFound(
            f"the input {str(root)!r} does not exist",
            where=_nearest(root),
            remedy="give a folder of chunk files, or one file",
        )
    empty = True

    def unreadable(folder: Path, error: OSError) -> None:
        nonlocal empty
        empty = False
        if folder == root:
            raise InputNotFound(f"the input {str(root)!r} cannot be listed: {error.strerror}") from error
        name = _readable(folder.relative_to(root).as_posix())
        on_finding(Finding("unreadable-folder", Place(name), error.strerror or str(error), lost="folder"))

    for path in _files(root, set(), unreadable):
        empty = False
        name = _readable(path.relative_to(root).as_posix())
        subdirectory, below, _ = name.partition("/")
        yield ChunkFile(path, name, subdirectory if below else ROOT)
    if empty:
        raise InputNotFound(
            f"no chunk files in {str(root)!r}; looked for {WANTED}",
            where=_what_lies_in(root),
            remedy="point at the folder whose subfolders hold the chunk files",
        )


def _files(folder: Path, seen: set[str], unreadable: Callable[[Path, OSError], None]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    try:
        with os.scandir(folder) as entries:
            names = sorted((_is_folder(entry), entry.name) for entry in entries if entry.name[0] != ".")
    except OSError as error:
        unreadable(folder, error)
        return
    if (False, _BEIR) in names:
        yield folder / _BEIR
        return
    for is_folder, name in names:
        if is_folder:
            yield from _files(folder / name, seen, unreadable)
        elif name.endswith((".json", ".jsonl")) and not OWN_OUTPUT.fullmatch(name):
            yield folder / name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; opening it will say so
        return False


def _readable(name: str) -> str:
    """A file name as valid Unicode: bytes that are not UTF-8 appear as ``\\xE9``."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _nearest(path: Path) -> str:
    parent = path.absolute().parent
    while not parent.is_dir():
        parent = parent.parent
    return _what_lies_in(parent)


def _what_lies_in(folder: Path) -> str:
    with os.scandir(folder) as entries:
        names = sorted(
            _readable(entry.name) + ("/" if _is_folder(entry) else "") for entry in islice(entries, 2000)
        )
    if not names:
        return f"{folder} is empty"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"{folder} holds {', '.join(names[:8])}{more}"
