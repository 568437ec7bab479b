"""Chunk files in: every layout, streamed, with ids, completed metadata and findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from qembed.corpus.ids import IdCheck, chunk_id, content_sha256, page_id, point_id
from qembed.corpus.layouts import BadItemError, parse_item
from qembed.corpus.metadata import Context, IdFrom, complete, enrich
from qembed.corpus.normal import NAMED
from qembed.corpus.read import FileReader
from qembed.corpus.walk import ROOT, ChunkFile, walk
from qembed.errors import DuplicateIds, UsageError
from qembed.records import Chunk, Finding, OnFinding, Place

__all__ = [
    "ROOT",
    "CorpusOptions",
    "IdCheck",
    "IdFrom",
    "check_ids",
    "chunk_id",
    "collection_name",
    "complete",
    "content_sha256",
    "page_id",
    "point_id",
    "read_chunks",
]


_LONGEST_NAME_BYTES = 180
"""File systems take 255; the longest name made of it adds a number of shards, a process id and suffixes."""
_WAYS_OUT: dict[IdFrom, str] = {
    "path": "to build ids from whole paths",
    "own": "to keep the ids that the chunks bring",
    "position": "to build ids from the chunk file and the position in it",
}


@dataclass(frozen=True, slots=True)
class CorpusOptions:
    """How a folder of chunks is read.

    Attributes:
        collection: First part of every id; the input's own name when None.
        limit: Most chunks per subdirectory; all when None.
        id_from: What ids are (``corpus.metadata.Context``).
        text_column: Key or column that holds the text; a usual one when None.
    """

    collection: str | None = None
    limit: int | None = None
    id_from: IdFrom = "filename"
    text_column: str | None = None


def collection_name(root: Path, collection: str | None = None) -> str:
    """The collection's name: the one given, else that of the folder or file.

    Raises:
        UsageError: The name is empty or cannot be part of a file name.
    """
    name = collection if collection is not None else root.resolve().name
    if collection is None and root.is_file():
        name = root.stem.removesuffix("_chunks").removesuffix("_embeddings")
    if not name.strip() or not name.isprintable() or any(character in name for character in '/\\:"'):
        raise UsageError(
            f"{name!r} cannot name a collection",
            remedy="pass --collection NAME, without slashes, colons or quotes",
        )
    if name.startswith("."):
        raise UsageError(
            f"{name!r} cannot name a collection: files with a dot in front are hidden",
            remedy="pass --collection NAME, without a dot in front",
        )
    if len(name.encode()) > _LONGEST_NAME_BYTES:
        raise UsageError(
            f"the collection's name is too long for names of files: {len(name.encode())} bytes",
            where=f"{name[:40]}...",
            remedy=f"pass --collection NAME, of at most {_LONGEST_NAME_BYTES} bytes",
        )
    return name


def read_chunks(
    root: Path,
    options: CorpusOptions = CorpusOptions(),
    *,
    on_finding: OnFinding = lambda _: None,
    on_file: Callable[[ChunkFile], None] = lambda _: None,
) -> Iterator[Chunk]:
    """The chunks of a folder (or one file), streamed in a stable order: by subdirectory, file, position.

    Args:
        root: A folder in any of the layouts of ``corpus.layouts``, or one file.
        options: See ``CorpusOptions``.
        on_finding: Called for every file, line or item that cannot be read; reading continues.
        on_file: Called before each file is opened.

    Raises:
        InputNotFound: There is nothing to read.
        UsageError: The collection's name cannot be used.
    """
    root = Path(root)
    collection = collection_name(root, options.collection) if root.exists() else ""
    taken: Counter[str] = Counter()
    for file in walk(root, on_finding):
        if options.limit is not None and taken[file.subdirectory] >= options.limit:
            continue
        on_file(file)
        for chunk in _chunks_of(file, collection, options, on_finding):
            yield chunk
            taken[file.subdirectory] += 1
            if options.limit is not None and taken[file.subdirectory] >= options.limit:
                break


def check_ids(check: IdCheck, root: Path, options: CorpusOptions) -> None:
    """Refuse ids that came twice.

    Raises:
        DuplicateIds: It names both places, and the option that makes the ids unique.
    """
    repeated = check.repeated()
    if not repeated:
        return
    try:
        IdCheck.explain(repeated, ((chunk.id, chunk.place) for chunk in read_chunks(root, options)))
    except DuplicateIds as error:
        error.remedy = f"{_way_out(len(check), root, options)}, or remove one of the chunks"
        raise


def _way_out(chunks: int, root: Path, options: CorpusOptions) -> str:
    """What makes the ids unique. Tried rather than guessed, since it is what the user will do next."""
    for id_from, what in _WAYS_OUT.items():
        check = IdCheck()
        for chunk in read_chunks(root, replace(options, id_from=id_from)):
            check.add(chunk.id)
        if len(check) == chunks and not check.repeated():
            return f"pass --id-from {id_from} {what}"
    return "rename one of the files"


def _chunks_of(
    file: ChunkFile, collection: str, options: CorpusOptions, on_finding: OnFinding
) -> Iterator[Chunk]:
    reader = FileReader(file, on_finding, text_column=options.text_column)
    changes: Counter[str] = Counter()
    for value, position, line in reader.items():
        place = Place(file.name, item=None if line else position, line=line)
        subdirectory = reader.subdirectory if file.subdirectory == ROOT else file.subdirectory
        context = Context(collection, subdirectory, file.stem, position, options.id_from, file.name)
        try:
            item = parse_item(value, options.text_column)
            name, metadata = enrich(item, context)
        except BadItemError as error:
            on_finding(Finding(error.kind, place, str(error)))
            continue
        changes.update(item.changes & NAMED)
        yield Chunk(name, item.text, metadata, place)
    for change, count in sorted(changes.items()):
        reason = f"in the metadata of {count:,} chunks, {change}"
        on_finding(Finding("changed-values", Place(file.name), reason, lost="nothing"))
