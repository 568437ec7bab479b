"""Which files of a folder are chunk files, and to which subdirectory each belongs."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qembed.corpus.files import kind_of
from qembed.errors import InputNotFound
from qembed.records import OWN_OUTPUT, Finding, OnFinding, Place

ROOT = "root"
"""Subdirectory of files that lie at the top of the collection."""

WANTED = ".json, .jsonl, .ndjson, .csv, .tsv (also as .gz, .bz2, .zst), .parquet, .arrow and .feather"
_BEIR = ("corpus.jsonl", "corpus.jsonl.gz", "corpus.jsonl.bz2", "corpus.jsonl.zst")
_SHOWN = 3
_BESIDE_BEIR = re.compile(r"queries.*|card\.toml|.*\.md|judgements\.jsonl")
_OF_DATASETS = ("dataset_info.json", "dataset_dict.json", "state.json")
"""Beside Arrow files of Hugging Face's ``datasets``: what they are, no chunks."""


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
        """File name without ``_chunks.json`` or its suffixes."""
        name = self.name.rpartition("/")[2]
        kind = kind_of(name)
        return (kind.stem if kind else name.removesuffix(self.path.suffix)).removesuffix("_chunks")


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
        root: A folder, or one file; an array of embeddings (``.npy``) stands for its file of ids and texts.
        on_finding: Called for folders below the root that cannot be listed and, at the end, for files that
            hold no chunks by their names.

    Raises:
        InputNotFound: Nothing is there, or nothing that could be a chunk file.
    """
    if root.is_file():
        ids = root.with_name(f"{root.stem}.ids.jsonl")
        path = ids if root.suffix == ".npy" and ids.is_file() else root
        yield ChunkFile(path, _readable(path.name), ROOT)
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

    others = _Others(root)
    for path in _files(root, set(), unreadable, others):
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
    others.tell(on_finding)


class _Others:
    """Files that hold no chunks by their names, by the end of the name."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: dict[str, list[str]] = {}

    def add(self, path: Path) -> None:
        name = _readable(path.relative_to(self._root).as_posix())
        self._names.setdefault(path.suffix.lower(), []).append(name)

    def tell(self, on_finding: OnFinding) -> None:
        """One finding per kind of file: they may be thousands."""
        for suffix, names in self._names.items():
            what = f"ends in {suffix}" if suffix else "has no suffix"
            reason = f"not read, its name {what}; read are {WANTED}"
            if len(names) > 1:
                shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
                reason = f"not read, as are {len(names) - 1:,} more whose name {what}: {shown}"
            on_finding(Finding("not-read", Place(names[0]), reason, lost="file"))


def _files(
    folder: Path, seen: set[str], unreadable: Callable[[Path, OSError], None], others: _Others
) -> Iterator[Path]:
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
    files = [name for is_folder, name in names if not is_folder]
    beir = next((name for name in _BEIR if name in files), None)
    if beir:
        yield folder / beir
        for name in files:
            if name != beir and not _BESIDE_BEIR.fullmatch(name) and not OWN_OUTPUT.fullmatch(name):
                others.add(folder / name)
        return
    arrow = any(name.endswith(".arrow") for name in files)
    for is_folder, name in names:
        if is_folder:
            yield from _files(folder / name, seen, unreadable, others)
        elif OWN_OUTPUT.fullmatch(name) or (arrow and name in _OF_DATASETS):
            continue
        elif kind_of(name):
            yield folder / name
        else:
            others.add(folder / name)


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
